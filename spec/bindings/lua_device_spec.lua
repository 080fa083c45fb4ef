-- Devices defined by scripts.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

local count = 0
-- Each definition needs a name of its own.
local function define(definition)
  count = count + 1
  definition.name = "test-device-" .. count
  return lunik.device(definition)
end

describe("a device in Lua", function()
  it("handles ports, holds state and raises its line", function()
    local name = define {
      doc = "A doorbell.",
      properties = { iobase = 0x500, irq = { kind = "uint", default = 5, max = 23 } },
      ports = { {
        base = "iobase", size = 2,
        read = function(dev, offset) return dev.registers[offset] end,
        write = function(dev, offset, _, value)
          dev.registers[offset] = value
          dev.line:set(dev.registers[0] ~= 0)
        end,
      } },
      realize = function(dev)
        dev.line = dev:irq(dev.props.irq)
        dev.registers = { [0] = 0, 0 }
      end,
      reset = function(dev)
        dev.registers = { [0] = 0, 0 }
        dev.line:set(false)
      end,
    }
    local m = machines.none()
    m:device_add(name, { id = "bell", iobase = 0x510, irq = 6 })
    m:outb(0x510, 1)
    m:outb(0x511, 0x42)
    assert.are.equal(0x42, (m:inb(0x511)))
    assert.is_true(m:irq_level(6))
    m:reset()
    assert.is_false(m:irq_level(6))
    assert.are.equal(0, (m:inb(0x511)))
  end)

  it("keeps the bytes that a narrow write leaves alone, without a read's side effects", function()
    local reads = 0
    local name = define {
      mmio = { {
        base = 0xd0000000, size = 4, impl = { min = 4 },
        read = function(dev)
          reads = reads + 1
          return dev.value
        end,
        peek = function(dev) return dev.value end,
        write = function(dev, _, _, value) dev.value = value end,
      } },
      realize = function(dev) dev.value = 0x44332211 end,
    }
    local m = machines.none()
    m:device_add(name, { id = "narrow" })
    m:store(0xd0000001, 1, 0xaa)
    m:store(0xd0000002, 2, 0xddcc)
    assert.are.equal(0, reads)
    assert.are.equal(0xddccaa11, m:load(0xd0000000, 4))
    assert.are.equal(1, reads)
  end)

  it("describes itself like any other type", function()
    local name = define {
      doc = "All kinds.",
      properties = {
        size = { kind = "size", default = "4K" }, count = 3, on = true, text = "hello",
        mode = { choices = { "slow", "fast" }, default = "fast" },
        signed = { kind = "int", default = -3, min = -10, max = 10 },
        peer = { link = "chardev" }, list = { kind = "list" },
        needed = { kind = "string", required = true, doc = "It is needed." },
        under_score = 1,
      },
    }
    local t = lunik.type(name)
    assert.are.equal("All kinds.", t.doc)
    local props = {}
    for _, p in ipairs(t.props) do
      props[p.name] = p
    end
    assert.are.same({ "size", 4096 }, { props.size.kind, props.size.default })
    assert.are.same({ "uint", 3 }, { props.count.kind, props.count.default })
    assert.are.same({ "bool", true }, { props.on.kind, props.on.default })
    assert.are.same({ "string", "hello" }, { props.text.kind, props.text.default })
    assert.are.same({ "enum", "fast", { "slow", "fast" } },
      { props.mode.kind, props.mode.default, props.mode.choices })
    assert.are.same({ "int", -3, -10, 10 },
      { props.signed.kind, props.signed.default, props.signed.min, props.signed.max })
    assert.are.same({ "link", "chardev" }, { props.peer.kind, props.peer.link })
    assert.are.same({ true, "It is needed." }, { props.needed.required, props.needed.doc })
    assert.is_truthy(props["under-score"])

    local m = machines.none { serial = "buffer" }
    local device = m:device_add(name, {
      needed = "x", peer = m:chardev("buffer", "second"), list = { 1, 2 }, size = "1M", on = false,
    })
    assert.are.same({ 1 << 20, 3, false, "hello", "fast", -3, "second", "x", 1 },
      { device.size, device.count, device.on, device.text, device.mode, device.signed,
        device.peer, device.needed, device.under_score })
    assert.are.same({ 1, 2 }, device.list)
    assert.are.equal("busy", machines.raised(m.object_del, m, "second").code)
  end)

  it("has its properties checked", function()
    local name = define {
      properties = {
        n = { kind = "uint", default = 1, max = 5 }, mode = { choices = { "a", "b" } },
        needed = { kind = "string", required = true },
      },
    }
    local m = machines.none()
    local function message(props)
      return machines.raised(m.device_add, m, name, props).message
    end
    assert.is_truthy(message({}):find("needed: is missing", 1, true))
    assert.is_truthy(message({ needed = "x", n = 6 }):find("n: 6 is out of range", 1, true))
    assert.is_truthy(message({ needed = "x", mode = "c" }):find("want a or b", 1, true))
    assert.is_truthy(message({ needed = "x", nneded = 1 }):find("did you mean", 1, true))
  end)

  it("has integers of any sign, within the limits that are given", function()
    local name = define {
      properties = {
        any = { kind = "int", live = true }, below = { kind = "int", max = 0, live = true },
        above = { kind = "int", min = -5, live = true }, negative = -3,
      },
    }
    local limits = {}
    for _, p in ipairs(lunik.type(name).props) do
      limits[p.name] = { p.kind, p.min, p.max }
    end
    assert.are.same({
      any = { "int" }, below = { "int", math.mininteger, 0 },
      above = { "int", -5, math.maxinteger }, negative = { "int" },
    }, limits)
    local d = machines.none():device_add(name, { negative = -100 })
    d.any, d.below, d.above = math.mininteger, -7, math.maxinteger
    assert.are.same({ math.mininteger, -7, math.maxinteger, -100 },
      { d.any, d.below, d.above, d.negative })
    assert.matches("below: 1 is out of range %(want %-9223372036854775808 to 0%)",
      machines.raised(d.set, d, "below", 1).message)
    assert.matches("above: %-6 is out of range", machines.raised(d.set, d, "above", -6).message)
    assert.matches(name .. ": any: '1.5' has a fraction",
      machines.raised(d.set, d, "any", 1.5).message, 1, true)
  end)

  it("spoils no transaction when its realize fails", function()
    local name = define {
      ports = { base = 0x500, size = 4, read = function() return 1 end },
      realize = function(dev) assert(dev.id == "good", "no room") end,
    }
    local m = machines.none()
    m:transaction(function()
      assert.matches("no room", tostring(machines.raised(m.device_add, m, name, { id = "bad" })))
      m:device_add(name, { id = "good" })
    end)
    assert.are.equal(1, (m:inb(0x500)))
    m:device_del "good"
    assert.are.equal(0xff, (m:inb(0x500)))
  end)

  it("leaves nothing behind when its realize fails", function()
    local name = define {
      ports = { base = 0x500, size = 4, read = function() return 1 end },
      mmio = { base = 0xd0000000, size = 0x1000, read = function() return 1 end },
      realize = function(dev)
        dev:irq(5):set(true)
        dev:timer(function() end):set(1)
        error(lunik.error("busy", "no room"), 0)
      end,
    }
    local m = machines.none()
    local before, objects = m:mtree(), #m:objects()
    local err = machines.raised(m.device_add, m, name)
    assert.are.equal("busy", err.code)
    assert.are.equal(name .. ": no room", err.message)
    assert.are.equal(before, m:mtree())
    assert.are.equal(objects, #m:objects())
    assert.is_false(m:irq_level(5))
    assert.are.equal(0xff, (m:inb(0x500)))
  end)

  it("takes everything with it when it goes", function()
    local events = {}
    local name = define {
      ports = { base = 0x500, size = 4, read = function() return 1 end },
      mmio = { base = 0xd0000000, size = 0x1000, read = function() return 2 end },
      realize = function(dev) dev:irq(5):set(true) end,
      unrealize = function(dev) events[#events + 1] = dev.id end,
    }
    local m = machines.none()
    m:start()
    local before = m:mtree()
    m:device_add(name, { id = "guest" })
    assert.are.equal(2, m:load(0xd0000000, 4))
    m:device_del "guest"
    assert.are.same({ "guest" }, events)
    assert.are.equal(before, m:mtree())
    assert.is_false(m:irq_level(5))
    assert.are.equal("/machine/guest", m:wait("device-deleted", { timeout = 1 }).path)
  end)

  it("goes when it says so", function()
    local asked
    local name = define { unplug = function(dev) asked = dev end }
    local m = machines.none()
    m:start()
    m:device_add(name, { id = "slow" })
    local removal = m:device_del "slow"
    assert.are.equal("requested", removal.state)
    asked:refuse(3, 0x80)
    assert.are.equal("busy", machines.raised(removal.wait, removal, { timeout = 1 }).code)
    removal = m:device_del "slow"
    lunik.defer(function() asked:eject() end)
    assert.are.equal("ejected", removal:wait { timeout = 1 })
    assert.are.equal("gone", machines.raised(asked.eject, asked).code)
  end)

  it("sees the run state, timers and events", function()
    local log = {}
    local name = define {
      realize = function(dev)
        dev.alarm = dev:timer(function(self)
          log[#log + 1] = "alarm"
          self:emit("rang", { times = 2 })
        end)
      end,
      run_state = function(_, running) log[#log + 1] = running end,
      reset = function(dev) dev.alarm:set(100) end,
    }
    local m = machines.none { clock = "manual" }
    m:device_add(name, { id = "clock" })
    m:start()
    m:advance(100)
    m:pause()
    assert.are.same({ true, "alarm", false }, log)
    local ev = m:wait("rang", { timeout = 1 })
    assert.are.same({ "clock", 2 }, { ev.device, ev.times })
  end)

  it("that raises an error reads all ones; the machine keeps running", function()
    local name = define {
      ports = {
        base = 0x500, size = 4,
        read = function() error "bad read" end,
        write = function() error "bad write" end,
      },
      mmio = { base = 0xd0000000, size = 4, read = function() return "text" end },
      reset = function() error "bad reset" end,
    }
    local m = machines.none()
    m:device_add(name, { id = "broken" })
    local messages = {}
    m:on("error", function(ev) messages[#messages + 1] = ev end)
    m:start()
    assert.are.same({ 0xffff, "device" }, { m:inw(0x500) })
    assert.are.equal("device", m:outb(0x500, 1))
    assert.are.equal("device", machines.raised(m.load, m, 0xd0000000, 4).code)
    lunik.run "nowait"
    assert.are.equal("running", m.state)
    assert.are.equal(4, #messages)
    assert.is_truthy(messages[1].message:find "bad reset")
    assert.is_truthy(messages[2].message:find "bad read")
    assert.are.equal("a read handler", messages[2].source)
    assert.is_truthy(messages[2].traceback:find("lua_device_spec", 1, true))
    assert.is_truthy(messages[3].message:find "bad write")
    assert.is_truthy(messages[4].message:find("is not a number", 1, true))
  end)

  it("may exist on several machines", function()
    local name = define {
      properties = { answer = 1 },
      ports = { base = 0x500, size = 1, read = function(dev) return dev.props.answer end },
    }
    local a, b = machines.none(), machines.none()
    a:device_add(name, { answer = 2 })
    b:device_add(name)
    assert.are.same({ 2, 1 }, { (a:inb(0x500)), (b:inb(0x500)) })
  end)

  it("sets live properties only", function()
    local name = define { properties = { fixed = 1, free = { default = 1, live = true } } }
    local m = machines.none()
    local device = m:device_add(name)
    device.free = 2
    assert.are.equal(2, device.free)
    assert.are.equal("state", machines.raised(device.set, device, "fixed", 2).code)
  end)

  it("can be restricted to machines that have not started", function()
    local name = define { hotplug = false }
    local m = machines.none()
    m:start()
    assert.are.equal("state", machines.raised(m.device_add, m, name).code)
  end)
end)

describe("a place that is taken", function()
  -- Returns the error of device_add with that definition; checks that the machine is as before.
  local function refused(m, definition)
    local before, objects = m:mtree(), #m:objects()
    local err = machines.raised(m.device_add, m, define(definition))
    assert.are.equal(before, m:mtree())
    assert.are.equal(objects, #m:objects())
    return err
  end

  it("is refused to ports and registers", function()
    local m = machines.pc()
    for _, at in ipairs { 0x3f8, 0x3f7, "0x3ff", 0x600, 0xcf8, 0xb2 } do
      local err = refused(m, { ports = { base = at, size = 2 } })
      assert.are.equal("exists", err.code)
    end
    local err = refused(m, { ports = { base = 0x3ff, size = 1 } })
    assert.matches("offset: '0x3ff' is taken in 'io': 'serial' is at 0x3f8-0x3ff", err.message, 1,
      true)
    assert.are.equal("exists", refused(m, { mmio = { base = 0, size = 4096 } }).code)
    assert.are.equal("exists", refused(m, { mmio = { base = "1G", size = "1G" },
      ports = { { base = 0x500, size = 4 }, { base = 0x503, size = 1 } } }).code)
  end)

  it("is refused to the library's devices, whichever comes first", function()
    local m = machines.none { board = "pc" }
    m:device_add(define { ports = { base = 0x2f8, size = 8 } })
    assert.are.equal("exists",
      machines.raised(m.device_add, m, "serial16550", { iobase = 0x2f8, irq = 3 }).code)
    assert.are.equal("exists", refused(m, { ports = { base = 0x2ff, size = 1 } }).code)
  end)

  it("may be covered if priority or overlap is given", function()
    local m = machines.none()
    local function over(value, options)
      options.base, options.size, options.read = 0x3f8, 1, function() return value end
      return m:device_add(define { ports = options })
    end
    local uart = m:inb(0x3f8)
    over(0x42, { overlap = true })
    assert.are.equal(0x42, (m:inb(0x3f8)))
    over(0x43, { priority = 1 })
    assert.are.equal(0x43, (m:inb(0x3f8)))
    over(0x44, { priority = -1 })
    assert.are.equal(0x43, (m:inb(0x3f8)))
    assert.are_not.equal(0x43, uart)
    assert.are.equal("exists", machines.raised(over, 0x45, { priority = 1 }).code)
  end)

  it("is refused beyond the last port", function()
    local m = machines.none()
    for _, case in ipairs { { 0x10000, 1 }, { 0xffff, 2 }, { "4G", 8 }, { -1, 1 } } do
      local err = refused(m, { ports = { base = case[1], size = case[2], overlap = true } })
      assert.are.equal("invalid", err.code)
      assert.matches("is beyond the I/O ports (want 0 to 0xffff)", err.message, 1, true)
    end
    m:device_add(define { ports = { base = 0xffff, size = 1, read = function() return 5 end } })
    assert.are.equal(5, (m:inb(0xffff)))
  end)

  it("is refused to ports of the chipset that properties place", function()
    local function board(properties)
      return { name = "spec", build = function(m)
        m:object_add("memory-backend-ram", { id = "ram", size = "1M" })
        m:device_add("serial16550", {})
        properties.bus = m:device_add("i440fx", { id = "host", ram = "ram" })
        m:device_add("piix4-pm", properties)
      end }
    end
    local function made(properties)
      return lunik.machine { board = board(properties), accel = "none" }
    end
    assert.are.equal("exists", machines.raised(made, { pm_base = 0x3c0 }).code)
    assert.are.equal("exists", machines.raised(made, { smb_base = 0x3f0 }).code)
    assert.are.equal("exists", machines.raised(made, { gpe_base = 0x3fc }).code)
    local m = made { pm_base = 0, smb_base = 0 } -- for a firmware to place
    m:device_add(define { ports = { base = 0, size = 16, read = function() return 1 end } })
    assert.are.equal(1, (m:inb(0)))
  end)
end)

describe("a type that is defined again", function()
  it("is the new one in devices made from then on", function()
    local m = machines.none()
    local function version(n, properties)
      lunik.device { name = "test-again", properties = properties,
        ports = { base = "at", size = 1, read = function(dev) return n + dev.count end },
        realize = function(dev) dev.count = 0 end,
        reset = function(dev) dev.count = dev.count + 1 end }
    end
    version(10, { at = 0x500 })
    local first = m:device_add("test-again", { id = "first" })
    version(20, { at = 0x501, other = "text" })
    m:device_add("test-again", { id = "second" })
    assert.are.same({ 10, 20 }, { (m:inb(0x500)), (m:inb(0x501)) })
    m:reset()
    assert.are.same({ 11, 21 }, { (m:inb(0x500)), (m:inb(0x501)) })
    assert.are.equal("not-found", machines.raised(first.get, first, "other").code)
    local times = 0
    for _, name in ipairs(lunik.types()) do
      if name == "test-again" then times = times + 1 end
    end
    assert.are.equal(1, times)
    assert.are.equal("other", lunik.type("test-again").props[2].name)
    m:device_del "first"
    assert.are.equal(0xff, (m:inb(0x500)))
  end)

  it("stays as it was if the new definition is wrong", function()
    lunik.device { name = "test-stays", properties = { old = 1 } }
    for _, wrong in ipairs { { id = 1 }, { a = 1.5 } } do
      machines.raised(lunik.device, { name = "test-stays", properties = wrong })
    end
    assert.are.equal("old", lunik.type("test-stays").props[1].name)
    assert.matches("pc-dimm: name: is taken",
      machines.raised(lunik.device, { name = "pc-dimm" }).message, 1, true)
  end)

  it("gives scripts its own fields", function()
    local m = machines.none()
    local object = m:device_add(define { realize = function(dev) dev.count = 3 end },
      { id = "own" })
    assert.are.equal(3, m:object("own").dev.count)
    assert.are.equal(object, object.dev.object)
    object.dev.count = 4
    assert.are.equal(4, m:object("own").dev.count)
    assert.is_nil(m:object("serial0").dev)
    m:device_del "own"
    assert.is_nil(object.dev)
  end)
end)

describe("a wrong definition", function()
  local cases = {
    { { }, "name: is missing" },
    { { name = 5 }, "name: '5' is not a string" },
    { { name = "x", relaize = print }, "did you mean 'realize'" },
    { { name = "x", realize = 5 }, "realize: '5' is not a function" },
    { { name = "pc-dimm" }, "name: is taken" },
    { { name = "x", properties = { id = 1 } }, "every object has this property" },
    { { name = "x", properties = { a = { kind = "float" } } }, "kind: 'float' is not a valid" },
    { { name = "x", properties = { a = { knd = "uint" } } }, "did you mean 'kind'" },
    { { name = "x", properties = { a = { kind = "enum" } } }, "choices: is missing" },
    { { name = "x", properties = { a = { choices = { "a" }, default = "b" } } }, "is not one of" },
    { { name = "x", properties = { a = { kind = "uint", default = -1 } } }, "'-1' is negative" },
    { { name = "x", properties = { a = { kind = "int", default = 5, max = 4 } } },
      "a: default: 5 is out of range (want -9223372036854775808 to 4)" },
    { { name = "x", properties = { a = { default = 2, min = 3 } } },
      "a: default: 2 is out of range (want at least 3)" },
    { { name = "x", properties = { a = 1.5 } }, "'1.5' is not an integer" },
    { { name = "x", properties = { a = { default = 1, kind = "uint", max = "4Q" } } },
      "a: max: '4Q' is not a size" },
    { { name = "x", properties = { a = { default = true, max = 1 } } }, "a: max: a bool has none" },
    { { name = "x", properties = { 5 } }, "has no name" },
  }
  for i, case in ipairs(cases) do
    it("is refused: " .. case[2], function()
      local err = machines.raised(lunik.device, case[1])
      assert.is_truthy(err.message:find(case[2], 1, true), i .. ": " .. err.message)
    end)
  end
end)
