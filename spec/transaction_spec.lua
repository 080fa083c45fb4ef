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
    collectgarbage()
    collectgarbage()
    assert.are.equal(7, (m:inb(0x1230)))
    m:transaction(function() m.io.root:del(m.io:find(0x1230).region) end)
    assert.is_nil(m.io:find(0x1230))
  end)
end)
