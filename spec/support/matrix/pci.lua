-- Rows of spec/qa_matrix_spec.lua: PCI devices come and go while machine and guest are reset,
-- rebooted and stopped.
local assert = require "luassert"
local testing = require "lunik.testing"
local virtio = require "spec.support.virtio"

local WHEN = { "before", "after" }
local EDU = 0x11e8
local BRIDGES = {
  { "pci-bridge", { id = "bridge", bus = "i440fx" } },
  { "pci-bridge", { id = "inner", bus = "bridge" } },
}
local NO_GUESTS = { small = "it does not answer PCI hotplug", linux = "it has no agent to ask" }

local function found(t)
  local count = 0
  for _, f in ipairs(t.guest:pci()) do count = count + (f.device == EDU and 1 or 0) end
  return count
end

-- Waits until the guest has found that many devices.
local function settle(t, count)
  t.guest:ready()
  assert.equal(count, found(t))
end

local function plug(t, id, bus, addr)
  local device = t.m:device_add("edu", { id = id, bus = bus, addr = addr })
  assert.is_true(device.alive)
  return device
end

local function unplug(t, id)
  assert.equal("ejected", t.m:device_del(id):wait { timeout = t.timeout })
end

local function plug_and_unplug(sub)
  return function(t, cell)
    t:sub(sub, cell.when, function()
      plug(t, "card", cell.bus)
      settle(t, 1)
    end)
    settle(t, 1)
    t:sub(sub, cell.when, function()
      unplug(t, "card")
      settle(t, 0)
    end)
    settle(t, 0)
  end
end

local function row(name, test, keys)
  return { name, keys = keys, machine = { devices = BRIDGES }, no_guests = NO_GUESTS, test = test }
end

-- Offers the disk's driver requests to read a sector: a header, the data, a status.
local function read_sectors(driver, from, count)
  for i = from, from + count - 1 do
    local entry = 3 * i
    driver.m:write(driver:buffer(0, entry), ("<I4I4I8"):pack(0, 0, i))
    driver:describe(0, entry, driver:buffer(0, entry), 16, false, entry + 1)
    driver:describe(0, entry + 1, driver:buffer(0, entry + 1), 512, true, entry + 2)
    driver:describe(0, entry + 2, driver:buffer(0, entry + 2), 1, true)
    driver:offer(0, entry)
  end
  driver:kick(0)
end

local KEYS = { when = WHEN, bus = { "i440fx", "bridge", "inner" } }

return {
  row("the guest reboots around PCI hotplug", plug_and_unplug "reboot", KEYS),
  row("the host resets around PCI hotplug", plug_and_unplug "reset", KEYS),
  row("stop and continue around PCI hotplug", plug_and_unplug "stop and continue", KEYS),

  row("a PCI address and an id are free again", function(t, cell)
    for _ = 1, 3 do
      local device = plug(t, "card", cell.bus, "7.0")
      settle(t, 1)
      assert.equal("7.0", device.addr)
      t:refused { code = "exists", words = { "PCI: slot 7 function 0 not available", "card" },
        function() plug(t, "other", cell.bus, "7.0") end }
      unplug(t, "card")
      settle(t, 0)
    end
  end, { bus = KEYS.bus }),

  row("a disk is unplugged while it works, again and again", function(t)
    local path = testing.file(("sector"):rep(1 << 16))
    t.m:object_add("blockdev-file", { id = "file", filename = path })
    for _ = 1, os.getenv "LUNIK_QUICK" and 20 or 500 do
      t.m:device_add("virtio-blk-pci", { id = "disk", bus = "i440fx", addr = "9", drive = "file" })
      t.guest:ready()
      local driver = virtio.driver(t.m, 9)
      driver:start_device(0, 1)
      read_sectors(driver, 0, 1)
      testing.eventually(function() return driver:used(0) end)
      assert.equal("sector", t.m:read(driver:buffer(0, 1), 6))
      read_sectors(driver, 1, 16)
      unplug(t, "disk")
    end
    t.m:object_del "file"
    t:check()
  end),

  row("PCI devices on all buses at once", function(t)
    for i, bus in ipairs(KEYS.bus) do
      for k = 1, 4 do plug(t, ("card%d-%d"):format(i, k), bus) end
    end
    settle(t, 12)
    t:sub("reboot", "after", function() end)
    settle(t, 12)
    for i = 1, 3 do
      for k = 1, 4 do unplug(t, ("card%d-%d"):format(i, k)) end
    end
    settle(t, 0)
  end),
}
