-- Disks from a script's side: back ends in files and in Lua, the virtio device in front of them.
local lunik = require "lunik"
local blk = require "spec.support.blk"

local DRIVE_SIZE = 1 << 20

-- Returns the path of a new file of that size.
local function new_file(size, folder)
  local path = (folder or "/dev/shm") .. "/lunik-disk-spec-" .. tostring({}):match "0x%x+"
  local file = assert(io.open(path, "wb"))
  file:write(("\0"):rep(size))
  file:close()
  return path
end

describe("a disk", function()
  local m, path

  before_each(function()
    path = new_file(DRIVE_SIZE)
    m = lunik.machine { name = "disks", accel = "none", memory = "16M" }
  end)

  after_each(function()
    m:close()
    os.remove(path)
  end)

  local function refused(fn, code, text)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.are.equal(code, err.code)
    assert.is_truthy(err.message:find(text, 1, true), err.message)
  end

  local function add_device(props)
    local all = { id = "vda", bus = "i440fx", drive = "disk" }
    for key, value in pairs(props or {}) do all[key] = value end
    return m:device_add("virtio-blk-pci", all)
  end

  it("has the size of its file, and counts its requests", function()
    local disk = m:object_add("blockdev-file", { id = "disk", filename = path })
    assert.are.equal(DRIVE_SIZE, disk.size)
    assert.are.equal("auto", disk.aio)
    for _, what in ipairs { "read", "write", "discard", "zero" } do
      assert.are.equal(0, disk:get(what .. "-operations"))
      assert.are.equal(0, disk:get(what .. "-bytes"))
    end
    assert.are.equal(0, disk:get "flush-operations")
    assert.are.equal(0, disk.errors)
  end)

  it("is resized while the machine runs", function()
    local disk = m:object_add("blockdev-file", { id = "disk", filename = path })
    add_device()
    m:start()
    disk:set("size", "2M")
    assert.are.equal(2 << 20, disk.size)
    local file <close> = assert(io.open(path))
    assert.are.equal(2 << 20, file:seek "end")
    refused(function() disk:set("size", 1000) end, "invalid", "size: 1000 is no size of a disk")
    refused(function() disk:set("readonly", true) end, "state", "readonly")
    assert.are.equal(2 << 20, disk.size)
  end)

  it("is one device's, and stays as long as that", function()
    m:object_add("blockdev-file", { id = "disk", filename = path })
    local device = add_device { serial = "abc", ["num-queues"] = 2 }
    assert.are.equal("disk", device.drive)
    refused(function() m:device_add("virtio-blk-pci", { bus = "i440fx", drive = "disk" }) end,
      "busy", "disk")
    refused(function() m:object_del "disk" end, "busy", "in use by 'vda'")
    local found
    for _, f in ipairs(m:pci()) do found = found or f.vendor == 0x1af4 and f.device == 0x1042 end
    assert.is_true(found)
  end)

  it("is not shared with another writer", function()
    m:object_add("blockdev-file", { id = "disk", filename = path })
    refused(function() m:object_add("blockdev-file", { id = "b", filename = path }) end, "busy",
      "'" .. path .. "' is in use by another disk or program")
    m:object_add("blockdev-file", { id = "b", filename = path, locking = false })
  end)

  it("names what is wrong with its options", function()
    refused(function() m:object_add("blockdev-file", { id = "disk" }) end, "invalid",
      "filename: is missing")
    refused(function() m:object_add("blockdev-file", { id = "disk", filename = "/no/disk" }) end,
      "not-found", "filename: can't open '/no/disk'")
    refused(function()
      m:object_add("blockdev-file", { id = "disk", filename = path, aio = "native" })
    end, "invalid", "native")
    refused(function()
      m:object_add("blockdev-file", { id = "disk", filename = path, size = "1M" })
    end, "invalid", "size: is that of the file")
    m:object_add("blockdev-file", { id = "disk", filename = path })
    refused(function() add_device { serial = ("x"):rep(21) } end, "invalid",
      "has 21 characters (want at most 20)")
    refused(function() add_device { ["num-queues"] = 65 } end, "invalid",
      "num-queues: 65 is not possible (want 1 to 64)")
    refused(function() add_device { ["queue-size"] = 100 } end, "invalid", "queue-size: 100")
    refused(function() add_device { logical_block_size = 1000 } end, "invalid",
      "logical_block_size: 1000")
    refused(function() add_device { logical_block_size = 4096, physical_block_size = 512 } end,
      "invalid", "physical_block_size: 512")
    refused(function() add_device { drive = "nothing" } end, "not-found", "nothing")
    add_device()
  end)
end)

describe("a disk in Lua", function()
  local m

  before_each(function()
    m = lunik.machine { name = "disks", accel = "none", memory = "16M" }
  end)

  after_each(function() m:close() end)

  local function refused(props, text)
    local ok, err = pcall(m.object_add, m, "blockdev-lua", props)
    assert.is_false(ok)
    assert.is_truthy(err.message:find(text, 1, true), err.message)
  end

  it("needs functions and a size", function()
    local function none() end
    refused({ id = "disk", size = "1M", write = none }, "read: is missing")
    refused({ id = "disk", size = "1M", read = none }, "write: is missing")
    refused({ id = "disk", size = "1M", read = 5, write = none }, "read")
    refused({ id = "disk", read = none, write = none }, "size: 0 is no size of a disk")
    refused({ id = "disk", size = 1000, read = none, write = none }, "size: 1000")
    refused({ id = "disk", size = "1M", read = none, write = none, sync = none }, "sync")
    local disk = m:object_add("blockdev-lua", { id = "disk", size = "1M", read = none,
      readonly = true })
    assert.are.equal(1 << 20, disk.size)
    assert.is_true(disk.readonly)
  end)

  it("has what its functions say, on an iothread as well", function()
    for _, thread in ipairs { false, true } do
      local sectors, calls = {}, {}
      m:close()
      m = lunik.machine { name = "disks", accel = "none", memory = "16M" }
      if thread then m:object_add("iothread", { id = "io0" }) end
      local disk = m:object_add("blockdev-lua", {
        id = "disk", size = "1M",
        read = function(offset, size)
          calls[#calls + 1] = ("read %d %d"):format(offset, size)
          if offset == 512 then error("no such sector") end
          return sectors[offset] or ("."):rep(size)
        end,
        write = function(offset, bytes)
          calls[#calls + 1] = ("write %d %d"):format(offset, #bytes)
          sectors[offset] = bytes
        end,
        flush = function() calls[#calls + 1] = "flush" end,
        discard = function(offset, size)
          calls[#calls + 1] = ("discard %d %d"):format(offset, size)
        end,
      })
      m:device_add("virtio-blk-pci", { bus = "i440fx", addr = "5", drive = "disk",
        iothread = thread and "io0" or nil })
      local errors = 0
      m:on("error", function() errors = errors + 1 end)
      m:start()
      local d = blk.start(m, 5)
      assert.are.same({ 0, ("."):rep(512) }, { blk.request(d, blk.READ, 0, nil, 512) })
      assert.are.same({ 0, "" }, { blk.request(d, blk.WRITE, 8, ("w"):rep(512)) })
      assert.are.same({ 0, ("w"):rep(512) }, { blk.request(d, blk.READ, 8, nil, 512) })
      assert.are.same({ 0, "" }, { blk.request(d, blk.FLUSH, 0) })
      assert.are.same({ 0, "" }, { blk.request(d, blk.DISCARD, 0, ("<I8I4I4"):pack(16, 4, 0)) })
      assert.are.equal(1, (blk.request(d, blk.READ, 1, nil, 512)))
      assert.are.equal(1, (blk.request(d, blk.READ, 2048, nil, 512)))
      assert.are.equal(0, (blk.request(d, blk.READ, 0, nil, 300 * 1024)))
      lunik.sleep(0)
      assert.are.same({ "read 0 512", "write 4096 512", "read 4096 512", "flush",
        "discard 8192 2048", "read 512 512", "read 0 262144", "read 262144 45056" }, calls)
      assert.are.equal(1, errors)
      assert.are.same({ 3, 1, 1, 1, 1 }, { disk:get "read-operations", disk:get "write-operations",
        disk:get "flush-operations", disk:get "discard-operations", disk.errors })
    end
  end)

  it("pauses the machine when it fails, if it is to, and is asked again", function()
    for _, thread in ipairs { false, true } do
      m:close()
      m = lunik.machine { name = "disks", accel = "none", memory = "16M" }
      if thread then m:object_add("iothread", { id = "io0" }) end
      local fails, written, failures = 2, "", {}
      m:object_add("blockdev-lua", {
        id = "disk", size = "1M",
        read = function(_, size) return ("."):rep(size) end,
        write = function(offset, bytes)
          fails = fails - 1
          if fails >= 0 then error("no room") end
          written = ("%s %d %d"):format(written, offset, #bytes)
        end,
      })
      m:device_add("virtio-blk-pci", { id = "vda", bus = "i440fx", addr = "5", drive = "disk",
        werror = "stop", iothread = thread and "io0" or nil })
      m:on("error", function() end)
      m:on("block-io-error", function(e)
        table.insert(failures, ("%s %s %s %s"):format(e.device, e.operation, e.action, e.nospace))
      end)
      m:on("paused", function() m:start() end)
      m:start()
      local d = blk.start(m, 5)
      assert.are.equal(0, (blk.request(d, blk.WRITE, 8, ("w"):rep(512))))
      assert.are.equal(0, (blk.request(d, blk.READ, 0, nil, 512)))
      assert.are.equal(" 4096 512", written)
      assert.are.same({ "vda write stop false", "vda write stop false" }, failures)
      assert.are.equal("running", m.state)
    end
  end)
end)
