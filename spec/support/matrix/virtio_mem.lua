-- Rows of spec/qa_matrix_spec.lua: virtio-mem. spec/support/vmem.lua drives it.
local assert = require "luassert"
local testing = require "lunik.testing"
local vmem = require "spec.support.vmem"

local MiB = 1 << 20
local SIZE, SLOT = 64 * MiB, 8
local NO_GUESTS = { small = "it has no driver of virtio-mem", linux = "it has no agent to ask" }

local function row(r)
  r.no_guests = NO_GUESTS
  return r
end

-- Adds a device with a backend of its own, in a slot of the root bus; returns it and its driver.
local function add(t, props, slot, backend)
  slot = slot or SLOT
  local id = "vmem" .. slot
  t.m:object_add("memory-backend-" .. (backend or "memfd"), { id = id .. "-mem", size = SIZE })
  local given = { id = id, bus = "i440fx", addr = tostring(slot), memdev = id .. "-mem" }
  for name, value in pairs(props or {}) do given[name] = value end
  local device = t.m:device_add("virtio-mem-pci", given)
  t.guest:ready()
  return device, vmem.driver(t.m, slot)
end

-- What the machine lists of a device.
local function listed(t, id)
  for _, found in ipairs(t.m:memory_devices()) do
    if found.type == "virtio-mem" and found.data.id == id then return found.data end
  end
end

-- Asks for a size, lets the guest follow, and checks that everything agrees.
local function resize(t, device, driver, size)
  local before = device.size
  device:set("requested-size", size)
  assert.equal(size, driver:requested())
  driver:follow()
  if before ~= size then
    t.journal:expect { { "memory-device-size-change", device = device.id, size = size } }
  end
  assert.same({ size, size, size },
    { device.size, driver:plugged(), listed(t, device.id).size })
  t:check()
end

local function refused(t, words, props)
  t:refused { code = "invalid", words = words, function()
    t.m:device_add("virtio-mem-pci", props)
  end }
end

return {
  row { "virtio-mem grows and shrinks, and is unplugged only when it is empty",
    keys = { backend = { "ram", "memfd", "file" } },
    test = function(t, cell)
      local path = cell.backend == "file" and testing.file("", { memory = true })
      local device, driver
      if path then
        t.m:object_add("memory-backend-file", { id = "pages", size = SIZE, ["mem-path"] = path })
        device, driver = add(t, { memdev = "pages" })
      else
        device, driver = add(t, nil, nil, cell.backend)
      end
      for _, size in ipairs { 32, 8, 64, 2, 0, 16, 0 } do
        resize(t, device, driver, size * MiB)
        if size > 0 then
          t:refused { code = "state", words = { "vmem8", "can't be unplugged while size is" },
            function() t.m:device_del(device) end }
        end
      end
      assert.equal("ejected", t.m:device_del(device):wait { timeout = t.timeout })
      assert.is_nil(listed(t, "vmem8"))
      t:check()
    end },

  row { "virtio-mem refuses sizes of blocks and requests that it can't have", test = function(t)
    local device = add(t, { requested_size = 16 * MiB })
    t.m:object_add("memory-backend-memfd", { id = "more", size = SIZE })
    local function props(more)
      more.bus, more.memdev = "i440fx", "more"
      return more
    end
    refused(t, "block-size: 0x800 is out of range", props { block_size = 0x800 })
    refused(t, "block-size: 0x300000 is out of range", props { block_size = 3 * MiB })
    refused(t, "must be a multiple of block-size", props { block_size = 2 * SIZE })
    refused(t, "requested-size: 0x180000 must be a multiple",
      props { block_size = MiB, requested_size = 3 * MiB // 2 })
    refused(t, "requested-size: 0x4200000 is out of range",
      props { requested_size = SIZE + 2 * MiB })
    for words, size in pairs { ["is out of range"] = 2 * SIZE, ["must be a multiple"] = MiB } do
      t:refused { code = "invalid", words = { "requested-size", words }, function()
        device:set("requested-size", size)
      end }
    end
  end },

  row { "virtio-mem in each node, and the guest reboots in between",
    keys = { sub = { "reboot", "reset", "stop and continue" } },
    machine = function() return testing.numa(2) end,
    test = function(t, cell)
      local devices, drivers = {}, {}
      for node = 0, 1 do
        devices[node], drivers[node] = add(t, { node = node }, SLOT + node)
        assert.equal(node, drivers[node]:node())
        resize(t, devices[node], drivers[node], (node + 1) * 16 * MiB)
      end
      t:sub(cell.sub, "after", function() end)
      for node = 0, 1 do
        local size = (node + 1) * 16 * MiB
        if cell.sub ~= "stop and continue" then
          assert.equal(0, devices[node].size) -- its guest has none of it any more
          drivers[node] = vmem.driver(t.m, SLOT + node)
        end
        drivers[node]:follow()
        assert.same({ size, size, node }, { devices[node].size, drivers[node]:requested(),
          listed(t, devices[node].id).node })
      end
      t:check()
    end },

  row { "virtio-mem gives the host its memory back",
    keys = { block = { 2 * MiB, 8 * MiB, 32 * MiB }, how = { "asked", "all at once" } },
    test = function(t, cell)
      local device, driver = add(t, { block_size = cell.block })
      local function resident() return t.host.mapping(t.m, "vmem8-mem").resident end
      assert.same({ cell.block, SIZE }, { driver:block_size(), driver:region_size() })
      assert.equal(0, resident())
      resize(t, device, driver, SIZE)
      t.m:fill(driver:address(), SIZE, 0x5a)
      assert.equal(SIZE, resident())
      if cell.how == "asked" then
        resize(t, device, driver, SIZE // 2)
        assert.equal(SIZE // 2, resident())
        assert.equal(0x5a, t.m:load(driver:address() + SIZE // 2 - 1, 1))
        resize(t, device, driver, 0)
      else
        driver:unplug_all()
      end
      assert.equal(0, resident())
      assert.equal(0, device.size)
    end },
}
