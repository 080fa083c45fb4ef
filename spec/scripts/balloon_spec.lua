-- m:balloon(), and virtio-mem in m:memory_devices().
local lunik = require "lunik"

describe("m:balloon", function()
  local m

  before_each(function()
    m = lunik.machine {
      board = "pc", accel = "none", memory = "64M", maxmem = "1G",
      devices = { { "virtio-balloon-pci", { id = "balloon", bus = "i440fx" } } },
    }
  end)

  after_each(function() m:close() end)

  it("asks the guest to do with less memory", function()
    assert.same({ memory = 64 << 20, actual = 64 << 20, target = 64 << 20, stats = {} },
      m:balloon())
    assert.equal(48 << 20, m:balloon("48M").target)
    assert.equal(4096, m:object("balloon").num_pages)
    assert.equal(64 << 20, m:balloon(64 << 20).target)
  end)

  it("counts what memory devices have plugged", function()
    m:object_add("memory-backend-ram", { id = "mem", size = "128M" })
    m:device_add("virtio-mem-pci", { id = "vmem", bus = "i440fx", memdev = "mem" })
    assert.equal(64 << 20, m:balloon().memory)
  end)

  it("refuses more than there is", function()
    local ok, err = pcall(m.balloon, m, "65M")
    assert.is_false(ok)
    assert.equal("balloon: size: 65M is out of range (want at most 67108864, the guest's memory)",
      err.message)
    assert.equal(64 << 20, m:balloon().target)
  end)

  it("names what is missing", function()
    local other = lunik.machine { board = "pc", accel = "none", memory = "16M" }
    local ok, err = pcall(other.balloon, other)
    other:close()
    assert.is_false(ok)
    assert.equal("not-found", err.code)
  end)
end)

describe("virtio-mem", function()
  it("is listed with what it has and what is requested", function()
    local m = lunik.machine { board = "pc", accel = "none", memory = "64M", maxmem = "1G" }
    m:object_add("memory-backend-ram", { id = "mem", size = "256M" })
    local vmem = m:device_add("virtio-mem-pci", {
      id = "vmem", bus = "i440fx", memdev = "mem", block_size = "4M", requested_size = "64M",
    })
    assert.same({ { type = "virtio-mem", data = {
      id = "vmem", addr = vmem.memaddr, size = 0, max_size = 256 << 20, block_size = 4 << 20,
      requested_size = 64 << 20, node = 0, memdev = "/objects/mem", hotplugged = false,
      hotpluggable = true,
    } } }, m:memory_devices())
    assert.is_true(vmem.memaddr > 64 << 20)
    vmem.requested_size = "128M"
    assert.equal(128 << 20, m:memory_devices()[1].data.requested_size)
    local ok, err = pcall(function() vmem.requested_size = "1M" end)
    assert.is_false(ok)
    assert.truthy(err.message:find("0x100000 must be a multiple of block-size, 0x400000", 1, true))
    m:close()
  end)

  it("needs room for memory devices", function()
    local m = lunik.machine { board = "pc", accel = "none", memory = "64M" }
    m:object_add("memory-backend-ram", { id = "mem", size = "16M" })
    local ok, err = pcall(m.device_add, m, "virtio-mem-pci",
      { id = "vmem", bus = "i440fx", memdev = "mem" })
    assert.is_false(ok)
    assert.truthy(err.message:find("(want maxmem)", 1, true))
    m:close()
  end)
end)
