-- Character devices from Lua. test_chardev.c has what needs terminals, sockets and pipes.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local command = require "spec.support.command"
local terminal = require "spec.support.terminal"

local COM2 = 0x2f8

local function slurp(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

describe("character devices", function()
  local m, path

  before_each(function()
    m = lunik.machine { board = "pc", accel = "none", memory = "16M", serial = "none" }
    path = os.tmpname()
  end)

  after_each(function()
    m:close()
    os.remove(path)
  end)

  local function connect(id)
    m:device_add("serial16550", { id = "serial1", iobase = COM2, irq = 3, chardev = id })
  end

  local function send(text) machines.send(m, COM2, text) end

  it("file: gets what the guest writes", function()
    m:object_add("chardev-file", { id = "log", path = path })
    connect "log"
    send("one\ntwo\n")
    assert.equal(8, m:object("log").written)
    m:close()
    assert.equal("one\ntwo\n", slurp(path))
  end)

  it("a function gets the output though nothing else holds the character device", function()
    local text = ""
    m:device_add("serial16550", {
      id = "serial1", iobase = COM2, irq = 3,
      chardev = m:chardev(function(bytes) text = text .. bytes end, "kept"),
    })
    machines.collect()
    send "one"
    lunik.sleep(0.02)
    assert.equal("one", text)
  end)

  it("file: a full disk is an event, and the guest goes on", function()
    m:object_add("chardev-file", { id = "log", path = "/dev/full" })
    connect "log"
    local seen = {}
    m:on("chardev-error", function(ev) seen[#seen + 1] = ev end)
    send("lost")
    m:wait("chardev-error", { object = "log", timeout = 5 })
    send("lost")
    lunik.sleep(0.02)
    assert.equal(1, #seen)
    assert.truthy(seen[1].message:find("space"))
    assert.equal(8, m:object("log").dropped)
    assert.equal(0x60, m:inb(COM2 + 5))
  end)

  it("file: output that is lost because the machine is closed is reported", function()
    m:object_add("chardev-file", { id = "log", path = "/dev/full" })
    connect "log"
    local seen = {}
    m:on("chardev-error", function(ev) seen[#seen + 1] = ev.object .. ": " .. ev.message end)
    m:on("*", function(ev) seen[#seen + 1] = ev.machine.state end)
    send "lost"
    m:close()
    assert.same({ "log: 4 bytes of output are lost: no space left on device", "closed" }, seen)
  end)

  it("file: what is lost at the end of a script is printed", function()
    for _, ending in ipairs { "os.exit(0, true)", "m:close()" } do
      local script <close> = command.file([[
        local m = require("lunik").machine { name = "m", accel = "none", board = "micro",
          memory = "16M", serial = "file:/dev/full" }
        m:outb(0x3f8, 65)
      ]] .. ending, ".lua")
      local out, err, code = command.run(command.lunik .. " " .. script)
      assert.same({ "", "lunik: machine 'm': serial-chardev: 1 bytes of output are lost: "
        .. "no space left on device\n", 0 }, { out, err, code })
    end
  end)

  it("a function gets what was written before an event before handlers get the event", function()
    local text, seen = "", {}
    connect(m:chardev(function(bytes) text = text .. bytes end, "kept").id)
    m:start()
    for _, name in ipairs { "mark", "shutdown" } do
      m:on(name, function() seen[#seen + 1] = text end)
    end
    send "one"
    lunik.run "nowait"
    send "two"
    m:emit("mark", {})
    m:wait "mark"
    send "three"
    m:shutdown()
    m:wait "shutdown"
    assert.same({ "onetwo", "onetwothree" }, seen)
  end)

  it("file: has what was written before an event before the handlers of that event", function()
    m:object_add("chardev-file", { id = "log", path = path })
    connect "log"
    local seen = {}
    m:on("mark", function() seen[#seen + 1] = slurp(path) end)
    send "one"
    lunik.run "nowait"
    send "two"
    m:emit("mark", {})
    m:wait "mark"
    assert.same({ "onetwo" }, seen)
  end)

  it("a function gets what was written last when its machine is closed", function()
    local text = ""
    connect(m:chardev(function(bytes) text = text .. bytes end, "kept").id)
    send "one"
    lunik.run "nowait"
    send "two"
    m:close()
    assert.equal("onetwo", text)
  end)

  it("a function that is called too late to get everything is an event", function()
    local o = m:chardev(function() end, "kept")
    connect "kept"
    local seen
    m:on("chardev-error", function(ev) seen = ev.object .. ": " .. ev.message end)
    local block = ("x"):rep(4096)
    for _ = 1, o.size // #block + 1 do
      for c in block:gmatch "." do m:outb(COM2, c:byte()) end
    end
    m:wait("chardev-error", { timeout = 10 })
    assert.equal("kept: 4096 bytes of output are lost: the function was not called in time", seen)
  end)

  -- However the script ends: what the guest has written has arrived by then.
  local ends = {
    "", "m:close()", "os.exit(0)", "os.exit(0, true)",
    "os.execute 'kill -TERM $PPID' lunik.sleep(10)",
  }
  local serials = {
    { "a function", "function(bytes) io.write(bytes) end" }, { "stdio", "'stdio'" },
    { "file", "'file:/dev/stdout'" },
  }
  local commands = {
    lunik = command.lunik .. " --no-sandbox",
    ["the interpreter"] = command.interpreter,
  }

  for name, line in pairs(commands) do
    for _, serial in ipairs(serials) do
      for _, ending in ipairs(ends) do
        local signal = ending:find "kill"
        if name == "lunik" or not signal then
          it(("%s: all output has arrived when %s ends with '%s'"):format(serial[1], name,
              ending:sub(1, 20)), function()
            local script <close> = command.file(([[
              local lunik = require "lunik"
              local m = lunik.machine { accel = "none", board = "micro", memory = "16M",
                serial = %s }
              for _ = 1, 500 do m:outb(0x3f8, 65) end
              lunik.run "nowait"
              for _ = 1, 500 do m:outb(0x3f8, 65) end
              ]]):format(serial[2]) .. ending, ".lua")
            assert.equal(("A"):rep(1000), (command.run(line .. " " .. script .. " | cat")))
          end)
        end
      end
    end
  end

  it("output that a serial port still holds when it is closed is reported", function()
    os.remove(path)
    os.execute("mkfifo " .. path)
    local reader = assert(io.open(path, "r+"))
    m:object_add("chardev-file", { id = "log", path = path })
    connect "log"
    local seen = {}
    m:on("chardev-error", function(ev)
      seen[#seen + 1] = ev.message:match "^(%d+) bytes of output"
    end)
    local sent = 0
    while m:inb(COM2 + 5) & 0x20 ~= 0 do
      m:outb(COM2, 65)
      sent = sent + 1
      if sent % 1000 == 0 then lunik.sleep(0.003) end
    end
    local written = m:object("log").written
    m:close()
    reader:close()
    assert.equal(2, #seen)
    assert.equal(sent - written, tonumber(seen[1]))
    assert.equal(65536, tonumber(seen[2]))
  end)

  it("file: a large output is complete", function()
    m:object_add("chardev-file", { id = "log", path = path })
    connect "log"
    local line = ("x"):rep(99) .. "\n"
    local wanted = 3000
    lunik.spawn(function()
      for _ = 1, wanted do
        for c in line:gmatch(".") do
          while m:inb(COM2 + 5) & 0x20 == 0 do lunik.sleep(0.001) end
          m:outb(COM2, c:byte())
        end
      end
      m:close()
    end)
    lunik.run()
    assert.equal(line:rep(wanted), slurp(path))
  end)

  it("buffer: keeps the last bytes", function()
    local o = m:object_add("chardev-buffer", { id = "b", size = 16 })
    connect "b"
    send("0123456789abcdefghij")
    assert.equal(20, o.written)
    assert.equal(16, o.size)
  end)

  it("null: counts what it drops", function()
    local o = m:object_add("chardev-null", { id = "n" })
    connect "n"
    send("nothing")
    assert.equal(7, o.dropped)
  end)

  it("pty: names its slave and drops output while that is closed", function()
    if terminal.missing() then pending(terminal.missing()) end
    local o = m:object_add("chardev-pty", { id = "p" })
    connect "p"
    assert.truthy(o:get("path"):match("^/dev/pts/%d+$"))
    assert.is_false(o.connected)
    send("nobody")
    assert.equal(6, o.dropped)
  end)

  it("socket: listens at its path and removes it", function()
    os.remove(path)
    m:object_add("chardev-socket", { id = "s", path = path })
    connect "s"
    assert.truthy(os.rename(path, path))
    assert.is_false(m:object("s").connected)
    m:close()
    assert.is_nil(io.open(path))
  end)

  it("can be added and removed while the machine runs", function()
    if terminal.missing() then pending(terminal.missing()) end
    m:start()
    for i = 1, 50 do
      m:object_add("chardev-file", { id = "f" .. i, path = path })
      m:object_add("chardev-pty", { id = "p" .. i })
      m:object_del("f" .. i)
      m:object_del("p" .. i)
    end
    lunik.run("nowait")
    assert.is_nil(m:object("p1"))
  end)

  local bad = {
    { "chardev-file", {}, "invalid", "path: is missing" },
    { "chardev-file", { path = "/nowhere/x" }, "not-found", "/nowhere/x" },
    { "chardev-file", { path = "/tmp" }, nil, "/tmp" },
    { "chardev-socket", {}, "invalid", "path: is missing" },
    { "chardev-socket", { path = ("x"):rep(108) }, "invalid", "too long" },
    { "chardev-socket", { path = "" }, "invalid", "path" },
    { "chardev-socket", { path = "/nowhere/x", server = false }, "not-found", "/nowhere/x" },
    { "chardev-buffer", { size = 0 }, "invalid", "size" },
    { "chardev-buffer", { size = "2G" }, "invalid", "size" },
    { "chardev-pty", { path = "/dev/pts/0" }, nil, "path" },
    { "chardev", {}, "invalid", "abstract" },
  }

  for _, case in ipairs(bad) do
    it(("refuses %s: %s"):format(case[1], case[4]:sub(1, 20)), function()
      case[2].id = "bad"
      local ok, err = pcall(m.object_add, m, case[1], case[2])
      assert.is_false(ok)
      if case[3] then assert.equal(case[3], err.code) end
      assert.truthy(err.message:find(case[4], 1, true), err.message)
      assert.is_nil(m:object("bad"))
    end)
  end
end)
