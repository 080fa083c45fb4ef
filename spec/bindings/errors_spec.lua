-- Bad input: each case says what is done, which code the error has and words of its message. No
-- case may change anything about the machine.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local command = require "spec.support.command"

local NAN = 0 / 0
local GiB = 1 << 30

-- Returns the visible state of a machine.
local function portrait(m)
  local lines = { m.state, m:mtree(), m:mtree { flat = true } }
  for _, object in ipairs(m:objects()) do
    lines[#lines + 1] = tostring(object) .. " " .. object.path
    for _, p in ipairs(lunik.type(object.type).props) do
      local value = object:get(p.name)
      if type(value) == "table" then value = table.concat(value, ",") end
      lines[#lines + 1] = ("  %s=%s"):format(p.name, tostring(value))
    end
  end
  for _, range in ipairs(m:fwmap()) do
    lines[#lines + 1] = ("%x %x %s %d"):format(range.base, range.size, range.type, range.node)
  end
  return table.concat(lines, "\n")
end

local function check(err, code, ...)
  assert.are.equal("table", type(err), "not an error object: " .. tostring(err))
  assert.are.equal(code, err.code, err.message)
  for _, words in ipairs { ... } do
    assert.is_truthy(err.message:find(words, 1, true), err.message .. " -- lacks -- " .. words)
  end
  assert.is_nil(err.message:find "\n")
  assert.is_truthy(tostring(err):find(err.message, 1, true))
end

describe("making a machine", function()
  after_each(machines.close_all)

  local function none(options)
    options.accel = options.accel or "none"
    return options
  end

  local cases = {
    { nil, "invalid", "machine: nil is not a table" },
    { { kernal = "x" }, "invalid", "machine: 'kernal' is not an option", "did you mean 'kernel'" },
    { { [1] = "pc" }, "invalid", "machine: '1' is not an option" },
    { none { board = "cp" }, "not-found", "board: 'cp' is not a known board",
      "did you mean 'pc'", "micro" },
    { none { board = "/no/such/board.lua" }, "not-found", "/no/such/board.lua" },
    { none { board = 5 }, "invalid", "machine: board: '5' is not a board (want micro, pc, " },
    { none { board = {} }, "invalid", "has no build function" },
    { none { board = { biuld = print } }, "invalid", "did you mean 'build'" },
    { none { accel = "kmv" }, "invalid", "accel: 'kmv'", "did you mean 'kvm'", "want kvm, none" },
    { none { memory = "4Q" }, "invalid", "memory: '4Q' is not a size", "want e.g. 512M, 4G" },
    { none { memory = "" }, "invalid", "memory: '' is not a size" },
    { none { memory = "4\nM" }, "invalid", "memory: '4?M' is not a size" },
    { none { ["a\nb"] = 1 }, "invalid", "machine: 'a?b' is not an option" },
    { none { memory = 0 }, "invalid", "memory:" },
    { none { memory = -4096 }, "invalid", "memory: '-4096' is negative" },
    { none { memory = "-1G" }, "invalid", "memory: '-1G' is not a size" },
    { none { memory = 1.5 }, "invalid", "memory: '1.5' has a fraction" },
    { none { memory = NAN }, "invalid", "memory:", "nan" },
    { none { memory = math.huge }, "invalid", "memory: 'inf' does not fit" },
    { none { memory = true }, "invalid", "memory: 'true' is not a number" },
    { none { memory = {} }, "invalid", "memory: a table is not a number" },
    { none { memory = "64M\0" }, "invalid", "memory: '64M' contains a zero byte" },
    { none { memory = 5000000 }, "invalid", "memory:", "multiple" },
    { none { memory = "4K" }, "invalid", "memory: '4K' is too small" },
    { none { memory = "100P" }, "invalid", "memory:" },
    { none { memory = "4000T" }, "no-memory", "pc.ram" },
    { none { memory = "16000000T" }, "invalid", "memory:" },
    { none { maxmem = "1G", memory = "2G", slots = 1 }, "invalid", "maxmem: '1G'", "2G" },
    { none { maxmem = 1000, slots = 1 }, "invalid", "maxmem:" },
    { none { slots = 4 }, "invalid", "slots: '4' needs maxmem" },
    { none { slots = 257, maxmem = "4G" }, "invalid", "slots: '257'", "256" },
    { none { slots = -1, maxmem = "4G" }, "invalid", "slots: '-1' is negative" },
    { none { slots = "4", maxmem = "4G" }, "invalid", "slots: '4' is not an integer" },
    { none { cpus = 0 }, "invalid", "cpus: '0' is too few" },
    { none { cpus = 1.5 }, "invalid", "cpus: '1.5' is not an integer" },
    { none { cpus = "two" }, "invalid", "cpus: 'two' is not an integer" },
    { none { cpus = 100000 }, "invalid", "cpus: '100000' is out of range" },
    { none { name = 5 }, "invalid", "name: '5' is not a string" },
    { none { clock = "auto" }, "invalid", "clock: 'auto' is not a valid choice" },
    { none { cpu = { "xsave" } }, "invalid", "cpu: [1]: 'xsave'",
    "want +name, -name or name=value" },
    { none { cpu = { "+hypervisr" } }, "invalid", "'hypervisr'", "did you mean 'hypervisor'?" },
    { none { cpu = { "-nope" } }, "invalid", "cpu: 'nope' is not a known feature" },
    { none { cpu = { family = 9999 } }, "invalid", "cpu: family: '9999' is not a number" },
    { none { cpu = { family = {} } }, "invalid", "cpu: family: a table" },
    { none { cpu = { 5 } }, "invalid", "cpu: [1]: '5' is not a string" },
    { none { memdev = "nosuch" }, "invalid", "memdev: 'nosuch' does not exist" },
    { none { serial = "stdoi" }, "invalid", "serial: 'stdoi'", "did you mean 'stdio'" },
    { none { serial = "file:" }, "invalid", "serial: 'file:' has no path" },
    { none { serial = "file:/no/such/dir/log" }, "not-found", "/no/such/dir/log" },
    { none { serial = 5 }, "invalid", "serial: '5' is not a character device (want stdio, pty, " },
    { none { memory = 0 }, "invalid", "memory: '0' is not a possible size (want 1M to 4P)" },
    { none { sandbox = { user = {} } }, "invalid", "user: a table is not a user or a group" },
    { none { serial = { "chardev-nosuch" } }, "not-found", "chardev-nosuch" },
    { none { cmdline = "quiet" }, "invalid", "cmdline: needs a kernel" },
    { none { kernel = "/no/such/kernel" }, "not-found", "/no/such/kernel" },
    { none { firmware = "/no/such/firmware" }, "not-found", "/no/such/firmware" },
    { none { objects = { "memory-backend-ram" } }, "invalid", "objects: [1]:" },
    { none { objects = { { "a\0b", {} } } }, "invalid", "objects: [1]: type: contains a zero" },
    { none { objects = { { 5, {} } } }, "invalid", "objects: [1]: type: '5' is not a string" },
    { none { objects = { { "chardev-null", 5 } } }, "invalid", "objects: [1]: properties: '5'" },
    { none { devices = { { "pc-dimm", {}, {} } } }, "invalid", "devices: [1]: '3' is not an" },
    { none { devices = { { "pc-dimm", {}, x = 1 } } }, "invalid", "devices: [1]: 'x' is not an" },
    { none { objects = { { "memory-backend-ram", { size = "1M" } } } }, "invalid",
    "id: is missing" },
    { none { devices = { { "pc-dimn", {} } } }, "not-found", "pc-dimn", "did you mean 'pc-dimm'" },
    { none { numa = {} }, "invalid", "numa: is empty" },
    { none { numa = { { cpu = { 0 } } } }, "invalid", "node 0: 'cpu'", "did you mean 'cpus'" },
    { none { numa = { { memory = "4Q" } } }, "invalid", "node 0: memory: '4Q'" },
    { none { memory = "64M", numa = { { memory = "16M" } } }, "invalid", "16M", "64M" },
    { none { numa = { { distances = { 10, 20 } } } }, "invalid",
      "numa: node 0: distances: has 2 entries (want 1" },
    { none { numa = { { distances = { 300 } } } }, "invalid", "numa: node 0: distances: '300'" },
    { none { numa = { {}, { cpus = { "x" } } } }, "invalid", "numa: node 1: cpus: 'x'" },
    { none { objects = { id = "x" } }, "invalid", "objects: 'id' is not a list index" },
    { none { devices = { [2] = { "debug-exit" } } }, "invalid",
      "devices: '2' is not a list index" },
    { none { board = { build = print, options = { x = { kind = "int" } } } }, "invalid",
      "board: options: x: kind: 'int' is not a valid choice" },
    { none { board = { build = function(m) m:close() end } }, "gone", "is closed" },
    { none { numa = { { distances = { 11 } } } }, "invalid", "distance" },
    { none { numa = { { cpus = { 5 } } } }, "invalid", "5" },
    { none { numa = { { cpus = { 0 } }, { cpus = { 0 } } }, memory = "16M" }, "invalid", "0" },
    { none { pci64 = "1X" }, "invalid", "pci64: '1X' is not a size" },
    { none { lowmem = "1K" }, "invalid", "lowmem: '1K'" },
  }

  for i, case in ipairs(cases) do
    it(("fails, case %d: %s"):format(i, case[3]), function()
      check(machines.raised(lunik.machine, case[1]), table.unpack(case, 2))
      assert.are.same({}, lunik.machines())
    end)
  end
end)

local function ram(m, properties)
  m:object_add("memory-backend-ram", properties)
end

local function dimm(m, properties)
  m:device_add("pc-dimm", properties)
end

-- Each case: function(m), code, words...
local cases = {
  -- types and names
  { function(m) m:object_add() end, "invalid", "object_add: type: is missing" },
  { function(m) m:object_add(5, {}) end, "invalid", "object_add: type: '5' is not a string" },
  { function(m) m:object_add("memory-backend-rma", { id = "x" }) end, "not-found",
    "'memory-backend-rma' is not a known type", "did you mean 'memory-backend-ram'" },
  { function(m) m:object_add("memory-backend", { id = "x", size = "1M" }) end, "invalid",
    "abstract" },
  { function(m) m:object_add("pc-dimm", { id = "x" }) end, "invalid", "use device_add" },
  { function(m) m:device_add("memory-backend-ram", { id = "x" }) end, "invalid", "use object_add" },
  { function(m) m:device_add("i440fx", {}) end, "state", "has been started" },
  { function(m) m:object_add("memory-backend-ram\0", {}) end, "invalid", "contains a zero byte" },
  { function(m) m.object_add(5, "x", {}) end, "invalid", "is not a lunik.Machine" },

  -- properties
  { function(m) ram(m, 5) end, "invalid", "'5' is not a table" },
  { function(m) ram(m, { "x" }) end, "invalid", "[1] is not a property" },
  { function(m) ram(m, { id = "x" }) end, "invalid", "size: is missing" },
  { function(m) ram(m, { size = "1M" }) end, "invalid", "id: is missing" },
  { function(m) ram(m, { id = "x", sise = "1M" }) end, "not-found",
    "'sise'", "did you mean 'size'" },
  { function(m) ram(m, { id = "mem1", size = "1M" }) end, "exists",
    "id: 'mem1' is taken" },
  { function(m) ram(m, { id = "dimm0", size = "1M" }) end, "exists",
    "id: 'dimm0' is taken" },
  { function(m) ram(m, { id = "1x", size = "1M" }) end, "invalid",
    "'1x' is not an id" },
  { function(m) ram(m, { id = "", size = "1M" }) end, "invalid",
    "'' is not an id" },
  { function(m) ram(m, { id = 5, size = "1M" }) end, "invalid",
    "id: is not a string" },
  { function(m) ram(m, { id = "a\0b", size = "1M" }) end, "invalid",
    "id: 'a' contains a zero byte" },
  { function(m) ram(m, { id = "x", size = "4Q" }) end, "invalid",
    "size: '4Q' is not a size", "want e.g. 512M, 4G" },
  { function(m) ram(m, { id = "x", size = 0 }) end, "invalid", "size: 0" },
  { function(m) ram(m, { id = "x", size = -1 }) end, "invalid",
    "size: -1" },
  { function(m) ram(m, { id = "x", size = 1.5 }) end, "invalid",
    "size: '1.5' has a fraction" },
  { function(m) ram(m, { id = "x", size = NAN }) end, "invalid",
    "size:", "nan" },
  { function(m) ram(m, { id = "x", size = true }) end, "invalid",
    "size: true is not a size" },
  { function(m) ram(m, { id = "x", size = {} }) end, "invalid",
    "size: a list" },
  { function(m) ram(m, { id = "x", size = print }) end, "invalid",
    "size: a function" },
  { function(m) ram(m, { id = "x", size = "1M", share = 5 }) end,
    "invalid", "share: 5 is not a boolean" },
  { function(m) ram(m, { id = "x", size = "4E" }) end, "no-memory", "x" },
  { function(m) ram(m, { id = "x", size = "1M", ["prealloc-threads"] = 0 }) end,
    "invalid", "prealloc-threads: 0" },
  { function(m) ram(m, { id = "x", size = "1M", host_nodes = { 0 }, ["host-nodes"] = { 0 } }) end,
    "invalid", "'host-nodes' is given twice" },
  { function(m) ram(m, { id = "x", size = "1M", policy = "bnid" }) end,
    "invalid", "policy: 'bnid'", "bind" },
  { function(m) ram(m, { id = "x", size = "1M", policy = "bind" }) end,
    "invalid", "host-nodes" },
  { function(m) ram(m, { id = "x", size = "1M", host_nodes = { a = 1 } }) end,
    "invalid", "host-nodes: has the key 'a'" },
  { function(m)
    ram(m, { id = "x", size = "1M", prealloc = true, reserve = false })
  end, "invalid", "prealloc", "reserve" },
  { function(m) m:object_add("memory-backend-file", { id = "x", size = "1M" }) end, "invalid",
    "mem-path: is missing" },
  { function(m)
    m:object_add("memory-backend-file", { id = "x", size = "1M", mem_path = "/no/such/file" })
  end,
    "not-found", "/no/such/file" },
  { function(m)
    m:object_add("memory-backend-memfd",
      { id = "x", size = "1M", hugetlbsize = "3M", hugetlb = true })
  end, "unsupported", "hugetlbsize", "huge page size" },
  { function(m) m:object "mem1":set("size", "2M") end, "state", "can't be changed" },
  { function(m) m:object "mem1":set("sise", "2M") end, "not-found", "did you mean 'size'" },
  { function(m) m:object "mem1".sise = 5 end, "not-found", "did you mean 'size'" },
  { function(m) return m:object "mem1".sise end, "not-found", "did you mean 'size'" },
  { function(m) m:object "mem1".id = "other" end, "invalid", "id: can only be read" },
  { function(m) m:object "mem1".alive = false end, "not-found", "alive" },

  -- deleting
  { function(m) m:object_del "nosuch" end, "not-found", "there is no object 'nosuch'" },
  { function(m) m:object_del "dimm0" end, "invalid", "use device_del" },
  { function(m) m:object_del "mem0" end, "busy", "'mem0' is in use by 'dimm0'" },
  { function(m) m:object_del "pc.ram" end, "busy", "'pc.ram' is in use" },
  { function(m) m:device_del "nosuch" end, "not-found", "there is no device 'nosuch'" },
  { function(m) m:device_del "mem1" end, "invalid", "object_del" },
  { function(m) m:device_del() end, "invalid",
    "device_del: device: is missing (want an id or a device)" },
  { function(m) m:device_del "i440fx" end, "state", "i440fx" },

  -- DIMMs
  { function(m) m:device_add "pc-dimm" end, "invalid", "memdev: is missing" },
  { function(m) dimm(m, { memdev = "nosuch" }) end, "not-found", "nosuch" },
  { function(m) dimm(m, { memdev = "dimm0" }) end, "invalid", "memdev", "memory-backend" },
  { function(m) dimm(m, { memdev = "mem0" }) end, "busy", "mem0", "dimm0" },
  { function(m) dimm(m, { memdev = "pc.ram" }) end, "busy", "pc.ram" },
  { function(m) dimm(m, { memdev = "mem1", slot = 5 }) end, "invalid", "slot", "5" },
  { function(m) dimm(m, { memdev = "mem1", slot = -2 }) end, "invalid", "slot", "-2" },
  { function(m) dimm(m, { memdev = "mem1", slot = 0 }) end, "busy", "slot", "0" },
  { function(m) dimm(m, { memdev = "mem1", node = 3 }) end, "invalid", "node", "3" },
  { function(m) dimm(m, { memdev = "mem1", addr = 4 * GiB }) end, "exists", "dimm0" },
  { function(m) dimm(m, { memdev = "mem1", addr = GiB }) end, "invalid", "addr" },
  { function(m) dimm(m, { memdev = "mem1", addr = 5 * GiB + 4096 }) end, "invalid",
    "addr", "aligned" },
  { function(m) dimm(m, { memdev = "mem1", addr = "4Q" }) end, "invalid", "addr", "4Q" },
  { function(m) dimm(m, { memdev = "big" }) end, "no-space", "0x80000000", "maxmem" },
  { function(m) dimm(m, { memdev = "mem1", id = "dimm0" }) end, "exists", "dimm0" },
  { function(m) dimm(m, { memdev = "mem1", size = "1M" }) end, "invalid",
    "size: can only be read" },

  -- ports and memory
  { function(m) m:inb(-1) end, "invalid", "in: port: '-1' is out of range", "0 to 65535" },
  { function(m) m:inb(65536) end, "invalid", "in: port: '65536' is out of range" },
  { function(m) m:inb {} end, "invalid", "in: port: a table is not a number" },
  { function(m) m:inb "64K" end, "invalid", "in: port: '64K' is out of range (want 0 to 65535)" },
  { function(m) m:inb(0.5) end, "invalid", "in: port: '0.5' has a fraction" },
  { function(m) m:inb() end, "invalid", "in: port: is missing" },
  { function(m) m:outb(0x80, 256) end, "invalid", "out: value: '256' is out of range", "8 bits" },
  { function(m) m:outw(0x80, -1) end, "invalid", "out: value: '-1' is out of range", "16 bits" },
  { function(m) m:outl(0x80) end, "invalid", "out: value: is missing" },
  { function(m) m:read(-1, 4) end, "access", "0xffffffffffffffff" },
  { function(m) m:read({}, 4) end, "invalid", "read: address:", "an address such as" },
  { function(m) m:read(0, -1) end, "invalid", "read: length: '-1' is out of range" },
  { function(m) m:read(0, 1 << 40) end, "invalid", "read: length:" },
  { function(m) m:read(1 << 45, 4) end, "access", "0x200000000000" },
  { function(m) m:write(0, 5) end, "invalid", "write: data: '5' is not a string" },
  { function(m) m:load(0, 3) end, "invalid", "load: size: '3' is not an access size" },
  { function(m) m:load(0, 16) end, "invalid", "load: size: '16' is out of range" },
  { function(m) m:store(0, 4, 1 << 32) end, "invalid", "store: value:", "32 bits" },
  { function(m) m.memory.rooot = 5 end, "invalid", "'rooot' is not a field" },

  -- regions
  { function(m) m:region() end, "invalid", "region: is missing" },
  { function(m) m:region { knid = "io" } end, "invalid", "region: 'knid'", "did you mean 'kind'" },
  { function(m) m:region {} end, "invalid", "region: kind: is missing", "container" },
  { function(m) m:region { kind = "oi" } end, "invalid",
    "region: kind: 'oi' is not a valid choice" },
  { function(m) m:region { kind = "io", size = 0 } end, "invalid", "size" },
  { function(m) m:region { kind = "io", size = -5 } end, "invalid",
    "region: size: '-5' is negative" },
  { function(m) m:region { kind = "io", size = 4, read = 5 } end, "invalid",
    "region: read: '5' is not a function" },
  { function(m) m:region { kind = "ram", size = "1M" } end, "invalid",
    "region: memdev: is missing (want a memory backend, or fd or host, for kind 'ram')" },
  { function(m) m:region { kind = "ram", memdev = "nosuch" } end, "not-found",
    "region: memdev: there is no object 'nosuch'" },
  { function(m) m:region { kind = "ram", memdev = "dimm0" } end, "invalid",
    "want a memory backend" },
  { function(m) m:region { kind = "ram", size = 4096, fd = 9999 } end, "io", "" },
  { function(m) m:region { kind = "ram", size = 4096, fd = -1 } end, "invalid",
    "region: fd: '-1' is out of range" },
  { function(m) m:region { kind = "ram", size = 4096, host = "x" } end, "invalid",
    "region: host: a string is not a pointer" },
  { function(m) m:region { kind = "ram", fd = 0 } end, "invalid", "size" },
  { function(m) m:region { kind = "ram", memdev = "mem0", fd = 0, size = 4096 } end, "invalid",
    "more than one of memdev, fd and host" },
  { function(m) m:region { kind = "alias", size = 4 } end, "invalid",
    "region: target: is missing (want the region to show)" },
  { function(m) m:region { kind = "ram", memdev = 5 } end, "invalid",
    "region: memdev: '5' is not an object (want an id or an object)" },
  { function(m) m:region { kind = "alias", size = 4, target = 5 } end, "invalid",
    "region: target: '5' is not a region" },
  { function(m) m:region { kind = "io", size = 4, valid = { max = 3 } } end, "invalid",
    "max: '3' is not an access size" },
  { function(m) m:region { kind = "io", size = 4, valid = { mx = 4 } } end, "invalid",
    "did you mean 'max'" },
  { function(m) m:region { kind = "io", size = 4, impl = { min = 4, max = 1 } } end, "invalid",
    "impl: min 4 is larger than max 1" },
  { function(m) m:region { kind = "io", size = 4, endian = "middle" } end, "invalid",
    "little, big" },
  { function(m) m.io.root:add(m:region { kind = "io", size = 4 }, 0x3f8) end, "exists", "0x3f8" },
  { function(m) m.io.root:add(m:region { kind = "io", size = 4 }, 1.5) end, "invalid",
    "add: offset: '1.5' has a fraction" },
  { function(m) m.io.root:add(m.io.root, 0) end, "invalid", "" },
  { function(m) m.io.root:add(m:region { kind = "io", size = 4 }, 0x900, { priorty = 1 }) end,
    "invalid", "did you mean 'priority'" },
  { function(m) m.io.root:del(m:region { kind = "io", size = 4 }) end, "not-found", "is not in" },
  { function(m) m.io.root:del(5) end, "invalid", "lunik.Region" },

  -- lines, timers, clock
  { function(m) m:irq(24) end, "invalid", "irq: gsi: '24' is out of range", "0 to 23" },
  { function(m) m:irq "five" end, "invalid", "irq: gsi: 'five' is not a number" },
  { function(m) m:irq(5):set() end, "invalid", "set: level: is missing (want true or false)" },
  { function(m) m:irq(5):set(1) end, "invalid", "set: level: '1' is not a boolean" },
  { function(m) m:irq_level(-1) end, "invalid", "irq_level: gsi:" },
  { function(m) m:timer(5) end, "invalid", "timer: function: '5' is not a function" },
  { function(m) m:timer(print):set(-1) end, "invalid", "set: ns: '-1' is negative" },
  { function(m) m:advance(5) end, "state", "manual" },

  -- vCPUs
  { function(m) m:cpu(0) end, "unsupported", "no vCPUs" },

  -- events and waits
  { function(m) m:on("acpi_ost", print) end, "invalid", "did you mean 'acpi-ost'" },
  { function(m) m:on(5, print) end, "invalid", "on: event: '5' is not a string" },
  { function(m) m:on "acpi-ost" end, "invalid", "on: handler: nil is not a function" },
  { function(m) m:wait() end, "invalid",
    "wait: event: is missing (want an event's name, or a list of names)" },
  { function(m) m:watch(5) end, "invalid", "watch: event: '5' is not an event (want an event's" },
  { function(m) m:wait {} end, "invalid", "no event is named" },
  { function(m) m:wait("vcpu-exit") end, "invalid", "can't be waited for" },
  { function(m) m:wait("acpi-ost", { timeout = -1 }) end, "invalid",
    "timeout: '-1' is not a time" },
  { function(m) m:wait("acpi-ost", { timeout = "5" }) end, "invalid",
    "timeout: '5' is not a time" },
  { function(m) m:wait("acpi-ost", { timout = 5 }) end, "invalid",
    "wait: 'timout' is not a field (did you mean 'timeout'?)" },
  { function(m) m:wait("acpi-ost", 5) end, "invalid", "wait: '5' is not a table" },
  { function(m) m:emit("x", { list = { 1 } }) end, "invalid", "a list can't be sent" },
  { function(m) m:on_irq() end, "invalid", "on_irq: handler:" },
  { function() lunik.sleep(-1) end, "invalid", "sleep: time: '-1' is not a time" },
  { function() lunik.sleep(NAN) end, "invalid", "is not a time" },
  { function() lunik.spawn() end, "invalid", "spawn: function: nil is not a function" },
  { function() lunik.run "forever" end, "invalid", "run: mode: 'forever'" },
  { function() lunik.size "4Q" end, "invalid", "size: '4Q' is not a size" },
  { function() lunik.type "pc-dimn" end, "not-found", "did you mean 'pc-dimm'" },

  -- booting and ACPI
  { function(m) m:fwmap_add { base = 0 } end, "invalid", "fwmap_add: size: is missing" },
  { function(m) m:fwmap_add { base = 0, size = "1M", type = "rom" } end, "invalid",
    "ram, reserved" },
  { function(m) m:fwmap_add { base = 0, size = "1M" } end, "exists", "" },
  { function(m) m:boot_kernel { kernal = "x" } end, "invalid", "did you mean 'kernel'" },
  { function(m) m:boot_kernel { kernel = "/" } end, "invalid", "'/' is a directory" },
  { function(m) m:boot_kernel { kernel = "/dev/null" } end, "invalid", "/dev/null" },
  { function(m) m:boot_kernel { kernel = "/etc/passwd" } end, "invalid", "/etc/passwd" },
  { function(m) m:boot_firmware "/etc/passwd" end, "invalid", "/etc/passwd" },
  { function(m) m:rom_add("x", 1 << 45, "data") end, "access", "x: no RAM" },
  { function(m) m:rom_add("x", 0, 5) end, "invalid", "rom_add: data: '5' is not" },
  { function(m) m:acpi_table() end, "invalid", "acpi_table: signature: is missing" },

  -- methods called with '.', on the wrong thing or with something else for an object
  { function(m) m.wait "acpi-ost" end, "invalid", "wait: 'acpi-ost' is not a lunik.Machine",
    "call it with ':'" },
  { function(m) m.reset() end, "invalid", "reset: nil is not a lunik.Machine", "call it with ':'" },
  { function(m) m.advance() end, "invalid", "nil' is not a lunik.Machine", "call it with ':'" },
  { function(m) m.memory.string(5) end, "invalid", "'5' is not a lunik.Space" },
  { function(m) m:watch("acpi-ost").poll() end, "invalid", "poll: nil is not a lunik.Watch" },
  { function(m) m:on("reset", print).off {} end, "invalid", "off: a table is not" },
  { function() lunik.spawn(lunik.sleep, 0).cancel(1) end, "invalid", "cancel: '1' is not" },
  { function(m) m.memory:view("u8", 0, 1).values(1) end, "invalid", "not a lunik.View" },
  { function(m) m:timer(print).set(1) end, "invalid", "'1' is not a lunik.Timer" },
  { function(m) m:irq(5).pulse "x" end, "invalid", "'x' is not a lunik.Irq" },
  { function(m) m.memory.root:add "x" end, "invalid", "argument 1: 'x' is not a lunik.Region" },
  { function(m) m.memory.root:del() end, "invalid", "argument 1: 'nil' is not a lunik.Region" },
  { function(m) m.memory:string() end, "invalid", "string: address" },
  { function(m) m.memory:string(0, -1) end, "invalid", "string: max: '-1' is negative" },
  { function(m) m:map(0, 16):read(0) end, "invalid", "read: length: is missing (want a size" },
  { function(m) m:map(0, 16):write(0) end, "invalid", "write: data: nil is not a string" },
  { function(m) m:map(0, 16):hash {} end, "invalid", "hash: offset: a table is not a number" },

  -- lists are what they hold, not what their metatable says
  { function()
      lunik.suggest("x", setmetatable({ 1 }, { __len = function() return 1 << 60 end }))
    end,
    "invalid", "suggest: names" },

  -- life cycle
  { function(m) m:start() end, "state", "running" },
  { function(m) m:resume() end, "state", "running" },
  { function(m) m:shutdown(256) end, "invalid", "shutdown: code: '256' is out of range" },
  { function(m) m:transaction() end, "invalid", "transaction: function: is missing" },
  { function(m) m:transaction(function() m:close() end) end, "state", "inside a transaction" },
  { function(m) m:console() end, "unsupported", "serial" },
  { function(m) m:console "nosuch" end, "not-found", "nosuch" },
  { function(m) m.name = "other" end, "invalid", "'name' is not a field that can be set" },
}

describe("on a running machine", function()
  local m, before
  setup(function()
    m = lunik.machine {
      board = "pc", accel = "none", memory = "64M", maxmem = "1G", slots = 2,
      objects = {
        { "memory-backend-ram", { id = "mem0", size = "128M" } },
        { "memory-backend-ram", { id = "mem1", size = "128M" } },
        { "memory-backend-ram", { id = "big", size = "2G" } },
      },
      devices = { { "pc-dimm", { id = "dimm0", memdev = "mem0" } } },
    }
    m:start()
    lunik.run "nowait"
    before = portrait(m)
  end)
  teardown(machines.close_all)

  for i, case in ipairs(cases) do
    it(("case %d fails: %s"):format(i, case[3]), function()
      check(machines.raised(case[1], m), table.unpack(case, 2))
      lunik.run "nowait"
      collectgarbage()
      assert.are.equal(before, portrait(m))
    end)
  end

  it("the last slot can be taken, then none is free", function()
    local second = lunik.machine {
      board = "pc", accel = "none", memory = "64M", maxmem = "4G", slots = 1,
      objects = { { "memory-backend-ram", { id = "a", size = "128M" } },
        { "memory-backend-ram", { id = "b", size = "128M" } } },
    }
    second:device_add("pc-dimm", { memdev = "a" })
    local picture = portrait(second)
    check(machines.raised(second.device_add, second, "pc-dimm", { memdev = "b" }), "no-space",
      "slot")
    assert.are.equal(picture, portrait(second))
    second:close()
  end)

  it("a machine without slots takes no DIMM", function()
    local second = lunik.machine {
      board = "pc", accel = "none", memory = "64M",
      objects = { { "memory-backend-ram", { id = "a", size = "128M" } } },
    }
    local picture = portrait(second)
    check(machines.raised(second.device_add, second, "pc-dimm", { memdev = "a" }), "unsupported",
      "maxmem")
    assert.are.equal(picture, portrait(second))
    second:close()
  end)
end)

describe("a kernel file", function()
  after_each(machines.close_all)
  local function boot(path, memory)
    return machines.raised(lunik.machine, {
      board = "pc", accel = "none", memory = memory or "64M", kernel = tostring(path),
    })
  end
  local function elf(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "a"
    file:close()
    return text
  end
  local small = command.build .. "/guests/small.elf"

  it("that is empty", function()
    local path <close> = command.file ""
    check(boot(path), "invalid", tostring(path), "empty")
  end)
  it("that is no kernel", function()
    local path <close> = command.file(("not a kernel "):rep(1000))
    check(boot(path), "invalid", tostring(path))
  end)
  it("that is truncated", function()
    local text = elf(small)
    for _, length in ipairs { 4, 40, 100, #text // 2 } do
      local path <close> = command.file(text:sub(1, length))
      check(boot(path), "invalid", tostring(path))
    end
  end)
  it("that is too large for RAM", function()
    local path <close> = command.file(elf(small))
    check(boot(path, "1M"), "no-space", "RAM")
  end)
  it("that is a directory", function()
    check(boot "/tmp", "invalid", "'/tmp' is a directory")
  end)
end)

describe("a board file", function()
  after_each(machines.close_all)
  local function make(text)
    local path <close> = command.file(text, ".lua")
    local err = machines.raised(lunik.machine, { board = tostring(path), accel = "none" })
    return err, tostring(path)
  end
  it("with a syntax error says where", function()
    local err, path = make "return {\n  name = = 5 }"
    check(err, "script", path .. ":2:")
  end)
  it("that returns no board", function()
    local err, path = make "return 5"
    check(err, "invalid", path, "want a board's table")
  end)
  it("that raises keeps its traceback", function()
    local err, path = make "return { build = function(m) m.nothing.there = 1 end }"
    assert.is_truthy(tostring(err):find(path .. ":1:", 1, true))
    assert.is_truthy(tostring(err):find("stack traceback", 1, true))
  end)
end)

-- Runs a script that makes a KVM machine with /dev/kvm spoilt by a shell command in a mount
-- namespace of its own.
local function without_kvm(spoil)
  return command.script([[
    local ok, err = pcall(lunik.machine, { board = "micro" })
    print(err.code, err.message)
  ]], ("unshare -m sh -c '%s; exec \"$@\"' sh"):format(spoil))
end

describe("without KVM", function()
  local can_unshare = os.execute "unshare -m true 2>/dev/null"
  local function missing(name, spoil, ...)
    local words = { ... }
    it(name, function()
      if not can_unshare then return pending "needs the right to make a mount namespace" end
      local out, err = without_kvm(spoil)
      for _, word in ipairs(words) do
        assert.is_truthy(out:find(word, 1, true), out .. err)
      end
    end)
  end
  missing("the error says that the module is missing",
    "mount -t tmpfs none /dev && : >/dev/null", "not-found", "/dev/kvm", "kvm_intel")
  missing("the error says that it is something else",
    "mount -t tmpfs none /dev && : >/dev/null && : >/dev/kvm", "unsupported",
    "/dev/kvm is not KVM's device: inappropriate ioctl for device")
end)
