-- What ends, stops and restarts a machine: panics that a guest reports, a watchdog.
local lunik = require "lunik"

local MS = 1000000
local BAR = 0xe7000000

local function new(devices, options)
  local all = { accel = "none", memory = "16M", clock = "manual", devices = devices }
  for key, value in pairs(options or {}) do all[key] = value end
  local m = lunik.machine(all)
  m:start()
  return m
end

local function config(m, slot, offset, size, value)
  m:outl(0xcf8, 0x80000000 | slot << 11 | offset & 0xfc)
  local port = 0xcfc + (offset & 3)
  if not value then return size == 4 and m:inl(port) or size == 2 and m:inw(port) or m:inb(port) end
  if size == 4 then m:outl(port, value) elseif size == 2 then m:outw(port, value)
  else m:outb(port, value) end
end

local function settle(m, state)
  for _ = 1, 1000 do
    if m.state == state then break end
    lunik.run "nowait"
    lunik.sleep(0.001)
  end
  assert.equal(state, m.state)
end

-- The buses of pvpanic: how to make it, and to read and write its register.
local panics = {
  pvpanic = {
    device = function(props) return { "pvpanic", props } end,
    setup = function() end,
    read = function(m) return m:inb(0x505) end,
    write = function(m, value) m:outb(0x505, value) end,
  },
  ["pvpanic-pci"] = {
    device = function(props)
      props.bus, props.addr = "i440fx", "6"
      return { "pvpanic-pci", props }
    end,
    setup = function(m)
      config(m, 6, 0x10, 4, BAR)
      config(m, 6, 0x04, 2, 2)
    end,
    read = function(m) return m:load(BAR, 1) end,
    write = function(m, value) m:store(BAR, 1, value) end,
  },
}

for name, panic in pairs(panics) do
  describe(name, function()
    local m

    local function open(props)
      props.id = "panic"
      m = new { panic.device(props) }
      panic.setup(m)
    end

    after_each(function() m:close() end)

    it("tells the guest what it can report", function()
      open {}
      assert.equal(3, panic.read(m))
      assert.equal("running", m.state)
    end)

    it("reports a crash kernel, and the guest goes on", function()
      open {}
      local events = m:watch { "guest-crashloaded", "guest-panicked" }
      panic.write(m, 2)
      local ev = events:wait { timeout = 5 }
      assert.same({ "guest-crashloaded", "panic" }, { ev.name, ev.device })
      assert.equal("running", m.state)
    end)

    for action, expected in pairs {
      shutdown = { "shutdown", 0 }, ["exit-failure"] = { "shutdown", 1 }, pause = { "paused", 0 },
      none = { "running", 0 }, reset = { "running", 0 },
    } do
      it("reports a panic; on-panic = " .. action, function()
        open { on_panic = action }
        local events = m:watch { "guest-panicked", "reset" }
        panic.write(m, 1)
        local ev = events:wait { timeout = 5 }
        assert.same({ "guest-panicked", "panic", action }, { ev.name, ev.device, ev.action })
        if action == "reset" then
          assert.equal("reset", events:wait { timeout = 5 }.name)
        end
        settle(m, expected[1])
        assert.equal(expected[2], m.exit_code)
      end)
    end

    it("takes only what it offers", function()
      open { events = 2 }
      assert.equal(2, panic.read(m))
      panic.write(m, 0xfd)
      assert.equal("running", m.state)
    end)
  end)
end

describe("the board's option on_panic", function()
  it("adds the port, and says what happens", function()
    local m <close> = new({}, { on_panic = "exit-failure" })
    m:outb(0x505, 1)
    settle(m, "shutdown")
    assert.equal(1, m.exit_code)
  end)
end)

describe("i6300esb", function()
  local m, events
  local NO_REBOOT, FAST, ENABLE, LOCK, FREE_RUN = 0x20, 4, 2, 1, 4

  local function open(props)
    props = props or {}
    props.id, props.bus, props.addr = "dog", "i440fx", "6"
    m = new { { "i6300esb", props } }
    config(m, 6, 0x10, 4, BAR)
    config(m, 6, 0x04, 2, 2)
    events = m:watch { "watchdog", "reset", "powerdown", "shutdown", "paused" }
  end

  after_each(function() m:close() end)

  local function set(reg, value, size)
    m:store(BAR + 0x0c, 1, 0x80)
    m:store(BAR + 0x0c, 1, 0x86)
    m:store(BAR + reg, size or 4, value)
  end

  local function names()
    local list = {}
    lunik.run "nowait"
    for ev in function() return events:poll() end do list[#list + 1] = ev.name end
    return list
  end

  -- Two stages of 1000 units of 2^15 PCI clocks: 993 ms each.
  local function start(more)
    set(0, 1000)
    set(4, 1000)
    config(m, 6, 0x68, 1, ENABLE | (more or 0))
  end

  it("expires after both stages, unless it is reloaded", function()
    open { action = "none" }
    start()
    for _ = 1, 5 do
      m:advance(1900 * MS)
      set(0x0c, 0x100, 2)
    end
    assert.same({}, names())
    m:advance(1000 * MS)
    assert.equal(1, m:load(BAR + 8, 4)) -- the first stage is over
    set(8, 1)
    assert.equal(0, m:load(BAR + 8, 4))
    m:advance(1000 * MS)
    local ev = events:wait { timeout = 5 }
    assert.same({ "watchdog", "dog", "none" }, { ev.name, ev.device, ev.action })
    m:advance(10000 * MS)
    assert.same({}, names())
  end)

  it("says after a reset that it was the cause, until that is cleared", function()
    open()
    start()
    m:advance(2000 * MS)
    assert.equal("watchdog", events:wait { timeout = 5 }.name)
    assert.equal("reset", events:wait { timeout = 5 }.name)
    config(m, 6, 0x10, 4, BAR)
    config(m, 6, 0x04, 2, 2)
    assert.equal(0x1200, m:load(BAR + 0x0c, 2))
    set(0x0c, 0x200, 2)
    assert.equal(0, m:load(BAR + 0x0c, 2))
    m:advance(100000 * MS)
    assert.same({}, names())
  end)

  for action, expected in pairs {
    shutdown = "powerdown", poweroff = "shutdown", pause = "paused", reset = "reset",
  } do
    it("does what it is told: " .. action, function()
      open { action = action }
      start()
      m:advance(2000 * MS)
      assert.equal("watchdog", events:wait { timeout = 5 }.name)
      assert.equal(expected, events:wait { timeout = 5 }.name)
    end)
  end

  it("needs the two bytes before each write", function()
    open { action = "none" }
    m:store(BAR, 4, 1)
    m:store(BAR + 0x0c, 1, 0x86)
    m:store(BAR, 4, 1)
    m:store(BAR + 0x0c, 1, 0x80)
    m:store(BAR, 4, 1)
    set(4, 1)
    config(m, 6, 0x68, 1, ENABLE)
    m:advance(1000000 * MS)
    assert.same({}, names()) -- the first stage has its 2^20 units still
    m:advance(100000 * MS)
    assert.same({ "watchdog" }, names())
  end)

  it("stops when it is turned off, but not once it is locked", function()
    open { action = "none" }
    start()
    config(m, 6, 0x68, 1, 0)
    m:advance(10000 * MS)
    assert.same({}, names())
    start(LOCK)
    config(m, 6, 0x68, 1, 0)
    assert.equal(ENABLE | LOCK, config(m, 6, 0x68, 1))
    m:advance(2000 * MS)
    assert.same({ "watchdog" }, names())
  end)

  it("counts a thousand times as fast, and free of any end", function()
    open { action = "none" }
    config(m, 6, 0x60, 2, FAST)
    start()
    m:advance(2 * MS)
    assert.same({ "watchdog" }, names())
    config(m, 6, 0x10, 4, BAR)
    config(m, 6, 0x04, 2, 2)
    config(m, 6, 0x60, 2, FAST | NO_REBOOT)
    start(FREE_RUN)
    m:advance(20 * MS)
    assert.same({}, names())
    assert.equal(1, m:load(BAR + 8, 4))
  end)

  it("comes and goes while the machine runs", function()
    open { action = "poweroff" }
    start()
    m:outl(0xae10, 0)
    m:device_del "dog"
    m:outl(0xae08, 1 << 6)
    m:advance(5000 * MS)
    assert.equal("running", m.state)
    assert.is_nil(m:object "dog")
  end)
end)
