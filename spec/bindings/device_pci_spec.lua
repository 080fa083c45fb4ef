-- PCI devices: the educational one in C and in Lua, which are to be the same, and what
-- lunik.device{} takes and refuses.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local testing = require "lunik.testing"

assert(loadfile "scripts/examples/edu.lua")("define")

local BAR, RAM, BUFFER = 0xe7000000, 0x100000, 0x40000
local MS = 1000000
local MESSAGE = 0xfee00000
local edu_sum -- of what the first edu answers

local function config(m, slot, offset, size, value)
  m:outl(0xcf8, 0x80000000 | slot << 11 | offset & 0xfc)
  local port = 0xcfc + (offset & 3)
  if not value then return size == 4 and m:inl(port) or size == 2 and m:inw(port) or m:inb(port) end
  if size == 4 then m:outl(port, value) elseif size == 2 then m:outw(port, value)
  else m:outb(port, value) end
end

for _, driver in ipairs { "edu", "edu-lua" } do
  describe("PCI device " .. driver, function()
    local m, slot

    before_each(function()
      m = lunik.machine { accel = "none", memory = "16M", clock = "manual" }
      local device = m:device_add(driver, { id = "e", bus = "i440fx", addr = "5" })
      assert.equal("5.0", device.addr)
      slot = 5
      m:start()
      config(m, slot, 0x10, 4, BAR)
      config(m, slot, 0x04, 2, 6)
    end)

    after_each(function() m:close() end)

    local function set(reg, value, size) m:store(BAR + reg, size or 4, value) end
    local function get(reg, size) return m:load(BAR + reg, size or 4) end
    local function pass() m:advance(MS) end
    local function raised() return config(m, slot, 0x06, 2) & 8 ~= 0 end

    local function move(source, target, count, cmd)
      set(0x80, source, 8)
      set(0x88, target, 8)
      set(0x90, count, 8)
      set(0x98, cmd, 8)
    end

    it("has its configuration space", function()
      local f = m:pci()[4]
      assert.same({ 0x1234, 0x11e8, 0x10, 0x00ff00, 1 },
        { f.vendor, f.device, f.revision, f.class, f.pin })
      assert.same({ { id = 5, offset = 0x40 }, { id = 0x13, offset = 0x50 } }, f.capabilities)
      config(m, slot, 0x10, 4, 0xffffffff)
      assert.equal(0xfff00000, config(m, slot, 0x10, 4))
    end)

    it("has its registers", function()
      assert.equal(0x010000ed, get(0))
      set(4, 0x12345678)
      assert.equal(0xedcba987, get(4))
      assert.equal(-1, get(0, 8))
      set(0x20, 0xffffffff)
      assert.equal(0x80, get(0x20))
      set(0x80, 0x1122334455667788, 8)
      set(0x84, 0xaabbccdd)
      assert.equal(0xaabbccdd55667788, get(0x80, 8))
      assert.equal(0x55667788, get(0x80))
      assert.equal(0xffffffff, get(0x1000))
    end)

    it("computes factorials, which takes time", function()
      set(8, 10)
      assert.equal(1, get(0x20))
      set(8, 3)
      assert.equal(10, get(8))
      pass()
      assert.same({ 0, 3628800, 0 }, { get(0x20), get(8), get(0x24) })
      set(0x20, 0x80)
      set(8, 0xffffffff)
      pass()
      assert.same({ 0, 1 }, { get(8), get(0x24) })
    end)

    it("interrupts by its pin, then by messages", function()
      set(0x60, 0x30)
      assert.is_true(raised())
      set(0x64, 0x10)
      assert.equal(0x20, get(0x24))
      assert.is_true(raised())
      set(0x64, 0x20)
      assert.is_false(raised())
      config(m, slot, 0x44, 4, MESSAGE)
      config(m, slot, 0x4c, 2, 0x4021)
      config(m, slot, 0x42, 2, 1)
      local messages = m:watch { "msi" }
      set(0x60, 1)
      set(0x60, 0)
      for _ = 1, 2 do
        local ev = messages:wait { timeout = 5 }
        assert.same({ "e", MESSAGE, 0x4021 }, { ev.device, ev.address, ev.data })
      end
    end)

    it("moves memory as a bus master", function()
      m:store(RAM, 8, 0x0123456789abcdef)
      move(RAM, BUFFER + 100, 8, 1 | 4)
      assert.equal(1, get(0x98) & 1)
      set(0x90, 99, 8)
      assert.equal(8, get(0x90, 8))
      pass()
      assert.same({ 0, 0x100 }, { get(0x98) & 1, get(0x24) })
      move(BUFFER + 104, RAM + 0x100, 4, 3)
      pass()
      assert.equal(0x01234567, m:load(RAM + 0x100, 4))
      for _, source in ipairs { BUFFER + 1, -1, BUFFER + 4097, 0 } do
        move(source, RAM + 0x200, 4096, 3)
        pass()
        assert.equal(0, m:load(RAM + 0x200, 8))
      end
      config(m, slot, 0x04, 2, 2) -- no bus master any more
      move(BUFFER + 100, RAM + 0x300, 8, 3)
      pass()
      assert.equal(0, m:load(RAM + 0x300, 8))
    end)

    it("is as new after a reset of the machine, and of the function alone", function()
      local function use()
        config(m, slot, 0x10, 4, BAR)
        config(m, slot, 0x04, 2, 6)
        set(4, 7)
        set(0x60, 7)
        set(8, 5)
      end
      local function check()
        assert.is_false(raised())
        assert.equal(0, config(m, slot, 0x10, 4))
        config(m, slot, 0x10, 4, BAR)
        config(m, slot, 0x04, 2, 6)
        pass()
        assert.same({ 0, 0, 0, 0 }, { get(4), get(8), get(0x20), get(0x24) })
      end
      use()
      m:reset()
      check()
      use()
      config(m, slot, 0x54, 1, 1)
      check()
    end)

    it("gets what the other gets", function() -- the same input, answers that are one number
      local seed, sum = 12345, 0
      local function below(n)
        seed = seed * 6364136223846793005 + 1442695040888963407
        return (seed >> 33) % n
      end
      local registers = {
        0, 4, 8, 0x20, 0x24, 0x60, 0x64, 0x80, 0x84, 0x88, 0x90, 0x98, 0x9c, 0xa0,
      }
      for _ = 1, 2000 do
        local reg = registers[below(#registers) + 1]
        local size = reg % 8 == 0 and below(3) == 0 and 8 or 4
        local value = below(2) == 0 and below(64) or BUFFER + below(4096)
        if below(3) > 0 then set(reg, value, size) end
        if below(8) == 0 then m:advance(below(60000)) end
        sum = sum * 31 + get(reg, size) + (raised() and 1 or 0)
      end
      edu_sum = edu_sum or sum
      assert.equal(edu_sum, sum)
    end)
  end)
end

describe("lunik.device { pci = }", function()
  local t, m

  local function new(options)
    options = options or {}
    options.guest, options.memory = "scripted", "64M"
    t = testing.machine(options)
    m = t.m
  end

  after_each(function()
    if t then t:close() end
    t = nil
  end)

  local function define(pci, more)
    local def = { name = "card", pci = pci }
    pci.vendor, pci.device = pci.vendor or 0x1af4, pci.device or 0x1001
    for key, value in pairs(more or {}) do def[key] = value end
    lunik.device(def)
  end

  local function plug(props)
    local all = { id = "c", bus = "i440fx" }
    for key, value in pairs(props or {}) do all[key] = value end
    local device = m:device_add("card", all)
    t.guest:ready()
    return device
  end

  local function refused(words, fn, ...)
    local err = machines.raised(fn, ...)
    assert.matches(words, tostring(err), 1, true)
  end

  it("is found, used and given back by a guest", function()
    local resets, gone = 0, 0
    define({ bars = { { index = 0, size = 16, read = function(dev, offset)
      return dev.base + offset
    end } } }, {
      realize = function(dev) dev.base = 0x40 end,
      reset = function() resets = resets + 1 end,
      unrealize = function() gone = gone + 1 end,
    })
    new()
    plug()
    local list = t.guest:pci()
    local f = list[#list]
    assert.same({ 0x1af4, 0x1001 }, { f.vendor, f.device })
    assert.equal(0x44, m:load(f.bars[1].address + 4, 1))
    m:device_del("c"):wait { timeout = 20 }
    assert.equal(1, gone)
    plug()
    m:reset()
    assert.is_true(resets > 0)
  end)

  it("gives a BAR of 64 bits a place above 4 GiB", function()
    define { bars = { { index = 2, kind = "mem64-prefetch", size = "64M",
      read = function() return 0x77 end } } }
    new()
    plug()
    local list = t.guest:pci()
    local bar = list[#list].bars[1]
    assert.same({ 2, 64 << 20 }, { bar.index, bar.size })
    assert.is_true(bar.address >= 4 << 30)
    assert.equal(0x77, m:load(bar.address, 1))
  end)

  it("has a BAR that is memory", function()
    define({ bars = { { index = 0, memdev = "memdev" } } },
      { properties = { memdev = { link = "memory-backend", required = true } } })
    new()
    m:object_add("memory-backend-ram", { id = "vram", size = "1M" })
    plug { memdev = "vram" }
    local list = t.guest:pci()
    local at = list[#list].bars[1].address
    m:store(at + 8, 8, 0x1122)
    assert.equal(0x1122, m:load(at + 8, 8))
    refused("object 'vram' is in use by 'c'", m.object_del, m, "vram")
  end)

  it("sends the vectors of MSI-X", function()
    define { msix = 4, bars = { { index = 0, kind = "mem64", size = 4096 } } }
    new()
    local device = plug()
    local list = t.guest:pci()
    local f = list[#list]
    local at = f.bars[2].address -- of the table: BAR 2
    assert.equal(2, f.bars[2].index)
    assert.equal(0, device.dev.pci:vectors())
    m:store(at + 3 * 16, 8, MESSAGE)
    m:store(at + 3 * 16 + 8, 8, 0x99)
    local capability = config(m, f.slot, 0x34, 1)
    config(m, f.slot, capability + 2, 2, 0x8000)
    assert.equal(4, device.dev.pci:vectors())
    local messages = m:watch { "msi" }
    device.dev.pci:send(3)
    assert.equal(0x99, messages:wait { timeout = 5 }.data)
  end)

  it("has a ROM and capabilities", function()
    define { rom = { data = "\x55\xaahello" }, capabilities = { { id = 9, data = "\4x" } },
      pin = 0, function_reset = false }
    new()
    plug { addr = "6" }
    config(m, 6, 0x30, 4, 0xe8000001)
    config(m, 6, 0x04, 2, 2)
    assert.equal(0xaa55, m:load(0xe8000000, 2))
    assert.equal(0, m:load(0xe8000008, 1))
    local f = m:pci()[4]
    assert.same({ { id = 9, offset = 0x40 } }, f.capabilities)
    assert.equal("\9\0\4x", f.config:sub(0x41, 0x44))
    assert.equal(0, f.pin)
  end)

  it("reads and writes memory only as a bus master", function()
    define {}
    new()
    local pci = plug { addr = "6" }.dev.pci
    config(m, 6, 4, 2, 4)
    m:write(RAM, "bytes")
    assert.equal("bytes", pci:read(RAM, 5))
    assert.is_true(pci:write(RAM + 5, "!"))
    assert.equal("bytes!", m:read(RAM, 6))
    assert.same({ nil, "access" }, { pci:read(1 << 50, 4) })
    config(m, 6, 4, 2, 0)
    assert.is_nil((pci:read(RAM, 5)))
    assert.is_nil((pci:write(RAM, "x")))
    refused("size", pci.read, pci, RAM, 1 << 30)
    m:device_del("c"):wait { timeout = 20 }
    refused("is gone", pci.intx, pci, true)
    refused("is gone", pci.read, pci, RAM, 1)
  end)

  it("keeps fields, bytes and timers in dev.state", function()
    local fired = 0
    define({}, { state = { count = {}, name = { bytes = 4 },
      tick = { timer = function(dev) fired = dev.state.count end } } })
    new { clock = "manual" }
    local dev = plug().dev
    local s = dev.state
    assert.same({ 0, "\0\0\0\0", nil }, { s.count, s.name, s.tick })
    s.count, s.name, s.tick = 7, "abcd", m:clock() + 100
    assert.same({ 7, "abcd", m:clock() + 100 }, { s.count, s.name, s.tick })
    m:advance(100)
    assert.equal(7, fired)
    assert.is_nil(s.tick)
    refused("name: 3 bytes (want 4)", function() s.name = "abc" end)
    refused("there is no field 'other'", function() s.other = 1 end)
    s.tick = m:clock() + 100
    m:device_del("c"):wait { timeout = 20 }
    fired = 0
    m:advance(1000)
    assert.equal(0, fired)
  end)

  it("refuses definitions that make no device", function()
    local function bad(words, pci, more)
      refused(words, define, pci, more)
    end
    refused("device: card: pci: vendor: is missing", lunik.device, { name = "card", pci = {} })
    bad("pci: vendor: 0x12345 is out of range (want 0 to 0xffff)", { vendor = 0x12345 })
    bad("pci: pin: 0x5 is out of range", { pin = 5 })
    bad("'colour' is not an option", { colour = 1 })
    bad("bars: [1]: index: is missing", { bars = { { size = 16 } } })
    bad("bars: [1]: size: is missing", { bars = { { index = 0 } } })
    bad("bars: [1]: kind: 'mem16'", { bars = { { index = 0, size = 16, kind = "mem16" } } })
    bad("unplug: is not for a PCI device", {}, { unplug = function() end })
    bad("state: x: '1' (want {}", {}, { state = { x = 1 } })
    bad("state: x: has bytes and timer", {},
      { state = { x = { bytes = 1, timer = function() end } } })
    bad("state: x: bytes: 0 is out of range", {}, { state = { x = { bytes = 0 } } })
  end)

  it("refuses a device whose parts don't fit, and leaves nothing", function()
    new()
    local before, map = tostring(m:pci()), m:mtree()
    for words, pci in pairs {
      ["power of two"] = { bars = { { index = 0, size = 24 } } },
      ["BAR"] = { bars = { { index = 1, size = 16 }, { index = 1, size = 16 } } },
      ["msi: 3 vectors"] = { msi = 3 },
      ["vectors"] = { msix = 4000 },
    } do
      define(pci)
      refused(words, m.device_add, m, "card", { id = "c", bus = "i440fx" })
      assert.is_nil(m:object "c")
    end
    define({}, { realize = function() error "no luck" end })
    refused("no luck", m.device_add, m, "card", { id = "c", bus = "i440fx" })
    define {}
    refused("slot 1 function 0 not available", m.device_add, m, "card",
      { id = "c", bus = "i440fx", addr = "1" })
    assert.equal(before, tostring(m:pci()))
    assert.equal(map, m:mtree())
  end)
end)
