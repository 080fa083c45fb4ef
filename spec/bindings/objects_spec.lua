-- Objects and devices from Lua: what is refused and how, properties, users, DIMMs in and out.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local guest = require "lunik.guest"

local MiB, GiB = 1 << 20, 1 << 30

local function machine(options)
  local settings = { board = "pc", accel = "none", serial = "buffer" }
  if not options then options = { memory = "64M", maxmem = "2G", slots = 4 } end
  for key, value in pairs(options) do settings[key] = value end
  return lunik.machine(settings)
end

-- The machine as a script sees it: what failed must not change it.
local function snapshot(m)
  local lines = { m:mtree() }
  for _, object in ipairs(m:objects()) do lines[#lines + 1] = object.path end
  return table.concat(lines, "\n")
end

describe("bad input", function()
  local m

  setup(function()
    m = machine()
    m:object_add("memory-backend-ram", { id = "used", size = "128M" })
    m:object_add("memory-backend-ram", { id = "free", size = "128M" })
    m:object_add("memory-backend-ram", { id = "odd", size = "3M" })
    m:object_add("memory-backend-ram", { id = "large", size = "2G", reserve = false })
    m:device_add("pc-dimm", { id = "dimm", memdev = "used", slot = 1 })
  end)

  teardown(function() m:close() end)

  local ram, file, memfd = "memory-backend-ram", "memory-backend-file", "memory-backend-memfd"

  -- method, type, properties (or an id), error code, what the message has in it
  local cases = {
    { "object_add", ram, { id = "x", size = "4Q" },
      "invalid", "size: '4Q' is not a size (want e.g. 512M, 4G)" },
    { "object_add", ram, { id = "x", size = "" }, "invalid", "size: '' is not a size" },
    { "object_add", ram, { id = "x", size = 0 },
      "invalid", "size: 0 is out of range (want at least 1)" },
    { "object_add", ram, { id = "x", size = -4096 }, "invalid", "size: -4096 is out of range" },
    { "object_add", ram, { id = "x", size = 4097 },
      "invalid", "size: 4097 is not a multiple of the page size 4096" },
    { "object_add", ram, { id = "x", size = "15E" }, "no-memory", "more than the host can map" },
    { "object_add", ram, { id = "x", size = "16E" }, "invalid", "'16E' does not fit in 64 bits" },
    { "object_add", ram, { id = "x", size = true }, "invalid", "size: true is not a size" },
    { "object_add", ram, { id = "x" }, "invalid", "size: is missing" },
    { "object_add", ram, { size = "1M" }, "invalid", "id: is missing" },
    { "object_add", ram, { id = "7up", size = "1M" }, "invalid", "id: '7up' is not an id" },
    { "object_add", ram, { id = "used", size = "1M" }, "exists", "id: 'used' is taken" },
    { "object_add", ram, { id = "dimm", size = "1M" }, "exists", "id: 'dimm' is taken" },
    { "object_add", ram, { id = "x", sise = "1M" },
      "not-found", "has no property 'sise' (did you mean 'size'?)" },
    { "object_add", ram, { id = "x", size = "1M", share = "perhaps" },
      "invalid", "share: 'perhaps' is not a boolean" },
    { "object_add", ram, { id = "x", size = "1M", prealloc_threads = 0 },
      "invalid", "prealloc-threads: 0 is out of range (want 1 to 256)" },
    { "object_add", ram, { id = "x", size = "1M", prealloc = true, reserve = false },
      "invalid", "reserve: off can't go with prealloc on" },
    { "object_add", ram, { id = "x", size = "1M", policy = "binding" },
      "invalid",
      "policy: 'binding' is not one of the choices (want default, preferred, bind or interleave)" },
    { "object_add", ram, { id = "x", size = "1M", policy = "bind" },
      "invalid", "host-nodes: must be set for policy bind" },
    { "object_add", ram, { id = "x", size = "1M", host_nodes = { 0 } },
      "invalid", "host-nodes: must be empty for policy default" },
    { "object_add", ram, { id = "x", size = "1M", policy = "bind", host_nodes = { 999 } },
      "not-found", "host-nodes: 999 is not a memory node of this host" },
    { "object_add", file, { id = "x", size = "1M" }, "invalid", "mem-path: is missing" },
    { "object_add", file, { id = "x", size = "1M", mem_path = "/nosuch/file" },
      "not-found", "mem-path: '/nosuch/file': no such file" },
    { "object_add", file, { id = "x", size = "1M", mem_path = "/tmp", readonly = true },
      "invalid", "is a directory" },
    { "object_add", memfd, { id = "x", size = "2M", hugetlbsize = "2M" },
      "invalid", "hugetlbsize: needs hugetlb on" },
    { "object_add", "memory-backend-rum", { id = "x" },
      "not-found", "did you mean 'memory-backend-ram'?" },
    { "object_add", "memory-backend", { id = "x" }, "invalid", "is abstract" },
    { "object_add", "pc-dimm", { id = "x" }, "invalid", "is a device (use device_add)" },
    { "object_del", "used", nil, "busy", "object 'used' is in use by 'dimm' and can't be deleted" },
    { "object_del", "nobody", nil, "not-found", "nobody" },
    { "object_del", "dimm", nil, "invalid", "is a device (use device_del)" },
    { "device_add", ram, { id = "x" }, "invalid", "is not a device (use object_add)" },
    { "device_add", "pc-dim", { memdev = "free" }, "not-found", "did you mean 'pc-dimm'?" },
    { "device_add", "pc-dimm", {},
      "invalid", "memdev: is missing (want the id of a memory-backend)" },
    { "device_add", "pc-dimm", { memdev = "nobody" },
      "not-found", "memdev: there is no object 'nobody'" },
    { "device_add", "pc-dimm", { memdev = "rtc" }, "invalid", "memdev: 'rtc' is a mc146818" },
    { "device_add", "pc-dimm", { memdev = "used" },
      "busy", "memdev: object 'used' is already in use by 'dimm'" },
    { "device_add", "pc-dimm", { memdev = "free", slot = 1 },
      "busy", "slot 1 is busy with 'dimm'" },
    { "device_add", "pc-dimm", { memdev = "free", slot = 4 },
      "invalid", "slot: 4 is out of range (want 0 to 3)" },
    { "device_add", "pc-dimm", { memdev = "free", slot = -2 },
      "invalid", "slot: -2 is out of range" },
    { "device_add", "pc-dimm", { memdev = "free", node = 1 },
      "invalid", "node: 1 is not a NUMA node of the machine, which has 1" },
    { "device_add", "pc-dimm", { memdev = "free", addr = 4 * GiB + 4096 },
      "invalid", "must be aligned to 0x200000 bytes" },
    { "device_add", "pc-dimm", { memdev = "free", addr = 4 * GiB },
      "exists", "conflicts with memory device 'dimm'" },
    { "device_add", "pc-dimm", { memdev = "free", addr = GiB },
      "invalid", "is not in the range for memory devices" },
    { "device_add", "pc-dimm", { memdev = "large" }, "no-space", "not enough space" },
    { "device_add", "pc-dimm", { memdev = "odd" }, "invalid", "must be a multiple of 0x200000" },
    { "device_add", "pc-dimm", { memdev = "free", size = "1M" },
      "invalid", "size: can only be read" },
    { "device_del", "nobody", nil, "not-found", "there is no device 'nobody'" },
    { "device_del", "free", nil, "invalid", "is not a device (use object_del)" },
    { "device_del", "i440fx", nil, "busy", "is in use by" },
  }

  for _, case in ipairs(cases) do
    local method, what, properties, code, text = table.unpack(case, 1, 5)
    it(("%s %s: %s"):format(method, what, text), function()
      local before = snapshot(m)
      local err = machines.raised(m[method], m, what, properties)
      assert.equal(code, err.code)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
      assert.equal(before, snapshot(m))
    end)
  end

  it("says that the machine has no room for DIMMs", function()
    local bare = machine { memory = "64M" }
    bare:object_add("memory-backend-ram", { id = "m", size = "2M" })
    local err = machines.raised(bare.device_add, bare, "pc-dimm", { memdev = "m" })
    assert.equal("unsupported", err.code)
    bare:close()
  end)
end)

describe("an object", function()
  local m

  before_each(function() m = machine() end)
  after_each(function() m:close() end)

  it("reads back its properties", function()
    local b = m:object_add("memory-backend-memfd", { id = "b", size = "4M", host_nodes = {} })
    assert.equal(4 * MiB, b.size)
    assert.is_true(b.share)
    assert.equal("default", b.policy)
    assert.same({}, b.host_nodes)
    assert.equal(1, b:get("prealloc-threads"))
    assert.equal("/objects/b", b.path)
  end)

  it("takes what may be changed, and nothing else", function()
    local b = m:object_add("memory-backend-ram", { id = "b", size = "4M" })
    b:set("merge", false)
    assert.is_false(b.merge)
    assert.equal("state", machines.raised(b.set, b, "size", "8M").code)
    assert.equal(4 * MiB, b.size)
  end)

  it("is gone when it is deleted, even if a handle of it is held", function()
    local b = m:object_add("memory-backend-ram", { id = "b", size = "4M" })
    m:object_del("b")
    assert.is_false(b.alive)
    local err = machines.raised(b.get, b, "size")
    assert.equal("gone", err.code)
    m:object_add("memory-backend-ram", { id = "b", size = "8M" })
    assert.is_false(b.alive)
  end)

  it("tells how far its preallocation is", function()
    local seen = {}
    m:on("prealloc-progress", function(ev) seen[#seen + 1] = ev.done end)
    m:object_add("memory-backend-ram",
      { id = "b", size = "48M", prealloc = true, prealloc_threads = 2 })
    assert.equal(48 * MiB, seen[#seen])
  end)
end)

describe("a DIMM", function()
  local m, os

  local function plug(id, properties)
    local settings = { id = id, memdev = id .. "-mem" }
    for key, value in pairs(properties or {}) do settings[key] = value end
    m:object_add("memory-backend-ram", { id = id .. "-mem", size = "128M" })
    return m:device_add("pc-dimm", settings)
  end

  local function boot(options)
    m:start()
    os = guest.attach(m, options)
  end

  before_each(function() m = machine() end)
  after_each(function()
    if os then os:detach() end
    os = nil
    m:close()
  end)

  it("is taken, used and given back", function()
    boot()
    local d = plug "d"
    local ev = m:wait("acpi-ost", { device = "d", timeout = 5 })
    assert.equal(1, ev.source)
    assert.equal(0, ev.status)
    assert.equal(4 * GiB, d.addr)
    assert.is_true(d.hotplugged)
    assert.equal("busy", machines.raised(m.object_del, m, "d-mem").code)
    m:device_del("d"):wait { timeout = 5 }
    assert.is_false(d.alive)
    m:object_del("d-mem")
    assert.is_nil(m.memory:find(4 * GiB))
  end)

  it("stays when the guest refuses, until it changes its mind", function()
    local refuse = true
    boot { refuse_eject = function() return refuse end }
    local d = plug "d"
    m:wait("acpi-ost", { device = "d", timeout = 5 })
    local removal = m:device_del("d")
    assert.equal("busy", machines.raised(removal.wait, removal, { timeout = 5 }).code)
    assert.equal("refused", d.state)
    assert.is_true(d.alive)
    refuse = false
    m:device_del("d"):wait { timeout = 5 }
    assert.is_false(d.alive)
  end)

  it("may be asked for twice", function()
    boot()
    plug "d"
    m:wait("acpi-ost", { device = "d", timeout = 5 })
    local first, second = m:device_del("d"), m:device_del("d")
    assert.equal("ejected", second:wait { timeout = 5 })
    assert.equal("ejected", first.state)
  end)

  it("leaves with a reset when its removal was requested", function()
    m:start()
    local d, e = plug "d", plug "e"
    m:device_del("d")
    m:reset()
    m:wait("device-deleted", { device = "d", timeout = 5 })
    assert.is_false(d.alive)
    assert.is_true(e.alive)
  end)

  it("goes in and out hundreds of times", function()
    boot { pages = 1 }
    m:object_add("memory-backend-ram", { id = "b", size = "128M" })
    for _ = 1, 300 do
      m:device_add("pc-dimm", { id = "d", memdev = "b" })
      m:wait("acpi-ost", { device = "d", timeout = 5 })
      m:device_del("d"):wait { timeout = 5 }
    end
    assert.is_nil(m:object("d"))
    m:object_del("b")
  end)

  it("fills the gap that fits", function()
    plug("a")
    plug("c", { addr = 4 * GiB + 256 * MiB })
    assert.equal(4 * GiB + 128 * MiB, plug("b").addr)
    m:device_del("a")
    assert.equal(4 * GiB, plug("e").addr)
    local listed = {}
    for _, device in ipairs(m:memory_devices()) do listed[#listed + 1] = device.data.id end
    assert.same({ "e", "b", "c" }, listed)
  end)

  it("belongs to a NUMA node", function()
    m:close()
    m = machine {
      cpus = 2, maxmem = "2G", slots = 4,
      numa = { { cpus = { 0 }, memory = "64M" }, { cpus = { 1 }, memory = "64M" } },
    }
    assert.equal(1, plug("d", { node = 1 }).node)
    m:start()
    m:outl(0xa00, 0)
    assert.equal(1, m:inl(0xa10))
  end)
end)
