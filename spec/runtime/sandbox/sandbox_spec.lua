-- The sandbox: what it stops, and that machines do all they do inside it. Each process has one, so
-- scripts run in processes of their own.
local command = require "spec.support.command"

-- LeakSanitizer's tracer is just what a sandbox refuses.
local ENVIRONMENT = 'ASAN_OPTIONS="detect_leaks=0" '
local sanitized = require "lunik.core".sanitized()
local terminal = require "spec.support.terminal"
local tests = require "spec.support.files"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

-- A path that is found from another directory.
local function there(path)
  return path:find "^/" and path or os.getenv "PWD" .. "/" .. path
end

-- Whether the kernel can keep a process to paths.
local function landlock()
  local path <close> = command.file "require 'lunik'.sandbox { read = { '/usr' } }"
  return select(3, command.run(command.lunik .. " " .. path)) == 0
end

local CLOSE = "\nfor _, m in ipairs(require 'lunik'.machines()) do m:close() end\n"

-- Runs a script with the command; shell: what comes after it. Standard output, standard error, exit
-- code.
local function script(text, arguments, shell)
  local path <close> = command.file(text .. CLOSE)
  return command.run(("%stimeout 120 %s %s %s %s"):format(ENVIRONMENT, command.lunik,
    arguments or "", path, shell or ""))
end

local NONE = [[
local lunik = require "lunik"
local m = lunik.machine { board = "pc", accel = "none", memory = "16M", maxmem = "4G", slots = 4 }
]]

-- A script that must do all of it.
local function works(text, arguments, shell)
  local out, err, code = script(text, arguments, shell)
  assert.same({ "", 0 }, { err, code })
  return out
end

describe("lunik.sandbox", function()
  it("stops programs, files, sockets, and says what to allow", function()
    local out = works(NONE .. [[
lunik.sandbox {}
m:start()
print(os.execute "true")
print(io.popen "true")
print(io.open "/etc/passwd")
for _, thing in ipairs {
  { "memory-backend-file", { id = "f", size = "2M", mem_path = "/dev/shm" } },
  { "chardev-socket", { id = "s", path = "/tmp/lunik-sandbox-socket" } },
} do
  local ok, err = pcall(m.object_add, m, table.unpack(thing))
  print(ok, err.code, err.message)
end
]])
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    for i = 1, 2 do
      assert.matches('^nil\t.*does not allow programs.*allow = { "exec", .*lunik %-%-no%-sandbox',
        lines[i])
    end
    assert.matches("^nil\t/etc/passwd: .*sandbox.*lunik.sandbox: ", lines[3])
    assert.matches("^false\tdenied\tmemory%-backend%-file: mem%-path: '/dev/shm': .*sandbox",
      lines[4])
    assert.matches("^false\tdenied\tchardev%-socket: .*does not allow sockets", lines[5])
  end)

  it("allows what the policy lists", function()
    works(NONE .. [[
lunik.sandbox { allow = { "files", "sockets", "exec" } }
m:start()
assert(os.execute "true")
m:object_add("memory-backend-file", { id = "f", size = "2M", mem_path = "/tmp" })
local path = os.tmpname()
os.remove(path)
m:object_add("chardev-socket", { id = "s", path = path })
m:close()
assert(not io.open(path))
]])
  end)

  it("keeps to paths", function()
    local folder <close> = command.file("", ".d")
    os.remove(tostring(folder))
    assert(os.execute("mkdir " .. folder))
    works(NONE .. ([[
local folder = %q
lunik.sandbox { read = { "/etc/passwd" }, write = { folder } }
m:start()
assert(io.open "/etc/passwd")
assert(not io.open "/etc/group")
m:object_add("memory-backend-file", { id = "f", size = "2M", mem_path = folder })
m:object_add("memory-backend-file", { id = "g", size = "2M", mem_path = folder .. "/mem" })
os.remove(folder .. "/mem")
local ok, err = pcall(m.object_add, m, "memory-backend-file",
  { id = "h", size = "2M", mem_path = "/tmp" })
assert(not ok and err.code == "denied", tostring(err))
m:memory_map() -- a module that is loaded now
lunik.machine { board = "micro", accel = "none", memory = "1M" } -- a board, too
]]):format(tostring(folder)))
  end)

  for text, message in pairs {
    ['{ allow = { "file" } }'] = "'file' is not a valid choice (did you mean 'files'?)",
    ['{ alow = {} }'] = "'alow' is not an option (did you mean 'allow'?)",
    ['{ allow = { "exec" } }'] = "'exec' is of no use without 'files'",
    ['{ allow = { "files" }, read = { "/" } }'] = "'files' allows all files",
    ['{ read = { "/does/not/exist" } }'] = "path '/does/not/exist'",
    ['{ user = "no such user" }'] = "user: 'no such user' is not a user",
    ['{ user = 1.5 }'] = "user: '1.5' is not a user or a group",
  } do
    it("refuses " .. text, function()
      local out = works(([[
local lunik = require "lunik"
print(select(2, pcall(lunik.sandbox, %s)))
assert(lunik.sandbox() == nil)
]]):format(text))
      assert.is_truthy(out:find(message, 1, true), out)
    end)
  end

  it("is entered once, and before machines run", function()
    local out = works(NONE .. [[
lunik.sandbox {}
print(pcall(lunik.sandbox, {}))
print(pcall(lunik.sandbox, false))
]])
    assert.matches("entered one already.*can.t leave it", out)
  end)
end)

describe("the lunik command's sandbox", function()
  local SHOW = NONE .. [[
assert(lunik.sandbox() == nil)
m:start()
local s = lunik.sandbox()
print(s and table.concat(s.allow, ",") or "off")
]]

  -- What is on by default, where sanitizers let it be.
  local function by_default(name, fn)
    it(name, function()
      if sanitized then
        return pending("a sanitizer does what a sandbox refuses")
      end
      fn()
    end)
  end

  it("is off by default under sanitizers, which -W reports", function()
    if not sanitized then
      return pending("no sanitizer")
    end
    local out, err, code = script(SHOW, "-W")
    assert.same({ "off\n", 0 }, { out, code })
    assert.matches("^Lua warning: lunik: not entered: sandbox: this build's sanitizer", err)
  end)

  by_default("is on by default: a script opens files and takes memory, and starts no programs",
    function()
      assert.equal("listen\nnil\ntrue\n", works(SHOW .. [[
local ok, message = os.execute "true"
print(ok)
assert(message:find("run lunik --no-sandbox", 1, true), message)
local path = os.tmpname()
local file = assert(io.open(path, "w"))
file:close()
m:object_add("memory-backend-file", { id = "f", size = "2M", mem_path = path })
m:object_add("chardev-socket", { id = "s", path = path .. ".s" })
assert(next(require "lunik.initramfs".from_folder "scripts"))
print(os.remove(path))
]]))
    end)

  local ANOTHER = [[
mkdir work home tmp && touch home/key home/named && cp %s work/script.lua && cd work || exit 1
export TMPDIR=../tmp
sleep 60 & other=$!
%s script.lua ../home/named $other
code=$?
kill $other
exit $code]]

  -- Files beyond the working directory that no caller can open.
  by_default("lets a script read what it needs and write where it works, and no more", function()
    if not landlock() then
      return pending("no Landlock")
    end
    local folder <close> = command.file("", ".d")
    local tries <close> = command.file(NONE .. [[
m:start()
local other = arg[2]
local function try(path, mode)
  local file, message = io.open(path, mode)
  local shown = path:gsub(other, "PID"):gsub("%.%./tmp", "tmp")
  print(shown, file and "open" or message:match "sandbox" or message)
  if file then file:close() end
end
for _, path in ipairs { "/usr/share", "/proc/meminfo", "/etc/passwd", "../home/named",
  "../home/key", "/etc/shadow", "/proc/" .. other .. "/environ" } do
  try(path, "r")
end
for _, path in ipairs { "here", "../tmp/" .. other, "/dev/shm/lunik-" .. other } do
  try(path, "w")
  os.remove(path)
end
for _, path in ipairs { "/dev/null", "../home/key", "../home/named", "/proc/" .. other .. "/mem",
  "/proc/self/mem", "/proc/sys/kernel/core_pattern", "/usr/bin/env" } do
  try(path, "r+")
end
try("../home/profile", "a")
try("/etc/cron.d/lunik", "a")
]] .. CLOSE)
    os.remove(tostring(folder))
    local out, err, code = command.run(("mkdir %s && cd %s || exit 1\n%s"):format(folder, folder,
      ANOTHER:format(tries, there(command.lunik))))
    os.execute("rm -r " .. folder)
    assert.same({ "", 0 }, { err, code })
    assert.equal([[
/usr/share	open
/proc/meminfo	open
/etc/passwd	open
../home/named	open
../home/key	sandbox
/etc/shadow	sandbox
/proc/PID/environ	sandbox
here	open
tmp/PID	open
/dev/shm/lunik-PID	open
/dev/null	open
../home/key	sandbox
../home/named	sandbox
/proc/PID/mem	sandbox
/proc/self/mem	sandbox
/proc/sys/kernel/core_pattern	sandbox
/usr/bin/env	sandbox
../home/profile	sandbox
/etc/cron.d/lunik	sandbox
]], command.memory_folder == "/dev/shm" and out
      or out:gsub("/dev/shm/lunik%-PID\t[^\n]*", "/dev/shm/lunik-PID\topen"))
  end)

  by_default("allows all files where the kernel has no Landlock, which -W reports", function()
    local WITHOUT = [[
local core = require "lunik.core"
local enter = core.sandbox
function core.sandbox(policy)
  if policy.read_if_there then error(core.error("unsupported", "no Landlock"), 0) end
  enter(policy)
end
]]
    local out, err, code = script(WITHOUT .. SHOW, "-W")
    assert.same({ "files,listen\n", 0 }, { out, code })
    assert.equal("Lua warning: lunik: entered with all files allowed: no Landlock\n", err)
    assert.equal("files,listen\n", works(WITHOUT .. SHOW))
    for _, option in ipairs { "--sandbox", "--sandbox=on,sockets", "--sandbox=read:/usr" } do
      out, err, code = script(WITHOUT .. SHOW, option)
      assert.same({ "", 1 }, { out, code })
      assert.matches("no Landlock", err)
    end
  end)

  by_default("grants what the modules need that were loaded before", function()
    local CONNECT = [[
local uv = require "luv"
local socket = uv.new_tcp("inet")
print(socket and "a socket")
]]
    assert.equal("a socket\n", works("require 'luv' " .. NONE .. "m:start()" .. CONNECT))
    assert.equal("nil\n", works(NONE .. "m:start()" .. CONNECT))
  end)

  by_default("leaves root what it could open", function()
    if not command.root() then
      return pending("not root")
    end
    local path <close> = command.file("text")
    assert(os.execute(("chown nobody %s && chmod 0600 %s"):format(path, path)))
    assert.equal("text\n", works(NONE .. ("m:start() print(io.open(%q):read 'a')"):format(
      tostring(path))))
  end)

  by_default("waits for programs that a script started before", function()
    assert.equal("hello\ttrue\n", works(NONE .. [[
local pipe = io.popen "echo hello"
m:start()
print(pipe:read(), (pipe:close()))
]]))
  end)

  by_default("is not entered where there are threads, which -W reports", function()
    local SECOND = NONE .. [[
local n = lunik.machine { board = "pc", accel = "none", memory = "16M", sandbox = false }
local uv = require "luv"
local up = uv.new_async(function() end)
local thread = uv.new_thread(function(up) -- the process must not end while it loads modules
  local uv = require "luv"
  up:send()
  uv.sleep(5000)
end, up)
uv.run "once"
m:start()
print(lunik.sandbox())
os.exit(0, false)
]]
    local out, err, code = script(SECOND, "-W")
    assert.same({ "nil\n", 0 }, { out, code })
    assert.matches("^Lua warning: lunik: not entered: sandbox: the process has %d threads", err)
    assert.equal("nil\n", works(SECOND))
    out, err, code = script(SECOND, "--sandbox=files")
    assert.same({ "", 1 }, { out, code })
    assert.matches("sandbox: the process has %d threads already", err)
  end)

  by_default("can be had within another", function()
    local inner <close> = command.file(SHOW .. CLOSE)
    assert.equal("listen\n", works(NONE .. ([[
lunik.sandbox { allow = { "files", "sockets", "exec" } }
assert(os.execute(%q))
]]):format(ENVIRONMENT .. command.lunik .. " " .. inner)))
  end)

  by_default("is that of the prompt", function()
    local screen, code = on_terminal(command.lunik, {
      { "lunik> ", "m = lunik.machine { board = 'pc', accel = 'none', memory = '16M' }\r" },
      { "lunik> ", "m:start()\r" },
      { "lunik> ", "#lunik.sandbox().allow\r" },
      { "1\n", "io.popen 'true'\r" },
      { "run lunik --no-sandbox", "m:reset() m:close()\r" },
      { "lunik> ", "lunik.machine { board = 'micro', accel = 'none' }:start()\r" },
      { "lunik> ", "io.open '/etc/passwd' ~= nil\r" },
      { "true", "\4" },
    })
    assert.equal(0, code, screen)
  end)

  it("can't be had under sanitizers without saying what for", function()
    if not sanitized then
      return pending("no sanitizer")
    end
    local _, err, code = script(SHOW, "--sandbox")
    assert.equal(1, code)
    assert.matches("this build's sanitizer needs calls that it refuses", err, 1, true)
  end)

  it("follows its options", function()
    assert.equal("off\n", works(SHOW, "--no-sandbox"))
    assert.equal("off\n", works(SHOW, "--sandbox=off"))
    assert.equal("\n", works(SHOW, "--sandbox=none"))
    if not sanitized then
      assert.equal("listen\n", works(SHOW, "--sandbox"))
      assert.equal("sockets\n", works(SHOW, "--sandbox=on,sockets"))
      assert.equal("files,listen\n", works(SHOW, "--sandbox=on,files"))
    end
    assert.equal("files,network,exec\n", works(SHOW, "--sandbox=network,files,exec"))
    local _, err, code = script(SHOW, "--sandbox=file")
    assert.matches("^lunik: %-%-sandbox: allow: 'file' is not a valid choice", err)
    assert.equal(2, code)
  end)

  it("can be widened and refused by the script", function()
    assert.equal("exec\n", works(NONE .. [[
lunik.sandbox { allow = { "files", "exec" } }
m:start()
print(os.execute "true" and lunik.sandbox().allow[2])
]]))
    assert.equal("off\n", works("require 'lunik'.sandbox(false) " .. SHOW, "--sandbox"))
    assert.equal("off\n", works((SHOW:gsub("slots = 4", "%0, sandbox = false")), "--sandbox"))
    assert.equal("\n", works((SHOW:gsub("slots = 4", "%0, sandbox = true"))))
  end)
end)

describe("in the sandbox", function()
  if sanitized then
    return it("specs pass", function() pending("sanitizers make calls of their own") end)
  end

  -- A policy that opens no more than what the specs and their library read.
  local TIGHT = ('{ read = { ".", "/usr/share/lua" }, write = { %s } }'):format(
    command.kvm() and '"/dev/kvm"' or "")
  local ORDINARY = '{ default = true }'

  -- {spec, policy, which of its tests}. One of a kind of test is enough for a policy: the others of
  -- that kind make the same calls.
  local RUNS = {
    { "hotplug", TIGHT, "the.scripted.guest" },
    { "hotplug", TIGHT, "small.guest.keeps.its.memory" },
    { "hotplug", ORDINARY, "small.guest.plugs.in.every.order" },
    { "dirty", TIGHT }, { "dirty", ORDINARY, "exactly.those.it.wrote" },
    { "ioeventfd", TIGHT }, { "ioeventfd", ORDINARY, "with.KVM.a.closed.ioeventfd" },
    { "events", TIGHT }, { "events", ORDINARY },
    { "lua_device", TIGHT }, { "lua_device", ORDINARY },
    { "serial", TIGHT }, { "objects", TIGHT },
    { "memory_map", ORDINARY }, { "regions", ORDINARY },
  }
  for _, run in ipairs(RUNS) do
    local name, policy, filter = table.unpack(run)
    it(("%s_spec passes with %s%s"):format(name, policy, filter and ": " .. filter or ""),
      function()
        local path <close> = command.file(([[
package.path = "./?.lua;" .. package.path
for _, name in ipairs { "busted", "luv", "system", "term", "lfs" } do require(name) end
require "lunik".sandbox %s
arg = { [0] = "busted", table.unpack(arg) }
require "busted.runner" { standalone = false }
]]):format(policy))
        local out, err, code = command.run(("%sCYCLES=2 timeout 600 %s %s --ignore-lua "
          .. "--filter='%s' -o plainTerminal %s"):format(ENVIRONMENT, command.lunik, path,
          filter or ".", tests.find(name .. "_spec")))
        assert.equal(0, code, out .. err)
        local some = command.kvm() and "[1-9]%d*" or "%d+" -- of a filter's tests
        assert.matches(some .. " success%a* / 0 failures / 0 errors", out)
      end)
  end

  it("memory is placed on the host's nodes with nothing allowed", function()
    local backend = NONE .. [[
-- The result does not depend on the sandbox: some kernels have no NUMA.
local function outcomes()
  local list = {}
  for _, policy in ipairs { "bind", "preferred", "interleave" } do
    for _, type in ipairs { "memory-backend-ram", "memory-backend-memfd" } do
      local ok, err = pcall(m.object_add, m, type, {
        id = "mem", size = "2M", policy = policy, host_nodes = { 0 }, prealloc = true,
      })
      list[#list + 1] = ok and "placed" or err.code .. " " .. err.message
      if ok then m:object_del "mem" end
    end
  end
  return table.concat(list, "\n")
end
local before = outcomes()
lunik.sandbox {}
m:start()
assert(outcomes() == before, outcomes())
print(before:find "placed" and "placed" or before)
]]
    local out = works(backend)
    assert(out == "placed\n" or out:find "can't bind memory to NUMA nodes", out)
  end)

  -- A refused call is kept until the script asks why it failed.
  it("no device opens a file or a socket for a guest", function()
    assert.equal("nil\n", works(NONE .. [[
local core = require "lunik.core"
local devices = { 0x20, 0x40, 0x60, 0x64, 0x70, 0x80, 0x92, 0x3f8, 0x402, 0x510, 0xa00, 0xaf00,
  0xb000, 0xcd8, 0xcf8, 0xcfc }
core.sandbox { allow = 0 } -- not even the library's own scripts
m:start()
math.randomseed(1)
for i = 1, 20000 do
  local port = i % 4 == 0 and math.random(0, 0xffff)
    or devices[i % #devices + 1] + math.random(0, 7)
  pcall(i % 3 == 0 and m.outl or m.outb, m, port, math.random(0, 255))
  pcall(m.store, m, math.random(0, 3) << 30 | math.random(0, 1 << 24), 1 << math.random(0, 3), i)
  if i % 500 == 0 then m:reset() end
end
lunik.run "nowait"
print(core.sandbox_denial())
assert(not io.open "/etc/passwd" and core.sandbox_denial())
]]))
  end)

  it("disks are those that were opened before, or come as descriptors", function()
    local before <close> = command.file ""
    local after <close> = command.file ""
    for _, file in ipairs { before, after } do
      assert(os.execute("truncate -s 1M " .. file))
    end
    works(NONE .. ([[
package.path = "./?.lua;" .. package.path
local blk = require "spec.support.blk"
m:object_add("blockdev-file", { id = "before", filename = "%s", aio = "auto" })
lunik.sandbox {}
local ok, err = pcall(m.object_add, m, "blockdev-file", { id = "no", filename = "%s" })
assert(not ok and err.code == "denied" and err.message:find("filename", 1, true), err)
m:object_add("blockdev-file", { id = "after", fd = 3, aio = "threads" })
for slot, drive in pairs { [4] = "before", [5] = "after" } do
  m:object_add("iothread", { id = "io" .. slot })
  m:device_add("virtio-blk-pci", { bus = "i440fx", addr = tostring(slot), drive = drive,
    iothread = "io" .. slot })
end
m:start()
for slot, text in pairs { [4] = "first", [5] = "second" } do
  local d = blk.start(m, slot)
  assert(blk.request(d, blk.WRITE, 3, text .. (" "):rep(512 - #text)) == 0)
  assert(blk.request(d, blk.FLUSH, 0) == 0)
  assert(blk.request(d, blk.DISCARD, 0, ("<I8I4I4"):pack(16, 8, 0)) == 0)
  assert(select(2, blk.request(d, blk.READ, 3, nil, 512)):find("^" .. text))
end
m:close()
]]):format(there(tostring(before)), there(tostring(after))), "", "3<>" .. after)
    for text, file in pairs { first = before, second = after } do
      local f <close> = assert(io.open(tostring(file)))
      f:seek("set", 3 * 512)
      assert.equal(text, f:read(#text))
    end
  end)

  it("taps are those that were opened before, or come as descriptors", function()
    local OPEN = [[perl -e '$^F = 9; open(T, "+<", "/dev/net/tun") || exit 9; ]]
      .. [[my $r = pack("Z16Sx22", "", 0x5002); ]]
      .. [[ioctl(T, 0x400454ca, $r) || exit 9; ]]
      .. [[open(F, "+<&=", fileno(T)); exec("env", "TAP=" . fileno(T), @ARGV)' ]]
    local path <close> = command.file(NONE .. [[
local fd = math.tointeger(os.getenv "TAP")
lunik.sandbox {}
m:object_add("netdev-tap", { id = "net0", fd = fd })
m:device_add("virtio-net-pci", { id = "nic0", bus = "i440fx", netdev = "net0" })
m:start()
local ok, err = pcall(m.object_add, m, "netdev-tap", { id = "net1", ifname = "lunik-spec" })
print(ok, err.code)
m:close()
]])
    local out, err, code = command.run(("%s%s timeout 120 %s %s"):format(ENVIRONMENT, OPEN,
      command.lunik, path))
    if code == 9 then return pending "no right to make a tap" end
    assert.same({ "false\tdenied\n", "", 0 }, { out, err, code })
  end)

  it("memory is plugged from descriptors that were open before", function()
    local file <close> = command.file("")
    assert(os.execute("truncate -s 256M " .. file))
    works(NONE .. [[
lunik.sandbox {}
m:start()
local ok, err = pcall(m.object_add, m, "memory-backend-file",
  { id = "a", size = "16M", mem_path = "/proc/self/fd/3" })
assert(not ok and err.code == "denied", err)
for i = 0, 1 do
  local id = "m" .. i
  m:object_add("memory-backend-file", { id = id, size = "128M", fd = 3, share = true,
    offset = i * (128 << 20) })
  m:device_add("pc-dimm", { id = "d" .. i, memdev = id, addr = (4 << 30) + i * (128 << 20) })
end
m:write((4 << 30) + (128 << 20), "unik")
]], "", "3<>" .. file .. " && test $(tail -c $((128 << 20)) " .. file .. " | head -c 4) = unik")
  end)
end)

describe("a machine in the sandbox", function()
  if not command.kvm() then
    return it("runs", function() pending("no /dev/kvm") end)
  end

  local GUEST = [[
local lunik = require "lunik"
local small = require "spec.support.small_guest"
local function plug(m, id, type, props)
  props.id, props.size = id .. "-mem", "128M"
  m:object_add(type, props)
  m:device_add("pc-dimm", { id = id, memdev = id .. "-mem" })
  assert(m:wait("acpi-ost", { device = id, timeout = small.TIMEOUT }).status == 0)
end
local function unplug(m, id)
  m:device_del(id):wait { timeout = small.TIMEOUT }
  m:object_del(id .. "-mem")
end
]]

  it("boots, takes memory, logs writes, pauses, resets; so does a second one", function()
    works(GUEST .. [[
local logs = { { dirty_log = "manual" }, { dirty_log = "bitmap" }, { dirty_ring = 65536 } }
for i, options in ipairs(logs) do
  options.cpus = 2
  options.sandbox = i == 1 and { read = { small.image "" } } or nil -- further kernels
  local m = small.machine(options)
  small.start(m)
  assert(#lunik.sandbox().allow == 0)
  plug(m, "ram", "memory-backend-ram", { prealloc = true, prealloc_threads = 2 })
  plug(m, "memfd", "memory-backend-memfd", { share = true })
  unplug(m, "ram")
  local dirty = m:dirty()
  dirty:start()
  small.run(m, "help")
  assert(dirty:sync() > 0)
  dirty:clear()
  dirty:stop()
  m:pause()
  m:resume()
  m:reset()
  small.ready(m)
  m:close()
end
]])
  end)

  it("of another user also boots and takes memory, and so does a second one", function()
    if not command.root() then
      return pending("not root")
    elseif not os.execute "setpriv --reuid=nobody --clear-groups test -r \"$PWD\"/Makefile" then
      return pending("other users can't read this directory")
    end
    works(GUEST .. [[
local images = small.image "" .. "."
for i = 1, 2 do
  local m = small.machine { sandbox = { user = "nobody", group = 12345, read = { images } } }
  small.start(m)
  assert(lunik.sandbox())
  plug(m, "ram", "memory-backend-ram", {})
  plug(m, "memfd", "memory-backend-memfd", {})
  unplug(m, "ram")
  m:close()
end
]])
  end)

  it("keeps vCPUs' handlers from programs and sockets", function()
    works(GUEST .. [[
local m = small.machine { sandbox = { allow = { "files", "sockets", "exec" } } }
local said, err
lunik.device { name = "asker", ports = { base = 0x510, size = 1, write = function(dev)
  said = select(2, os.execute "true")
  local ok
  ok, err = pcall(m.object_add, m, "chardev-socket", { id = "s", path = os.tmpname() .. ".s" })
  assert(not ok)
  return true
end } }
m:device_add("asker", { id = "asker" })
small.start(m)
small.run(m, "out 0x510 8")
assert(said:find "does not allow programs", said)
assert(err.code == "denied", tostring(err))
assert(os.execute "true")
]])
  end)

  it("keeps vCPUs' handlers to the paths, as the loop", function()
    works(GUEST .. [[
local m = small.machine { sandbox = { default = true } }
local function tries()
  local said = {}
  for _, path in ipairs { "/etc/shadow", "/etc/group", "/proc/1/mem", "/proc/self/mem" } do
    said[#said + 1] = select(2, io.open(path, "r+"))
  end
  said[#said + 1] = select(2, os.remove "/etc/passwd")
  said[#said + 1] = select(2, io.popen "true")
  return said
end
local said
lunik.device { name = "asker", ports = { base = 0x510, size = 1, write = function()
  said = tries()
  return true
end } }
m:device_add("asker", { id = "asker" })
small.start(m)
small.run(m, "out 0x510 8")
for _, list in ipairs { said, tries() } do
  assert(#list == 6)
  for _, message in ipairs(list) do assert(message:find "sandbox", message) end
end
]])
  end)
end)
