-- Transactions: many plugs, one commit, one interrupt; an error takes all of it back.
local lunik = require "lunik"
local machines = require "spec.support.machines"

describe("a transaction", function()
  local m, guest

  local function shown(address)
    local section = m.memory:find(address)
    return section and section.region.name
  end

  local function backend(id, size)
    return m:object_add("memory-backend-ram", { id = id, size = size or "2M" })
  end

  local function names()
    local list = {}
    for _, object in ipairs(m:objects()) do
      list[#list + 1] = object.path
    end
    return list
  end

  -- The machine, its memory map and its objects as text.
  local function everything()
    return table.concat(names(), "\n") .. m:mtree() .. m:mtree { flat = true }
  end

  before_each(function()
    m, guest = machines.pc({ slots = 64, maxmem = "8G" })
    lunik.sleep(0.01)
  end)

  after_each(machines.close_all)

  it("plugs fifty DIMMs with one interrupt", function()
    local added, accepted = 0, 0
    m:on("device-added", function() added = added + 1 end)
    m:on("acpi-ost", function(ev)
      assert.are.equal(0, ev.status)
      accepted = accepted + 1
    end)
    local before = m:irq_count(9)
    m:transaction(function()
      for i = 1, 50 do
        backend("mem" .. i)
        m:device_add("pc-dimm", { id = "dimm" .. i, memdev = "mem" .. i })
      end
      assert.is_nil(shown(m:object("dimm50").addr))
      assert.are.equal(before, m:irq_count(9))
    end)
    assert.are.equal(before + 1, m:irq_count(9))
    assert.are.equal("mem50", shown(m:object("dimm50").addr))
    while accepted < 50 do
      m:wait("acpi-ost", { timeout = 5 })
    end
    assert.are.equal(before + 1, m:irq_count(9))
    assert.are.equal(50, added)
    assert.are.equal(50, #m:memory_devices())
  end)

  it("takes everything back after an error, and raises it again", function()
    backend "old"
    local events, before = {}, everything()
    for _, name in ipairs { "device-added", "device-deleted" } do
      m:on(name, function(ev) events[#events + 1] = ev.name end)
    end
    local interrupts, dimm, region = m:irq_count(9), nil, nil
    local err = machines.raised(m.transaction, m, function()
      backend "new"
      dimm = m:device_add("pc-dimm", { id = "d1", memdev = "new" })
      m:device_add("pc-dimm", { id = "d2", memdev = "old" })
      region = m:region { kind = "io", name = "extra", size = 16 }
      m.io.root:add(region, 0x1230)
      m.memory.root.children[1].enabled = false
      error({ "mine" }, 0)
    end)
    assert.are.same({ "mine" }, err)
    assert.are.equal(before, everything())
    assert.is_false(dimm.alive)
    assert.is_nil(region.parent)
    lunik.sleep(0.01)
    assert.are.same({}, events)
    assert.are.equal(interrupts, m:irq_count(9))
    -- Nothing is left in use: the same again works.
    m:transaction(function()
      m:device_add("pc-dimm", { id = "d2", memdev = "old" })
    end)
    assert.are.equal("old", shown(m:object("d2").addr))
  end)

  it("takes back what a device does to the memory map when it is taken back", function()
    local bystander = m.memory.root:add(m:region { kind = "reserved", size = "4K" }, "3G")
    lunik.device { name = "leaver", unrealize = function() bystander.enabled = false end }
    local before = everything()
    machines.raised(m.transaction, m, function()
      m:device_add("leaver", { id = "leaver" })
      error "no"
    end)
    assert.is_true(bystander.enabled)
    assert.are.equal(before, everything())
  end)

  it("takes back what an inner transaction and a failing device did", function()
    local before = everything()
    local err = machines.raised(m.transaction, m, function()
      m:transaction(function()
        backend "a"
        m:device_add("pc-dimm", { id = "da", memdev = "a" })
      end)
      m:device_add("pc-dimm", { id = "db", memdev = "a" })
    end)
    assert.matches("already in use by 'da'", err.message)
    assert.are.equal(before, everything())
  end)

  it("fails as a whole when an error inside was caught, but ended an inner one", function()
    local before = everything()
    local err = machines.raised(m.transaction, m, function()
      backend "a"
      pcall(m.transaction, m, function() error "no" end)
    end)
    assert.are.equal("state", err.code)
    assert.are.equal(before, everything())
  end)

  it("deletes with the commit, or not", function()
    backend "a"
    local object = m:object "a"
    pcall(m.transaction, m, function()
      m:object_del "a"
      assert.is_nil(m:object "a")
      error "no"
    end)
    assert.are.equal(object, m:object "a")
    m:transaction(function()
      m:object_del "a"
      assert.is_true(object.alive)
    end)
    assert.is_false(object.alive)
    m:transaction(function()
      backend "b"
      m:object_del "b"
      backend "b"
    end)
    assert.is_true(m:object("b").alive)
  end)

  it("asks the guest to let devices go when it is committed", function()
    for i = 1, 3 do
      backend("mem" .. i)
      m:device_add("pc-dimm", { id = "d" .. i, memdev = "mem" .. i })
      m:wait("acpi-ost", { timeout = 5 })
    end
    local before, handles = m:irq_count(9), {}
    pcall(m.transaction, m, function()
      m:device_del "d1"
      error "no"
    end)
    lunik.sleep(0.02)
    assert.are.equal(before, m:irq_count(9))
    assert.is_true(m:object("d1").alive)
    m:transaction(function()
      for i = 1, 3 do
        handles[i] = m:device_del("d" .. i)
      end
    end)
    assert.are.equal(before + 1, m:irq_count(9))
    for i = 1, 3 do
      assert.are.equal("ejected", handles[i]:wait { timeout = 5 })
    end
    assert.are.same({}, guest.online)
  end)

  it("keeps the handlers of what comes back", function()
    m.io.root:add(m:region { kind = "io", size = 1, read = function() return 7 end }, 0x1230)
    pcall(m.transaction, m, function()
      m.io.root:del(m.io:find(0x1230).region)
      error "no"
    end)
    machines.collect()
    assert.are.equal(7, (m:inb(0x1230)))
    m:transaction(function() m.io.root:del(m.io:find(0x1230).region) end)
    assert.is_nil(m.io:find(0x1230))
  end)

  -- A device with a property of each kind that can be set.
  local function settable()
    if not pcall(lunik.type, "spec-settable") then
      lunik.device { name = "spec-settable", properties = {
        size = { kind = "size", default = "4K", live = true },
        uint = { kind = "uint", default = 7, live = true },
        int = { kind = "int", default = -7, live = true },
        bool = { kind = "bool", default = true, live = true },
        enum = { choices = { "red", "green" }, default = "green", live = true },
        string = { kind = "string", default = "first", live = true },
        unset = { kind = "string", live = true },
        link = { link = "memory-backend", live = true },
        list = { kind = "list", live = true },
        empty = { kind = "list", live = true },
      } }
    end
    return m:device_add("spec-settable", { id = "s", link = "old", list = { 1, 2, 3 } })
  end

  local settings = {
    size = 8192, uint = 1, int = 1, bool = false, enum = "red", string = "second", unset = "set",
    link = "new", list = { 4 }, empty = { 5, 6 },
  }

  local function values(object)
    local list = {}
    for name in pairs(settings) do list[name] = object:get(name) end
    return list
  end

  it("gives properties their old values back", function()
    backend "old"
    backend "new"
    local object = settable()
    local before = values(object)
    pcall(m.transaction, m, function()
      for _ = 1, 2 do
        for name, value in pairs(settings) do object:set(name, value) end
      end
      assert.are.same(settings, values(object))
      assert.has_error(function() object.uint = -1 end)
      assert.has_error(function() m:object_del "new" end)
      error "no"
    end)
    assert.are.same(before, values(object))
    assert.has_error(function() m:object_del "old" end)
    m:object_del "new"
  end)

  it("keeps what properties were set to when it is committed", function()
    backend "old"
    backend "new"
    local object = settable()
    m:transaction(function()
      for name, value in pairs(settings) do object:set(name, value) end
    end)
    assert.are.same(settings, values(object))
    m:object_del "old"
    assert.has_error(function() m:object_del "new" end)
  end)

  it("gives a property back that is more than a field, and what a link was cut from", function()
    local old = backend "old"
    local object = settable()
    pcall(m.transaction, m, function()
      old.merge = false
      m:transaction(function() old.dump = false end)
      object.link = nil
      m:object_del "old"
      assert.is_nil(m:object "old")
      error "no"
    end)
    assert.are.same({ true, true, "old" }, { old.merge, old.dump, object.link })
    assert.are.equal(old, m:object "old")
    -- Of objects that come and go within it nothing is left either.
    pcall(m.transaction, m, function()
      local new = backend "new"
      new.merge = false
      object.link = "new"
      object.link = nil
      m:object_del "new"
      error "no"
    end)
    assert.is_nil(m:object "new")
    assert.are.equal("old", object.link)
  end)

  it("takes every change of a region back", function()
    local root = m.memory.root
    backend "block"
    local ram = m:region { kind = "ram", name = "block", memdev = "block", size = "64K" }
    local alias = m:region { kind = "alias", target = ram, offset = 0, size = "16K" }
    local romd = m:region { kind = "rom-device", memdev = "block", size = "8K",
      read = function() return 1 end }
    root:add(ram, "1T")
    root:add(alias, "2T")
    root:add(romd, "3T")
    local function shape()
      return { everything(), romd.romd, romd.size, ram.size, alias.alias_offset }
    end
    local before = shape()
    local calls = {}
    m:listen { name = "spec", begin = function() calls[#calls + 1] = "begin" end,
      commit = function() calls[#calls + 1] = "commit" end }
    calls = {}
    local function change()
      ram.offset = 1 << 42
      ram.size = 32 << 10
      ram.priority = 5
      ram.readonly = true
      alias.alias_offset = 4096
      alias.enabled = false
      romd.romd = false
      m:transaction(function()
        root:del(romd)
        romd.size = 4096
      end)
    end
    pcall(m.transaction, m, function()
      change()
      error "no"
    end)
    assert.are.same({}, calls)
    assert.are.same(before, shape())
    m:transaction(change)
    assert.are.same({ "begin", "commit" }, calls)
    assert.are_not.same(before, shape())
  end)

  it("takes ioeventfds and coalesced ranges back", function()
    local region = m:region { kind = "io", size = 16, write = function() end }
    m.io.root:add(region, 0x1230)
    local signals = {}
    local function signalled(name)
      return function(count) signals[#signals + 1] = name .. count end
    end
    local kept = region:ioeventfd { offset = 0, size = 2, on = signalled "kept" }
    region:coalesce(8, 4)
    local log = {}
    m:listen { name = "spec", space = m.io,
      eventfd_add = function(s) log[#log + 1] = ("+e%x"):format(s.address) end,
      eventfd_del = function(s) log[#log + 1] = ("-e%x"):format(s.address) end,
      coalesced_add = function(_, a, n) log[#log + 1] = ("+c%x,%d"):format(a, n) end,
      coalesced_del = function(_, a, n) log[#log + 1] = ("-c%x,%d"):format(a, n) end,
    }
    log = {}
    local function change()
      region:ioeventfd { offset = 4, size = 4, match = 7, on = signalled "made" }
      kept:close()
      region:uncoalesce()
      region:coalesce(12, 4)
    end
    pcall(m.transaction, m, function()
      change()
      error "no"
    end)
    assert.are.same({}, log)
    m:outw(0x1230, 1)
    lunik.sleep(0.01)
    assert.are.same({ "kept1" }, signals)
    m:transaction(change)
    table.sort(log)
    assert.are.same({ "+c123c,4", "+e1234", "-c1238,4", "-e1230" }, log)
    m:outl(0x1234, 7)
    lunik.sleep(0.01)
    assert.are.same({ "kept1", "made1" }, signals)
  end)

  it("leaves the guest's registers as they were", function()
    for i = 1, 2 do
      backend("mem" .. i)
      m:device_add("pc-dimm", { id = "d" .. i, memdev = "mem" .. i })
      m:wait("acpi-ost", { timeout = 5 })
    end
    local function registers()
      local list = { m:inw(0xafe0), m:inw(0xafe2) }
      for slot = 0, 3 do
        m:outl(0xa00, slot)
        for offset = 0, 16, 4 do list[#list + 1] = m:inl(0xa00 + offset) end
        list[#list + 1] = m:inb(0xa14)
      end
      return list
    end
    local before, interrupts = registers(), m:irq_count(9)
    pcall(m.transaction, m, function()
      backend "mem3"
      m:device_add("pc-dimm", { id = "d3", memdev = "mem3" })
      m:transaction(function() m:device_del "d1" end)
      assert.are.same(before, registers())
      error "no"
    end)
    assert.are.same(before, registers())
    assert.are.equal(interrupts, m:irq_count(9))
    assert.are.same({ "plugged", "plugged" }, { m:object("d1").state, m:object("d2").state })
    assert.are.equal("mem1", shown(m:object("d1").addr))
  end)

  it("lets a device go that the guest ejects in it with the commit, or not", function()
    backend "a"
    local dimm = m:device_add("pc-dimm", { id = "d", memdev = "a" })
    m:wait("acpi-ost", { timeout = 5 })
    local address, before = dimm.addr, everything()
    pcall(m.transaction, m, function()
      machines.eject(m)
      error "no"
    end)
    assert.are.equal(before, everything())
    assert.is_true(dimm.alive)
    assert.are.equal("a", shown(address))
    m:transaction(function() machines.eject(m) end)
    assert.is_false(dimm.alive)
    assert.is_nil(shown(address))
  end)

  it("makes pause and reset wait, and can't be closed in", function()
    local other = machines.none { name = "other" }
    other:start()
    m:transaction(function()
      other:reset()
      m:pause()
      assert.are.equal("running", m.state)
      for _, machine in ipairs { m, other } do
        assert.are.equal("state", machines.raised(machine.close, machine).code)
      end
    end)
    m:wait("paused", { timeout = 5 })
    assert.are.equal("paused", m.state)
    assert.are.equal("running", other.state)
  end)
end)
