-- PCI hotplug with the scripted guest, on a machine without vCPUs: what the guest finds and gives
-- up, states, events, and what is refused.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local testing = require "lunik.testing"

local TIMEOUT = 20 -- seconds for what takes milliseconds on a quiet machine
local CYCLES = tonumber(os.getenv "CYCLES") or os.getenv "LUNIK_QUICK" and 20 or 100
local PORTS = 0xae00
local EDU = 0x11e8
local EVENTS = {
  "acpi-ost", "device-added", "device-deleted", "device-unplug-request",
  "device-unplug-guest-error",
}


local BRIDGES = {
  { "pci-bridge", { id = "left", bus = "i440fx", addr = "4" } },
  { "pci-bridge", { id = "inner", bus = "left", addr = "1" } },
  { "pci-bridge", { id = "right", bus = "i440fx", addr = "5" } },
}

describe("PCI hotplug", function()
  local t, m, events

  local function new(options)
    local all = { guest = "scripted", memory = "64M", boot = false }
    for key, value in pairs(options or {}) do all[key] = value end
    all.created = nil
    t = testing.machine(all)
    m = t.m
    events = m:watch(EVENTS)
    if not (options and options.created) then t:boot() end
  end

  after_each(function()
    if t then t:close() end
    t = nil
  end)

  local function expect(...)
    for i, want in ipairs { ... } do
      local ev = events:wait { timeout = TIMEOUT }
      local got = ("%s %s"):format(ev.name, ev.device or ev.slot)
      if ev.source then got = ("%s %d %d"):format(got, ev.source, ev.status) end
      assert.equal(want, got, ("event %d"):format(i))
    end
  end

  local function plug(id, bus, addr, props)
    local all = { id = id, bus = bus or "i440fx", addr = addr }
    for key, value in pairs(props or {}) do all[key] = value end
    return m:device_add("edu", all)
  end

  local function plugged(id) expect("device-added " .. id, ("acpi-ost %s 1 0"):format(id)) end

  local function unplug(id)
    local removal = m:device_del(id)
    removal:wait { timeout = TIMEOUT }
    assert.equal("ejected", removal.state)
  end

  -- The edu devices that the guest has found: "bus:slot.function", in order.
  local function found()
    local list = {}
    for _, f in ipairs(t.guest:pci()) do
      if f.device == EDU then list[#list + 1] = ("%d:%d.%d"):format(f.bus, f.slot, f.fn) end
    end
    return list
  end

  local function code(want, words, fn, ...)
    local err = machines.raised(fn, ...)
    assert.equal(want, err.code, tostring(err))
    assert.matches(words, err.message, 1, true)
  end

  local function registers(bus)
    m:outl(PORTS + 0x10, bus)
    return m:inl(PORTS + 4), m:inl(PORTS + 0xc)
  end

  it("shows the guest a device, which finds it, and takes it back", function()
    new()
    local device = plug "e"
    assert.equal("2.0", device.addr)
    plugged "e"
    assert.same({ "0:2.0" }, found())
    local f = m:pci()[4]
    assert.equal("e", f.object.id)
    assert.is_true(f.bars[1].address > 0)
    assert.equal(0x010000ed, m:load(f.bars[1].address, 4))
    local removal = m:device_del "e"
    assert.equal("requested", removal.state)
    removal:wait { timeout = TIMEOUT }
    expect("device-unplug-request e", "device-deleted e", "acpi-ost 2 3 0")
    assert.same({}, found())
    assert.is_false(device.alive)
    plug "e"
    plugged "e"
  end)

  it("takes virtio devices in and out", function()
    new()
    m:object_add("rng-builtin", { id = "source" })
    m:device_add("virtio-rng-pci", { id = "rng", bus = "i440fx", rng = "source" })
    plugged "rng"
    local list = t.guest:pci()
    assert.equal(0x1af4, list[#list].vendor)
    unplug "rng"
    m:object_del "source"
  end)

  it("works behind bridges, and behind bridges behind these", function()
    new { devices = BRIDGES }
    for i, bus in ipairs { "inner", "right", "left", "i440fx" } do
      plug("e" .. i, bus, "1f")
      plugged("e" .. i)
    end
    assert.same({ "0:31.0", "1:31.0", "2:31.0", "3:31.0" }, found())
    for _, f in ipairs(m:pci()) do
      if f.object.type == "edu" then
        assert.equal(0x010000ed, m:load(f.bars[1].address, 4), f.object.id)
      end
    end
    for i = 1, 4 do unplug("e" .. i) end
    assert.same({}, found())
  end)

  it("shows all functions of a slot when function 0 comes, and takes all back", function()
    new()
    plug("two", nil, "7.2")
    plug("one", nil, "7.1")
    expect("device-added two", "device-added one")
    assert.same({}, found())
    plug("zero", nil, "7.0")
    expect("device-added zero", "acpi-ost zero 1 0")
    assert.same({ "0:7.0", "0:7.1", "0:7.2" }, found())
    code("exists", "PCI: slot 7 function 0 already occupied by edu, new func edu cannot be exposed",
      plug, "three", nil, "7.3")
    unplug "one"
    expect("device-unplug-request one", "device-deleted two", "device-deleted one",
      "device-deleted zero", "acpi-ost 7 3 0")
    plug("alone", nil, "7.1")
    unplug "alone" -- which no guest has seen
    expect("device-added alone", "device-deleted alone")
  end)

  it("keeps what the guest refuses to give", function()
    new()
    plug "e"
    plugged "e"
    t.guest:refuse { eject = true }
    local removal = m:device_del "e"
    code("busy", "the guest keeps it (_OST source 0x3, status 0x80)", removal.wait, removal,
      { timeout = TIMEOUT })
    expect("device-unplug-request e", "acpi-ost e 3 128", "device-unplug-guest-error e 3 128")
    assert.equal("refused", removal.state)
    assert.equal(0, (registers(0)))
    t.guest:refuse(false)
    unplug "e"
  end)

  it("completes a removal that is under way when the machine is reset", function()
    new { deaf = true }
    plug("one", nil, "3.1")
    plug("zero", nil, "3.0")
    local removal = m:device_del "zero"
    assert.equal(1 << 3, (registers(0)))
    m:reset()
    expect("device-added one", "device-added zero", "device-unplug-request zero",
      "device-deleted zero", "device-deleted one")
    assert.equal("ejected", removal.state)
    assert.equal(0, (registers(0)))
  end)

  it("places devices, and says in words why it can't", function()
    new { devices = BRIDGES }
    plug("a", nil, "9")
    code("exists", "PCI: slot 9 function 0 not available for edu, in use by edu,id=a", plug, "b",
      nil, "9.0")
    code("exists", "PCI: slot 1 function 3 not available for edu, in use by piix4-pm,id=piix4-pm",
      plug, "b", nil, "1.3")
    code("invalid", "addr: '20' is no PCI slot", plug, "b", nil, "20")
    code("exists", "slot 4 function 0 already occupied by pci-bridge", plug, "b", nil, "4.1")
    for i = 0, 31 do plug("r" .. i, "right") end
    code("no-space", "PCI: no slot/function available for edu, all in use or reserved", plug, "b",
      "right")
    code("state", "can't be removed from a machine that has been started", m.device_del, m, "left")
    m:device_add("edu", { id = "x", bus = "i440fx", acpi_index = 3 })
    code("exists", "a PCI device with acpi-index = 3 already exists: '/machine/x'", m.device_add, m,
      "edu", { id = "y", bus = "i440fx", acpi_index = 3 })
  end)

  it("puts devices on the board's bus unless they are told another", function()
    new { devices = { { "pci-bridge", { id = "bridge" } } } }
    m:device_add("edu", { id = "card" })
    plugged "card"
    assert.equal("i440fx", m:object "card".bus)
    assert.equal("i440fx", m:object "bridge".bus)
    unplug "card"
    while pcall(m.device_add, m, "edu", {}) do end
    code("no-space", "PCI: no slot/function available for edu, all in use or reserved",
      m.device_add, m, "edu", {})
    plug("behind", "bridge")
    local micro <close> = lunik.machine { board = "micro", accel = "none", memory = "16M" }
    code("invalid", "edu: bus: is missing", micro.device_add, micro, "edu", {})
  end)

  it("reads as removable where a device may go", function()
    new { devices = BRIDGES }
    local _, root = registers(0)
    assert.equal(0xffffffff & ~(1 << 0 | 1 << 1 | 1 << 4 | 1 << 5), root)
    m:outl(PORTS + 8, 1 << 1) -- an eject of the chipset
    assert.is_true(m:object("piix3").alive)
  end)

  it("refuses where the tables have no slots", function()
    new { created = true }
    m:device_add("pci-bridge", { id = "late", bus = "i440fx" })
    t:boot()
    code("unsupported", "Bus 'late' does not support hotplugging", plug, "e", "late")
    assert.is_nil(m:object "e")
  end)

  it("adds and removes silently where there are no registers", function()
    local plain <close> = lunik.machine { accel = "none", memory = "16M", pci_hotplug = false }
    plain:start()
    assert.is_nil(plain:object "pci-hotplug")
    local device = plain:device_add("edu", { id = "e", bus = "i440fx" })
    assert.equal("2.0", device.addr)
    assert.equal("ejected", plain:device_del("e").state)
    assert.is_false(device.alive)
  end)

  it("tells the guest the index of a device", function()
    new()
    plug("e", nil, "3", { acpi_index = 7 })
    m:outl(PORTS + 0x10, 0)
    m:outl(PORTS + 0x14, 1 << 3)
    assert.same({ 7, 0 }, { m:inl(PORTS + 0x14), m:inl(PORTS + 0x14) })
  end)

  it("notifies the guest once of a transaction, and not of one that fails", function()
    new { deaf = true }
    local function status() return m:inw(0xafe0) & 2 end
    pcall(m.transaction, m, function()
      plug("a", nil, "3")
      error "no"
    end)
    assert.same({ 0, 0, 3 }, { status(), m:inl(PORTS), #m:pci() })
    m:transaction(function()
      plug("a", nil, "3")
      plug("b", nil, "4")
      assert.same({ 0, 0 }, { status(), m:inl(PORTS) })
    end)
    assert.same({ 2, 1 << 3 | 1 << 4 }, { status(), m:inl(PORTS) })
  end)

  it(("does it %d times, and takes no memory"):format(CYCLES), function()
    new()
    for _ = 1, CYCLES do
      plug "e"
      plugged "e"
      unplug "e"
      expect("device-unplug-request e", "device-deleted e", "acpi-ost 2 3 0")
    end
    assert.same({}, found())
  end)
end)
