-- Handles: identity, what they do when the thing they name is gone, garbage collection, and the
-- end of a Lua state with machines in it.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local command = require "spec.support.command"

after_each(machines.close_all)

local function gone(fn, ...)
  local err = machines.raised(fn, ...)
  assert.are.equal("gone", err.code, tostring(err))
  return err.message
end

local interpreter = command.interpreter

describe("the same thing", function()
  it("is the same userdata", function()
    local m = machines.none { serial = "buffer" }
    assert.are.equal(m, lunik.machines()[1])
    assert.are.equal(m.memory, m.memory)
    assert.are.equal(m.io.root, m.io.root)
    assert.are.equal(m:object "serial0", m:object "serial0")
    assert.are.equal(m:object "serial0", m:object "/machine/serial0")
    assert.are.equal(m, m:object("serial0").machine)
    local region = m:region { kind = "container", size = 16 }
    m.io.root:add(region, 0x500)
    assert.are.equal(region, m.io.root.children[1])
    assert.are.equal(m:console(), m:console())
  end)

  it("keeps its userdata while the machine is open", function()
    local m = machines.none()
    m:on("tick", function() end)
    local key = tostring(m)
    m = nil -- luacheck: ignore 311
    machines.collect()
    assert.are.equal(key, tostring(lunik.machines()[1]))
    local state = require("lunik.event").state(lunik.machines()[1])
    assert.are.equal(1, #state.handlers.tick)
  end)
end)

describe("a handle of a thing that is gone", function()
  it("says so: device", function()
    local m = machines.none()
    local device = m:device_add("post-code", { id = "code" })
    m:device_del "code"
    assert.is_false(device.alive)
    assert.are.same({ "code", "post-code", "/machine/code", "ejected" },
      { device.id, device.type, device.path, device.state })
    assert.are.equal("device 'code' is gone", gone(device.get, device, "iobase"))
    assert.are.equal("device 'code' is gone", gone(function() return device.iobase end))
    assert.are.equal("device 'code' is gone", gone(function() device.iobase = 1 end))
    assert.are.equal("device 'code' is gone", gone(m.device_del, m, device))
    assert.is_truthy(tostring(device):find "gone")
  end)

  it("says so: object", function()
    local m = machines.none()
    local object = m:object_add("memory-backend-ram", { id = "mem1", size = "1M" })
    m:object_del(object)
    assert.are.equal("object 'mem1' is gone", gone(function() return object.size end))
    assert.are.equal("object 'mem1' is gone", gone(m.object_del, m, object))
    assert.are.equal("object 'mem1' is gone", gone(m.region, m, { kind = "ram", memdev = object }))
  end)

  it("is not the handle of a new thing of the same name", function()
    local m = machines.none()
    local old = m:device_add("post-code", { id = "code" })
    m:device_del(old)
    local new = m:device_add("post-code", { id = "code" })
    assert.are_not.equal(old, new)
    assert.is_false(old.alive)
    assert.is_true(new.alive)
  end)

  it("says so: everything of a closed machine", function()
    local m = machines.none { serial = "buffer" }
    local memory, io, root = m.memory, m.io, m.io.root
    local region = m:region { kind = "io", size = 4, read = function() return 1 end }
    root:add(region, 0x500)
    local irq, timer, device = m:irq(5), m:timer(function() end), m:object "serial0"
    local console, watch = m:console(), m:watch "tick"
    timer:set(1000)
    irq:set(true)
    m:close()
    for name, method in pairs(require("lunik.core").classes.Machine.methods) do
      if name ~= "close" then
        local err = machines.raised(method, m, "x", "y", "z")
        assert.is_true(err.code == "gone" or name == "device_del"
          or name == "chardev" or name == "watch" or name == "wait" or name == "once"
          or name == "on" or name:find "^on_", name .. ": " .. tostring(err))
      end
    end
    gone(m.on, m, "tick", print)
    gone(m.on_irq, m, print)
    gone(m.wait, m, "tick")
    gone(m.device_del, m, "serial0")
    gone(function() return m.memory end)
    gone(memory.read, memory, 0, 4)
    gone(io.load, io, 0, 4)
    gone(function() return memory.root end)
    gone(root.add, root, region, 0)
    gone(function() return region.size end)
    gone(function() region.enabled = false end)
    gone(irq.set, irq, true)
    gone(timer.set, timer, 1)
    gone(device.get, device, "iobase")
    gone(console.write, console, "x")
    gone(console.expect, console, "x")
    gone(watch.wait, watch)
    irq:close()
    assert.are.same({ "closed", "spec", "none", 0 }, { m.state, m.name, m.accel, m.exit_code })
    for _, handle in ipairs { m, memory, region, irq, timer, device } do
      assert.is_string(tostring(handle))
    end
    m, memory, io, root, region = nil -- luacheck: ignore 311 532
    irq, timer, device, console, watch = nil -- luacheck: ignore 311 532
    machines.collect()
  end)
end)

describe("collecting a handle", function()
  it("neither unplugs nor deletes nor stops", function()
    local m = machines.none()
    m:object_add("memory-backend-ram", { id = "mem1", size = "1M" })
    m:device_add("post-code", { id = "code" })
    m:start()
    m = nil -- luacheck: ignore 311
    machines.collect()
    m = lunik.machines()[1]
    assert.are.equal("running", m.state)
    assert.is_true(m:object("mem1").alive)
    assert.is_true(m:object("code").alive)
  end)

  it("can't close a machine, for a finalizer may run in the middle of anything", function()
    local m = machines.none()
    local err
    setmetatable({}, { __gc = function()
      err = select(2, pcall(m.close, m))
      lunik.defer(function() m:close() end)
    end })
    machines.collect()
    assert.are.equal("state", err.code)
    assert.is_truthy(err.message:find("can't be closed by a finalizer (use lunik.defer)", 1, true))
    assert.are.equal("created", m.state)
    lunik.sleep(0.01)
    assert.are.equal("closed", m.state)
  end)

  -- In a process of its own, where a small heap is collected often.
  it("may have a finalizer delete things at any moment", function()
    local out, err, code = command.script [[
      local m = lunik.machine { board = "micro", accel = "none", memory = "16M" }
      collectgarbage("incremental", 50, 1000)
      local deleted, alive = 0, true
      local function remove()
        local child = m.memory.root.children[1]
        if child and child.name == "victim" then pcall(m.memory.root.del, m.memory.root, child) end
      end
      local function trap()
        setmetatable({}, { __gc = function()
          if pcall(m.object_del, m, "mem1") then deleted = deleted + 1 end
          remove()
          if alive then trap() end
        end })
      end
      trap()
      for i = 1, os.getenv "LUNIK_QUICK" and 400 or 1500 do
        local _ = ("x"):rep(i % 61) -- so that collections come at all places
        pcall(m.object_add, m, "memory-backend-ram", { id = "mem1", size = "4K" })
        pcall(m.memory.root.add, m.memory.root,
          m:region { kind = "io", name = "victim", size = 4096 }, 0x80000000)
        m.memory:find(0x80000000)
        m:objects()
        pcall(m.object_del, m, "mem1")
        remove()
      end
      alive = false
      print(deleted > 0)
    ]]
    assert.are.same({ "true\n", "", 0 }, { out, err, code })
  end)

  it("frees unreachable handles", function()
    local m = machines.none()
    local weak = setmetatable({}, { __mode = "v" })
    for i = 1, 50 do
      local region = m:region { kind = "io", size = 4, read = function() return i end }
      m.io.root:add(region, 0x500)
      m.io.root:del(region)
      weak[i] = region
      weak[i + 100] = m:irq(5)
      weak[i + 200] = m:timer(function() end)
    end
    machines.collect()
    assert.is_nil(next(weak))
    m:irq(5):set(true)
  end)

  it("in any order is safe for nested containers", function()
    local m = machines.none()
    for _ = 1, 20 do
      local outer = m:region { kind = "container", size = 0x100 }
      local inner = m:region { kind = "container", size = 0x80 }
      inner:add(m:region { kind = "io", size = 4, read = function() return 1 end }, 0)
      outer:add(inner, 0)
      outer:add(m:region { kind = "alias", target = inner, size = 4 }, 0x90)
    end
    machines.collect()
    assert.are.equal(0xff, (m:inb(0x500)))
  end)
end)

describe("closing", function()
  it("frees machines that were used in every way, again and again", function()
    for _ = 1, 10 do
      local m = machines.pc()
      m.io.root:add(m:region { kind = "io", size = 4, read = function() return 1 end }, 0x500)
      m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
      m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
      m:close()
    end
    machines.collect()
    assert.are.same({}, lunik.machines())
  end)
end)

describe("the end of a script", function()
  -- The lunik command runs on until the machines have ended.
  if interpreter ~= "lua5.4" then
    it("needs lua5.4", function() pending(interpreter .. " is used") end)
    return
  end

  it("stops machines that still run, and says so", function()
    local out, err, code = command.script [[
      local m = lunik.machine { board = "micro", accel = "none", name = "left" }
      m:start()
      m.io.root:add(m:region { kind = "io", size = 4, read = function() return 1 end }, 0x500)
      local hidden = m:region { kind = "io", size = 4, read = function() return 1 end }
      m.io.root:add(hidden, 0x600)
      hidden.enabled = false
      m:irq(3):set(true)
      m:timer(function() end):set(1)
      lunik.spawn(function() lunik.sleep(100) end)
    ]]
    assert.are.equal("", out)
    assert.are.equal("lunik: machine 'left' was still running when the script ended; stopped\n",
      err)
    assert.are.equal(0, code)
  end)

  it("is silent about machines that do not run", function()
    local out, err, code = command.script [[
      lunik.machine { board = "micro", accel = "none" }
      local m = lunik.machine { board = "pc", accel = "none", serial = "buffer" }
      m:start()
      m:shutdown()
    ]]
    assert.are.same({ "", "", 0 }, { out, err, code })
  end)

  it("calls no script function any more", function()
    local out, err, code = command.script [[
      lunik.device {
        name = "chatty", realize = function() end, unrealize = function() print "unrealize" end,
      }
      local m = lunik.machine { board = "micro", accel = "none" }
      m:device_add "chatty"
      m:on("shutdown", function() print "shutdown" end)
      m:on_reset(function() print "reset" end)
    ]]
    assert.are.same({ "", "", 0 }, { out, err, code })
  end)

  it("after an error in it is orderly", function()
    local _, err, code = command.script [[
      local m = lunik.machine { board = "micro", accel = "none", name = "left" }
      m:start()
      m:device_add("no-such-device")
    ]]
    assert.are.equal(1, code)
    assert.is_truthy(err:find("no-such-device", 1, true))
    assert.is_truthy(err:find("machine 'left' was still running", 1, true))
  end)

  it("without any machine needs no runtime", function()
    local out, err, code = command.script [[print(lunik.version)]]
    assert.are.same({ lunik.version .. "\n", "", 0 }, { out, err, code })
  end)
end)

describe("a handle of memory", function()
  local process = require "spec.support.process"
  local MIB = 64
  local SIZE = MIB << 20

  -- Waits until no more than half of a backend is still mapped, beyond what was before.
  local function given_back(before)
    machines.wait_until(function() return process.rss() - before <= MIB // 2 end, "its pages stay")
  end

  local function backend(m)
    return m:object_add("memory-backend-ram", { id = "mem", size = SIZE, prealloc = true })
  end

  it("keeps no pages of a DIMM that is gone", function()
    local m = machines.none { board = "pc", maxmem = "1G", slots = 2, serial = "buffer" }
    local before = process.rss()
    backend(m)
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    local section = m.memory:find(0x100000000)
    local region, owner, map = section.region, section.owner, m:map(0x100000000)
    assert.is_true(process.rss() - before > MIB // 2)
    m:device_del("dimm")
    m:object_del("mem")
    given_back(before)
    assert.matches("region 'mem' is gone", gone(function() return region.size end))
    assert.matches("region 'mem' is gone", gone(function() region.enabled = true end))
    assert.matches("region 'mem' is gone", gone(m.memory.root.add, m.memory.root, region, 0))
    gone(owner.get, owner, "addr")
    gone(map.read, map, 0, 4)
    assert.matches("^region 'mem'", tostring(region))
  end)

  it("keeps none of a backend that a script has mapped", function()
    local m = machines.none()
    local before = process.rss()
    backend(m)
    local region = m:region { kind = "ram", memdev = "mem", name = "mine" }
    local alias = m:region { kind = "alias", target = region, size = 4096 }
    m.memory.root:add(region, 0x200000000)
    m.memory.root:add(alias, 0x300000000)
    m:object_del("mem")
    given_back(before)
    assert.matches("region 'mine' is gone", gone(function() return region.size end))
    assert.is_nil(m.memory:find(0x200000000))
    assert.is_nil(m.memory:find(0x300000000))
  end)

  it("is in no view when a machine is closed that showed it through an alias", function()
    for _ = 1, 20 do -- AddressSanitizer finds what is read too late
      local m = machines.none()
      backend(m)
      local region = m:region { kind = "ram", memdev = "mem", name = "mine" }
      m.memory.root:add(m:region { kind = "alias", target = region, size = 4096 }, 0x300000000)
      m:close()
      gone(function() return region.size end)
    end
  end)

  it("keeps none of a machine that is closed", function()
    local m = machines.none()
    local before = process.rss()
    backend(m)
    local region = m:region { kind = "ram", memdev = "mem", name = "mine" }
    m.memory.root:add(region, 0x200000000)
    local section = m.memory:find(0x200000000)
    m:close()
    given_back(before)
    gone(function() return region.size end)
    gone(function() return section.region.size end)
  end)

  it("keeps memory that a transaction does not take away after all", function()
    local m = machines.none()
    backend(m)
    local region = m:region { kind = "ram", memdev = "mem", name = "mine" }
    m.memory.root:add(region, 0x200000000)
    m:write(0x200000000, "kept")
    machines.raised(m.transaction, m, function()
      m:object_del("mem")
      error("no")
    end)
    assert.are.equal("kept", m:read(0x200000000, 4))
    assert.are.equal(SIZE, region.size)
  end)
end)
