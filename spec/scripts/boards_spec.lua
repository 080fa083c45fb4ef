-- The boards that ship with Lunik, without vCPUs: what is where, what a guest finds, which options
-- are refused.
local lunik = require "lunik"

local MiB, GiB = 1 << 20, 1 << 30

local function pc(options)
  options.board, options.accel, options.clock = "pc", "none", "manual"
  options.memory = options.memory or (not options.memdev and not options.numa and "64M" or nil)
  options.serial = options.serial or "buffer"
  return lunik.machine(options)
end

-- Reads PCI configuration space through mechanism 1.
local function config(m, slot, fn, offset)
  m:outl(0xcf8, 0x80000000 | slot << 11 | fn << 8 | offset & 0xfc)
  return m:inl(0xcfc)
end

describe("board pc", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  it("has the chipset where a guest looks for it", function()
    m = pc {}
    m:start()
    assert.equal(0x12378086, config(m, 0, 0, 0))
    assert.equal(0x70008086, config(m, 1, 0, 0))
    assert.equal(0x71138086, config(m, 1, 3, 0))
    assert.equal(0xffffffff, config(m, 2, 0, 0))
  end)

  it("leaves the chipset as a firmware would", function()
    m = pc {}
    m:start()
    assert.equal(0x0b0b0a0a, config(m, 1, 0, 0x60))
    assert.equal(0x601, config(m, 1, 3, 0x40))
    assert.equal(1, config(m, 1, 3, 0x80) & 0xff)
    m:store(0xf0000, 4, 0x12345678)
    assert.equal(0x12345678, m:load(0xf0000, 4))
  end)

  it("runs the PM timer on the machine's clock", function()
    m = pc {}
    m:start()
    local before = m:inl(0x608)
    m:advance(1000000000)
    assert.equal(3579545, m:inl(0x608) - before & 0xffffff)
  end)

  it("raises SCI for the power button in ACPI mode", function()
    m = pc {}
    m:start()
    m:outb(0xb2, 0xf1)
    assert.equal(1, m:inw(0x604))
    m:outw(0x602, 0x100)
    m:powerdown()
    assert.equal(0x100, m:inw(0x600) & 0x100)
    assert.is_truthy(m:irq_level(9))
    m:outw(0x600, 0x100)
    assert.is_falsy(m:irq_level(9))
  end)

  it("ends with the exit device's code", function()
    m = pc {}
    m:start()
    m:outb(0xf4, 0x10)
    local ev = m:wait("shutdown", { timeout = 1 })
    assert.equal("exit-device", ev.reason)
    assert.equal(0x21, ev.code)
    assert.equal(0x21, m.exit_code)
  end)

  it("powers off through S5", function()
    m = pc {}
    m:start()
    m:outw(0x604, 0x2000)
    assert.equal("guest-shutdown", m:wait("shutdown", { timeout = 1 }).reason)
    assert.equal("shutdown", m.state)
  end)

  for name, reset in pairs {
    ["0xcf9"] = function() m:outb(0xcf9, 2); m:outb(0xcf9, 6) end,
    ["0x92"] = function() m:outb(0x92, 3) end,
  } do
    it("resets through port " .. name, function()
      m = pc {}
      m:start()
      m:outb(0xb2, 0xf1)
      reset()
      m:wait("reset", { timeout = 1 })
      assert.equal(0, m:inw(0x604))
      assert.equal("running", m.state)
    end)
  end

  it("prints on the serial port and keeps the last POST code", function()
    m = pc {}
    m:start()
    for c in ("hello\n"):gmatch(".") do m:outb(0x3f8, c:byte()) end
    m:console():expect("hello", { timeout = 1 })
    m:outb(0x80, 0x42)
    assert.equal(0x42, m:object("post-code").value)
    assert.equal(0xe9, m:inb(0xe9))
  end)

  it("splits RAM around the hole below 4 GiB", function()
    m = pc { memory = "64M", lowmem = "16M" }
    m:start()
    m:store(16 * MiB - 8, 8, 0x1122334455667788)
    m:store(4 * GiB, 8, 0x99)
    m:store(4 * GiB + 48 * MiB - 8, 8, 0xaa)
    assert.equal(0x1122334455667788, m:load(16 * MiB - 8, 8))
    assert.equal(0xaa, m:load(4 * GiB + 48 * MiB - 8, 8))
    assert.is_false(pcall(m.load, m, 16 * MiB, 4))
    assert.is_false(pcall(m.load, m, 4 * GiB + 48 * MiB, 4))
    assert.is_false(pcall(m.load, m, 0xa0000, 4))
    local ram = 0
    for _, e in ipairs(m:fwmap()) do
      if e.type == "ram" then ram = ram + e.size end
    end
    assert.equal(64 * MiB - 0x60400, ram)
  end)

  it("takes its RAM from a backend that is given", function()
    m = pc {
      memdev = "ram0",
      objects = { { "memory-backend-memfd", { id = "ram0", size = "32M" } } },
    }
    m:start()
    m:store(32 * MiB - 4, 4, 7)
    assert.equal(7, m:load(32 * MiB - 4, 4))
    assert.has_error(function() m:object_del("ram0") end)
  end)

  it("takes objects that are behind a metatable", function()
    local ram = { "memory-backend-ram", { id = "x", size = 4096 } }
    m = pc { objects = { setmetatable({}, { __index = ram }) } }
    assert.equal(4096, m:object("x").size)
  end)

  it("maps the NUMA nodes' RAM one after the other", function()
    m = pc {
      cpus = 2, memory = "48M",
      objects = { { "memory-backend-ram", { id = "n1", size = "32M" } } },
      numa = { { cpus = { 0 }, memory = "16M" }, { cpus = { 1 }, memdev = "n1" } },
    }
    m:start()
    m:store(16 * MiB - 4, 8, 0x0102030405060708)
    assert.equal(0x0102030405060708, m:load(16 * MiB - 4, 8))
    local size = { [0] = 0, [1] = 0 }
    for _, e in ipairs(m:fwmap()) do
      if e.type == "ram" then size[e.node] = size[e.node] + e.size end
    end
    assert.equal(32 * MiB, size[1])
    assert.equal(16 * MiB - 0x60400, size[0])
  end)

  it("has the usual RAM if no NUMA node has any of its own", function()
    m = pc { numa = { { cpus = { 0 }, memory = 0 }, { memory = 0 } } }
    assert.equal(128 * MiB, m:object("pc.ram").size)
  end)

  it("puts the DIMM window at the next GiB above RAM", function()
    m = pc { memory = "64M", maxmem = "1G", slots = 2 }
    local found
    for _, e in ipairs(m:fwmap()) do
      if e.type == "hotplug" then found = e end
    end
    assert.equal(4 * GiB, found.base)
    assert.equal(3 * GiB - 64 * MiB, found.size)
    m:start()
    m:outl(0xa00, 1)
    assert.equal(0, m:inb(0xa14))
  end)

  it("has a window for PCI above all memory, where there is room", function()
    local function window(options)
      local board <close> = pc(options)
      local host = board:object("i440fx")
      return { host.mmio64_base, host.mmio64_last - host.mmio64_base + 1 }
    end
    assert.same({ 4 * GiB, 2 * GiB }, window {})
    assert.same({ 7 * GiB, 2 * GiB }, window { memory = "64M", maxmem = "1G", slots = 2 })
    assert.same({ 4 * GiB, 8 * GiB }, window { pci64 = "8G" })
    assert.same({ 0, 1 }, window { pci64 = 0 })
    -- What is left of 52 bits: 1 GiB.
    assert.same({ 0, 1 }, window { memory = "64M", maxmem = (1 << 52) - 5 * GiB + 64 * MiB })
  end)

  it("has no slots unless they are asked for", function()
    m = pc {}
    m:start()
    assert.is_nil(m:object("memory-hotplug"))
    assert.equal(0xff, m:inb(0xa14))
  end)

  local halves = { { cpus = { 0 }, memory = "512K" }, { cpus = {}, memory = "512K" } }
  local twice = { { cpus = { 0 }, memdev = "n" }, { cpus = {}, memdev = "n" } }
  local one = { { "memory-backend-ram", { id = "n", size = "32M" } } }
  local refused = {
    ["slots: '2' needs maxmem"] = { slots = 2 },
    ["slots: '257' is out of range"] = { slots = 257, maxmem = "1G" },
    ["maxmem: '32M' is less than"] = { maxmem = "32M", slots = 1 },
    ["maxmem: '64M' leaves nothing"] = { maxmem = "64M", slots = 1 },
    ["maxmem: '0x80000200' is not a multiple of"] = { maxmem = 2 * GiB + 512, slots = 1 },
    ["end beyond the guest's 52 physical address bits"] = { maxmem = "4P", slots = 1 },
    ["memory: '0x4000001' is not a multiple of"] = { memory = 64 * MiB + 1 },
    ["memory: '512K' is too small"] = { memory = "512K" },
    ["memdev: 'nosuch' does not exist"] = { memdev = "nosuch" },
    ["memdev: 'no?such' does not exist"] = { memdev = "no\nsuch" },
    ["memory: '64M' is not the size of memdev 'n'"] = {
      memdev = "n", memory = "64M", objects = one,
    },
    ["memdev: 'n' is given to two nodes"] = { memory = "64M", numa = twice, objects = one },
    ["lowmem: '4G' is not possible"] = { lowmem = "4G" },
    ["pci64: '4P' does not fit above 0x100000000 (the guest's addresses have 52 bits)"] = {
      pci64 = 1 << 52,
    },
    ["the nodes have 32M in all"] = {
      memory = "64M", numa = { { cpus = { 0 }, memory = "32M" } },
    },
    ["too small for node 0"] = { memory = "1M", numa = halves },
  }
  for message, options in pairs(refused) do
    it("refuses: " .. message, function()
      local before = #lunik.machines()
      local ok, err = pcall(pc, options)
      assert.is_false(ok)
      assert.equal("invalid", err.code)
      assert.is_truthy(err.message:find(message, 1, true), err.message)
      assert.equal(before, #lunik.machines())
    end)
  end
end)

describe("board micro", function()
  it("is RAM, a serial port and an exit port", function()
    local m <close> = lunik.machine {
      board = "micro", accel = "none", memory = "8M", serial = "buffer",
    }
    m:start()
    m:store(0xa0000, 4, 5)
    assert.equal(5, m:load(0xa0000, 4))
    assert.is_false(pcall(m.load, m, 8 * MiB, 4))
    m:outl(0xcf8, 0x80000000)
    assert.equal(0xffffffff, m:inl(0xcfc))
    for c in ("hi\n"):gmatch(".") do m:outb(0x3f8, c:byte()) end
    m:console():expect("hi", { timeout = 1 })
    m:outb(0xf4, 0)
    assert.equal(1, m:wait("shutdown", { timeout = 1 }).code)
  end)

  it("refuses what only the pc board has", function()
    for name, value in pairs { firmware = "x", maxmem = "1G", slots = 1 } do
      local ok, err = pcall(lunik.machine, {
        board = "micro", accel = "none", memory = "8M", [name] = value,
      })
      assert.is_false(ok)
      assert.equal("unsupported", err.code)
      assert.equal(name, err.message:match "^(%l+): ")
    end
  end)
end)
