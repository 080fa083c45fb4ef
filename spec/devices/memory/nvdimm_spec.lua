-- NVDIMMs on a machine without vCPUs, with the scripted guest: what it finds in the tables, what it
-- is notified of, and where its writes and its labels go.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local MIB = 1 << 20
local LABELS = 128 << 10
local PORT, STATUS_PORT = 0xb18, 0xa18
-- Functions and statuses of _DSM.
local FUNCTIONS, LABEL_SIZE, GET_LABELS, SET_LABELS = 0, 4, 5, 6
local SUCCESS, UNSUPPORTED, NO_DEVICE, INVALID, CHANGED = 0, 1, 2, 3, 0x100
local MOST = 4096 - 12 - 8 -- bytes of labels in one call

describe("an NVDIMM", function()
  local m, guest, files

  before_each(function() files = {} end)

  after_each(function()
    machines.close_all()
    for _, path in ipairs(files) do os.remove(path) end
    m, guest = nil, nil
  end)

  local function new(options)
    local all = {
      accel = "none", memory = "64M", maxmem = "4G", slots = 4, serial = "buffer", nvdimm = true,
    }
    for name, value in pairs(options or {}) do all[name] = value or nil end
    m = lunik.machine(all)
  end

  local function ready()
    machines.wait_until(function() return guest.booted and not guest:is_busy() end,
      "the guest has not booted")
  end

  local function start()
    m:start()
    guest = require("lunik.guest").attach(m)
    ready()
  end

  -- Returns the path of its file.
  local function plug(id, props, backend)
    local all = { id = id, memdev = id .. "-mem" }
    for name, value in pairs(props or {}) do all[name] = value end
    local file = { id = id .. "-mem", size = "4M", share = true }
    for name, value in pairs(backend or {}) do file[name] = value end
    if not file.mem_path then
      file.mem_path = os.tmpname()
      table.insert(files, file.mem_path)
    end
    m:object_add("memory-backend-file", file)
    m:device_add("nvdimm", all)
    return file.mem_path
  end

  local function refused(want, id, props, backend)
    local err = machines.raised(plug, id, props, backend)
    assert.equal(want, err.message)
    assert.is_nil(m:object(id))
  end

  local function seen(handle)
    machines.wait_until(function() return guest.nvdimms.online[handle] and not guest:is_busy() end,
      "the guest does not see the NVDIMM")
    return guest.nvdimms.online[handle]
  end

  local function dsm(handle, fn, ...)
    return guest.nvdimms:dsm(handle, fn, string.pack(("I4"):rep(select("#", ...)), ...))
  end

  local function nfit()
    local bytes = m:acpi_table "NFIT"
    return bytes and guest.nvdimms.parse(bytes:sub(41))
  end

  local FIRST = { address = 4 << 30, size = 4 * MIB, node = 0, armed = true }

  it("is there when the machine starts", function()
    new()
    plug "nv"
    start()
    assert.same({ FIRST }, guest.nvdimms.online)
    assert.same({ FIRST }, nfit())
    assert.same({ {
      type = "nvdimm",
      data = {
        id = "nv", addr = 4 << 30, slot = 0, node = 0, size = 4 * MIB,
        memdev = m:object("nv-mem").path, hotplugged = false, hotpluggable = true,
      },
    } }, m:memory_devices())
  end)

  it("is plugged into a running machine", function()
    new { numa = { { memory = "32M" }, { memory = "32M" } } }
    start()
    assert.same({}, guest.nvdimms.online)
    assert.is_nil(m:acpi_table "NFIT")
    local events = m:watch { "device-added", "acpi-ost" }
    plug("nv", { slot = 2, node = 1 })
    local nvdimm = { address = 4 << 30, size = 4 * MIB, node = 1, armed = true }
    assert.same(nvdimm, seen(3))
    assert.equal("device-added", events:wait({ timeout = 20 }).name)
    assert.is_nil(events:poll())
    assert.is_true(m:object("nv").hotplugged)
    assert.same({}, guest.online) -- it is no memory to the guest
    assert.equal(0, m:inl(STATUS_PORT))
    assert.is_nil(m:acpi_table "NFIT")
    m:reset()
    ready()
    assert.same({ [3] = nvdimm }, guest.nvdimms.online)
    assert.same({ [3] = nvdimm }, nfit())
  end)

  it("shares the slots and the window with DIMMs", function()
    new()
    start()
    machines.plug(m, "dimm1")
    plug "nv"
    machines.plug(m, "dimm2")
    assert.equal(1, m:object("nv").slot)
    assert.equal((4 << 30) + 16 * MIB, seen(2).address)
    machines.wait_until(function() return guest.online[2] end, "the guest has no second DIMM")
    assert.equal(0x0f000f, m:inl(STATUS_PORT))
    assert.equal((16 + 4 + 16) * MIB, m:object("device-memory").used)
  end)

  it("notifies the guest once for all of a transaction, and of none that fails", function()
    new()
    start()
    local notified = 0
    local scan = guest.nvdimms.scan
    guest.nvdimms.scan = function(...)
      notified = notified + 1
      return scan(...)
    end
    m:transaction(function()
      plug "nv1"
      plug "nv2"
    end)
    seen(2)
    assert.equal(1, notified)
    machines.raised(m.transaction, m, function()
      plug "nv3"
      error "no"
    end)
    lunik.run "nowait"
    assert.equal(1, notified)
    assert.equal(2, #guest.nvdimms:read_fit() // 184)
  end)

  it("has what the guest writes in its file", function()
    new()
    local path = plug("nv", { label_size = LABELS })
    start()
    local nvdimm = seen(1)
    assert.equal(4 * MIB - LABELS, nvdimm.size)
    m:write(nvdimm.address + nvdimm.size - 4, "last")
    assert.equal("last", command.read(path):sub(-LABELS - 4, -LABELS - 1))
    assert.equal("access", machines.raised(m.write, m, nvdimm.address + nvdimm.size, "x").code)
  end)

  it("keeps labels at the end of its file", function()
    new()
    local path = plug("nv", { label_size = LABELS })
    start()
    assert.equal(1 | 1 << LABEL_SIZE | 1 << GET_LABELS | 1 << SET_LABELS, (dsm(1, FUNCTIONS)))
    local status, sizes = dsm(1, LABEL_SIZE)
    assert.equal(SUCCESS, status)
    assert.same({ LABELS, MOST, 9 }, { string.unpack("<I4I4", sizes) })
    local text = ("label"):rep(800)
    status = guest.nvdimms:dsm(1, SET_LABELS, string.pack("<I4I4", LABELS - #text, #text) .. text)
    assert.equal(SUCCESS, status)
    assert.equal(text, command.read(path):sub(-#text))
    local bytes
    status, bytes = dsm(1, GET_LABELS, LABELS - #text, #text)
    assert.equal(SUCCESS, status)
    assert.equal(text, bytes)
  end)

  it("refuses label calls that reach beyond them, and others that make no sense", function()
    new()
    local path = plug("nv", { label_size = LABELS })
    plug "bare"
    start()
    local before = command.read(path)
    for _, range in ipairs { { LABELS, 1 }, { LABELS - 1, 2 }, { 0, MOST + 1 }, { 0xffffffff, 1 },
      { 1, 0xffffffff }, { 0xffffffff, 0xffffffff } } do
      assert.equal(INVALID, (dsm(1, GET_LABELS, range[1], range[2])))
      assert.equal(INVALID, (dsm(1, SET_LABELS, range[1], range[2], 0x78787878)))
    end
    for _, handle in ipairs { 3, 5, 256, 257, 0xffff, 0xffffffff } do
      assert.equal(NO_DEVICE, (dsm(handle, GET_LABELS, 0, 1)))
      assert.equal(0, (dsm(handle, FUNCTIONS)))
    end
    assert.equal(UNSUPPORTED, (dsm(1, 7)))
    assert.equal(UNSUPPORTED, (dsm(2, LABEL_SIZE)))
    assert.equal(0, (dsm(2, FUNCTIONS)))
    assert.equal(0, (dsm(0, FUNCTIONS)))
    assert.equal(UNSUPPORTED, (dsm(0, 1)))
    assert.equal(SUCCESS, (dsm(1, SET_LABELS, LABELS, 0))) -- of nothing
    assert.is_true(before == command.read(path))
  end)

  it("takes no call from where there is no memory", function()
    new()
    start()
    local rejected = 0
    m:on_rejected(function(access)
      if access.address == PORT then rejected = rejected + 1 end
    end)
    for _, address in ipairs { 0xfff00000, 64 * MIB - 100 } do m:outl(PORT, address) end
    assert.equal(2, rejected)
    assert.equal(0, m:inl(PORT))
    m:outb(PORT, 1) -- of another size
    assert.equal(0, (dsm(0, FUNCTIONS)))
  end)

  it("lets the guest start again when there is another while it reads", function()
    new { slots = 32 }
    for i = 1, 30 do plug("nv" .. i, nil, { size = "64K" }) end
    start()
    local read_most = 4096 - 8
    local function read(offset) return dsm(0x10000, 1, offset) end
    assert.equal(read_most, #select(2, read(0)))
    plug("nv31", nil, { size = "64K" })
    assert.equal(CHANGED, (read(read_most)))
    assert.equal(SUCCESS, (read(0)))
    assert.equal(31 * 184 - read_most, #select(2, read(read_most)))
    assert.equal("", (select(2, read(31 * 184))))
    assert.equal(INVALID, (read(31 * 184 + 1)))
    assert.equal(31, #guest.nvdimms.parse(guest.nvdimms:read_fit()))
  end)

  it("that is not armed is one that the guest only reads", function()
    new()
    local path = plug("nv", { unarmed = true, label_size = LABELS })
    start()
    assert.is_false(seen(1).armed)
    assert.equal(1 | 1 << LABEL_SIZE | 1 << GET_LABELS, (dsm(1, FUNCTIONS)))
    assert.equal(UNSUPPORTED, (dsm(1, SET_LABELS, 0, 4, 0x78787878)))
    assert.equal(("\0"):rep(4), command.read(path):sub(-LABELS, -LABELS + 3))
  end)

  it("of a file that is only read has to be unarmed", function()
    new()
    local path <close> = command.file(("x"):rep(4 * MIB))
    local backend = { mem_path = tostring(path), readonly = true }
    refused("nvdimm: unarmed: must be true, because memdev 'nv-mem' is readonly", "nv", nil,
      backend)
    m:object_del "nv-mem"
    plug("nv", { unarmed = true, label_size = LABELS }, backend)
    start()
    local nvdimm = seen(1)
    machines.raised(m.write, m, nvdimm.address, "y") -- ROM
    assert.equal("x", m:read(nvdimm.address, 1))
    assert.equal("xx", (select(2, dsm(1, GET_LABELS, 0, 2))))
    assert.equal(UNSUPPORTED, (dsm(1, SET_LABELS, 0, 4, 0x78787878)))
  end)

  it("leaves a machine only before the start", function()
    new()
    plug "nv1"
    plug "nv2"
    m:device_del "nv1"
    start()
    assert.is_nil(guest.nvdimms.online[1])
    assert.equal((4 << 30) + 4 * MIB, seen(2).address)
    assert.equal("device 'nv2' (nvdimm) can't be removed from a machine that has been started",
      machines.raised(m.device_del, m, "nv2").message)
    assert.is_false(m:object("nv2").hotpluggable)
  end)

  it("is refused with a reason", function()
    new()
    refused("nvdimm: label-size: 4096 is too small (want 0, or at least 131072)", "a",
      { label_size = 4096 })
    refused("nvdimm: memdev: the size of 'b-mem', 0x400000, leaves no room besides label-size, "
      .. "0x400000 (want at least 0x1000 more than that)", "b", { label_size = "4M" })
    refused("nvdimm: uuid: '7' is no UUID (want 8-4-4-4-12 hexadecimal digits)", "c",
      { uuid = "7" })
    refused("nvdimm: slot: 4 is out of range (want 0 to 3)", "d", { slot = 4 })
    refused("nvdimm: node: 1 is not a NUMA node of the machine, which has 1", "e", { node = 1 })
    refused("nvdimm: addr: 0x100000800 must be aligned to 0x1000 bytes", "f",
      { addr = 0x100000800 })
    assert.same({}, m:memory_devices())
    assert.equal(0, m:object("device-memory").used)
    plug("g", { uuid = "7d0a5bd1-1f2e-4c3b-9a88-0123456789ab" })
    assert.equal("7d0a5bd1-1f2e-4c3b-9a88-0123456789ab", m:object("g").uuid)
  end)

  it("needs the option nvdimm, which needs slots", function()
    new { nvdimm = false }
    refused("nvdimm: the machine has no NVDIMMs (want the option nvdimm = true)", "nv")
    assert.equal("nvdimm: true needs memory slots (want maxmem and slots)",
      machines.raised(new, { slots = false, maxmem = false }).message)
  end)

  it("is aligned as its file is", function()
    new()
    plug("first", nil, { size = "1M" })
    plug("nv", nil, { size = "5M", align = "2M" })
    assert.equal((4 << 30) + 2 * MIB, m:object("nv").addr)
    assert.equal(4 * MIB, m:object("nv").size)
  end)
end)

describe("a file that is persistent memory", function()
  after_each(machines.close_all)

  local function add(props)
    local m = machines.none()
    local path <close> = command.file ""
    props.id, props.size, props.mem_path = "pmem", "1M", tostring(path)
    return machines.raised(m.object_add, m, "memory-backend-file", props), command.read(path)
  end

  it("has to be shared", function()
    assert.equal("memory-backend-file: pmem: true wants share, which is false",
      add({ pmem = true }).message)
  end)

  it("is refused where the file system has no direct access", function()
    local err, left = add { pmem = true, share = true }
    assert.equal("unsupported", err.code)
    assert.equal("memory-backend-file: pmem: sync: the file system of its file can't map it with "
      .. "MAP_SYNC (want persistent memory: a file on a file system with DAX)", err.message)
    assert.equal("", left)
  end)
end)
