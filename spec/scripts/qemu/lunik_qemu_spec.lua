-- The command lunik-qemu as a process: what it prints, how it ends, -daemonize, monitors.
local command = require "spec.support.command"
local lunik = require "lunik"
local qmp = require "spec.support.qmp_client"
local small = require "spec.support.small_guest"

local emulator = command.build .. "/lunik-qemu"

describe("lunik-qemu", function()
  local folder, client

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
  end)

  after_each(function()
    if client then client:close() end
    client = nil
    os.execute(("kill $(cat %s/pid 2>/dev/null) 2>/dev/null"):format(folder))
    os.execute("rm -rf " .. folder)
  end)

  local function run(arguments)
    return command.run(("%s %s"):format(emulator, arguments:gsub("@", folder)))
  end

  -- Starts one in the background, and connects to its monitor.
  local function start(arguments)
    local out, err, code = run("-daemonize -accel none -nodefaults -pidfile @/pid "
      .. "-qmp unix:@/qmp,server=on,wait=off " .. arguments)
    assert.same({ "", 0 }, { out, code }, err)
    client = qmp.dial(folder .. "/qmp")
    client:greet()
  end

  local function has_ended()
    return qmp.wait_for(function()
      return not os.execute("test -e " .. folder .. "/pid")
    end)
  end

  it("names what is wrong as QEMU does, and ends with 1", function()
    local out, err, code = run "-foo"
    assert.same({ "", "lunik-qemu: -foo: is not supported; -help lists what is\n", 1 },
      { out, err, code })
    out, err, code = run "-msg timestamp=on -accel none -device nosuch"
    assert.equal("", out)
    assert.truthy(err:find "^%d+%-%d+%-%d+T[%d:.]+Z lunik%-qemu: %-device nosuch: 'nosuch' is not")
    assert.equal(1, code)
    assert.equal(1, select(3, run "-daemonize -accel none -kernel /nonexistent"))
  end)

  it("lists what there is", function()
    assert.truthy(run("-version"):find "^Lunik ")
    local help = run "-help"
    for _, o in ipairs(require("lunik.qemu.command_line").options) do
      assert.truthy(help:find("-" .. o[1], 1, true), o[1])
    end
    assert.truthy(run("-machine help"):find "\npc +i440FX")
    assert.truthy(run("-cpu help"):find "\nx86 host ")
    assert.truthy(run("-device help"):find 'name "virtio%-blk%-pci", desc ')
    assert.truthy(run("-object help"):find "\n  memory%-backend%-memfd\n")
    assert.truthy(run("-device pc-dimm,help"):find "\n  memdev=<str> ")
    assert.truthy(run("-object memory-backend-file,help"):find "\n  mem%-path=<str> ")
    local _, err, code = run "-device nosuch,help"
    assert.equal("lunik-qemu: 'nosuch' is not a valid device model name\n", err)
    assert.equal(1, code)
  end)

  it("writes to a descriptor that only the program before it could open", function()
    if not command.root() then return pending "the user is not root" end
    local build = command.run("realpath " .. command.build):gsub("\n", "")
    if not os.execute(("setpriv --reuid 65534 --clear-groups test -x %s/lunik-qemu 2>/dev/null")
      :format(build)) then
      return pending "another user can't run the command"
    end
    local _, err = command.run(([[umask 077; (sleep 0.3; echo 'o /b 0x3f8 0x41'; echo quit) |
      setpriv --reuid 65534 --clear-groups %s -accel none -nodefaults -S -monitor stdio
      -sandbox off -add-fd fd=9,set=0 -chardev file,id=c,path=/dev/fdset/0,append=on
      -serial chardev:c 9>%s/out]]):gsub("\n +%-", " -"):format(emulator, folder))
    assert.equal("", err)
    assert.equal("A", command.read(folder .. "/out"))
  end)

  it("goes on in the background, with the number of its process in a file", function()
    start "-S"
    local pid = command.read(folder .. "/pid"):match "^(%d+)\n$"
    assert.equal("/", command.run("readlink /proc/" .. pid .. "/cwd"):match "[^\n]*")
    assert.equal("/dev/null", command.run("readlink /proc/" .. pid .. "/fd/1"):match "[^\n]*")
    assert.equal("prelaunch", client:command('{"execute":"query-status"}')["return"].status)
    client:command '{"execute":"cont"}'
    client:event "RESUME"
    assert(os.execute("kill " .. pid))
    assert.same({ guest = false, reason = "host-signal" },
      (function(data) return { guest = data.guest, reason = data.reason } end)(
        client:event("SHUTDOWN").data))
    assert.is_true(has_ended())
  end)

  it("answers what qmp-shell sends: no end of line, no id, oob if it is offered", function()
    start "-S -m 128M,slots=2,maxmem=1G"
    client:close()
    client = qmp.dial(folder .. "/qmp")
    assert.same({ "oob" }, client:next().QMP.capabilities)
    local function send(text)
      client:send(text)
      return client:answer()
    end
    assert.is_nil(send('{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}').error)
    assert.is_true(#send('{"execute": "query-commands"}')["return"] > 50)
    send [[{"execute": "object-add", "arguments": {"qom-type": "memory-backend-ram", "id": "m1",
      "size": 134217728}}]]
    assert.is_nil(send([[{"execute": "device_add", "arguments": {"driver": "pc-dimm", "id": "d1",
      "memdev": "m1"}}]]).error)
    assert.equal("d1", send('{"execute": "query-memory-devices", "arguments": {}}')["return"][1]
      .data.id)
    local function human(line)
      return send(('{"execute": "human-monitor-command", "arguments": {"command-line": "%s", '
        .. '"cpu-index": 0}}'):format(line))["return"]
    end
    assert.truthy(human "help":find "\nquit|q  %-%- ")
    assert.equal("VM status: paused (prelaunch)\r\n", human "info status")
    send '{"execute": "quit", "arguments": {}}'
    assert.is_true(has_ended())
  end)

  it("ends by quit, and when the machine shuts down", function()
    start "-S"
    assert.truthy(client:command('{"execute":"quit"}')["return"])
    assert.equal("host-qmp-quit", client:event("SHUTDOWN").data.reason)
    assert.is_true(has_ended())
    client:close()
    start("-kernel " .. small.image "small.elf")
    client:command [[{"execute":"human-monitor-command",
      "arguments":{"command-line":"o /w 0x604 0x2000"}}]]
    client:event "SHUTDOWN"
    assert.is_true(has_ended())
  end)

  it("stays after a shutdown with -no-shutdown, and runs again after a reset", function()
    start("-no-shutdown -kernel " .. small.image "small.elf")
    client:command [[{"execute":"human-monitor-command",
      "arguments":{"command-line":"o /w 0x604 0x2000"}}]]
    assert.is_true(client:event("SHUTDOWN").data.guest)
    client:event "STOP"
    assert.equal("shutdown", client:command('{"execute":"query-status"}')["return"].status)
    client:command '{"execute":"system_reset"}'
    assert.is_nil(client:command('{"execute":"cont"}').error)
    assert.equal("running", client:command('{"execute":"query-status"}')["return"].status)
    client:command '{"execute":"quit"}'
    assert.is_true(has_ended())
  end)

  it("answers people at a monitor", function()
    start "-S -monitor unix:@/hmp,server=on,wait=off"
    local m = lunik.machine { board = { build = function() end }, accel = "none", memory = "1M" }
    m:object_add("chardev-socket", { id = "c", path = folder .. "/hmp", server = false })
    local stream, text = m:stream "c", ""
    stream:on_data(function(bytes) text = text .. bytes end)
    qmp.wait_for(function() return text:find "%(qemu%) $" end)
    text = ""
    stream:write "info stax\127tus\r"
    qmp.wait_for(function() return text:find "%(qemu%) $" end)
    assert.truthy(text:find("VM status: paused (prelaunch)\r\n", 1, true), text)
    stream:write "quit\n"
    m:close()
    assert.is_true(has_ended())
  end)

  it("is in the sandbox once it runs, unless that is switched off", function()
    if command.interpreter ~= "lua5.4" then return pending "a sanitizer can't be sandboxed" end
    for _, case in ipairs { { "", "2" }, { "-sandbox on", "2" }, { "-sandbox off", "0" } } do
      start(case[1])
      local status = command.read(("/proc/%s/status"):format(command.read(folder .. "/pid")
        :match "%d+"))
      assert.equal(case[2], status:match "Seccomp:%s*(%d)")
      client:command '{"execute":"quit"}'
      assert.is_true(has_ended())
      client:close()
    end
  end)
end)
