-- Rows of spec/qa_matrix_spec.lua: DIMMs come and go while machine and guest are reset, rebooted,
-- stopped and written to.
local assert = require "luassert"
local placement = require "spec.support.matrix.placement"
local testing = require "lunik.testing"

local POLICIES = placement.policies
local WHEN = { "before", "after" }

local size, plug = placement.size, placement.plug

local function plug_and_unplug(sub)
  return function(t, cell)
    t:sub(sub, cell.when, function() plug(t) end)
    t:check()
    t:sub(sub, cell.when, function() t:unplug "dimm1" end)
    t:check()
  end
end

local function fill_slots(t, count)
  for i = 1, count do t:plug { id = "d" .. i, size = t.name == "linux" and "128M" or "2M",
    backend = "ram", nowait = true } end
  t:check()
end

local MANY = { maxmem = "64G", slots = 256, record = false }

return {
  { "a DIMM in each node, then the guest reboots",
    keys = { backend = { "ram", "file" }, policy = POLICIES }, machine = testing.numa(2),
    test = function(t, cell)
      local policy, nodes = placement.of(cell.policy)
      placement.node_by_node(t, { backend = cell.backend, policy = policy, ["host-nodes"] = nodes },
        "reboot")
    end },

  { "the host resets", keys = { when = WHEN }, test = plug_and_unplug "reset" },
  { "stop and continue", keys = { when = WHEN }, test = plug_and_unplug "stop and continue" },
  { "plugged memory is written and read back", keys = { when = WHEN },
    test = plug_and_unplug "fill" },
  { "the guest writes memory that it has meanwhile", keys = { when = { "during" } },
    test = plug_and_unplug "fill" },

  { "plugged while the machine is stopped", test = function(t)
    t.m:pause()
    t:plug { size = size(t) }
    t.journal:mark()
    t:check()
    t.journal:none "acpi-ost"
    t.m:resume()
    t:check()
    t.journal:expect { { "acpi-ost", device = "dimm1", status = 0 } }
  end },

  { "asked for while the machine is stopped", test = function(t)
    plug(t)
    t.m:pause()
    local request = t:unplug "dimm1"
    t:check()
    assert.equal("requested", request.state)
    t.m:resume()
    t:check()
    assert.equal("ejected", request.state)
  end },

  { "a node whose memory is a backend, and the guest reboots", keys = { when = WHEN },
    machine = {
      objects = { { "memory-backend-ram", { id = "ram0", size = "128M" } } },
      numa = { { memdev = "ram0", cpus = { 0 } } },
    }, test = plug_and_unplug "reboot" },

  { "all slots full, and empty again", keys = { reboot = { false, true } }, machine = MANY,
    no_guests = { linux = "256 DIMMs of 128M take Linux a quarter of an hour" },
    test = function(t, cell)
      fill_slots(t, 256)
      if cell.reboot then t:sub "reboot" end
      t:check()
      t:refused { code = "no-space", words = "all 256 are in use",
        function() t:plug { size = "2M", backend = "ram" } end }
      for i = 1, 256 do t:unplug("d" .. i, { nowait = true }) end
      t:check()
      assert.same({}, t.m:memory_devices())
    end },

  { "one from the start, another into slot 1 of node 1", machine = function()
    local options = testing.numa(2)
    options.cold = { { id = "first", size = "128M", slot = 0 } }
    return options
  end, test = function(t)
    t:plug { id = "second", size = size(t), slot = 1, node = 1 }
    t:check()
    t.journal:expect { "started", "device-added second", { "acpi-ost", device = "second" } }
    assert.same({ 0, 1 }, { t.m:object("first").slot, t.m:object("second").slot })
    assert.same({ false, true }, { t.m:object("first").hotplugged,
      t.m:object("second").hotplugged })
  end },

  { "the guest refuses the removal, and agrees later", test = function(t)
    plug(t)
    t.guest:refuse { eject = true }
    local request = t:unplug("dimm1", { answer = "refused" })
    t.journal:expect { { "device-unplug-guest-error", device = "dimm1", source = request.source,
      status = request.status } }
    assert.equal(3, request.source)
    assert.is_true(request.status ~= 0)
    t:check()
    t.guest:refuse(false)
    t:unplug "dimm1"
    t:check()
  end },

  { "the guest can't use a DIMM; it goes out and in again", test = function(t)
    t.guest:refuse { insert = true }
    t:plug { size = size(t), answer = "refused" }
    t.journal:expect { { "acpi-ost", device = "dimm1", source = 1, status = 1 } }
    t:check()
    t:unplug "dimm1"
    t.guest:refuse(false)
    plug(t)
  end },

  { "slots and bases far apart stay through a reboot", machine = { maxmem = "16G" },
    test = function(t)
      plug(t, { slot = 1, addr = "4G" })
      plug(t, { slot = 2, addr = "12G" })
      t:sub "reboot"
      t:check()
      assert.same({ 1, 4 << 30, 2, 12 << 30 }, { t.m:object("dimm1").slot,
        t.m:object("dimm1").addr, t.m:object("dimm2").slot, t.m:object("dimm2").addr })
    end },

  { "memory grows to several sizes, and shrinks", test = function(t)
    local base = t.guest:total()
    for i, step in ipairs { 128, 256, 128, 512 } do
      t:plug { id = "d" .. i, size = step << 20 }
    end
    assert.equal(base + (1024 << 20), t.guest:total())
    for _, target in ipairs { { "d4", 512 }, { "d1", 384 }, { "d3", 256 }, { "d2", 0 } } do
      t:unplug(target[1])
      assert.equal(base + (target[2] << 20), t.guest:total())
      t:check()
    end
  end },

  { "grown memory stays through reboots", test = function(t)
    local base = t.guest:total()
    plug(t, { size = "128M" })
    t:sub "reboot"
    t:check()
    plug(t, { size = "256M" })
    t:sub "reboot"
    assert.equal(base + (384 << 20), t.guest:total())
    t:unplug "dimm1"
    t:sub "reboot"
    t:check()
    assert.equal(base + (256 << 20), t.guest:total())
  end },

  { "out in another order than in, several at once",
    keys = { order = { { name = "3142", 3, 1, 4, 2 }, { name = "4321", 4, 3, 2, 1 } } },
    test = function(t, cell)
      for _ = 1, 4 do plug(t) end
      for _, n in ipairs(cell.order) do t:unplug("dimm" .. n, { nowait = true }) end
      t:check()
      for n = 1, 4 do assert.equal(1, t.journal:count("device-deleted dimm" .. n)) end
    end },

  { "a reset while the guest owes an answer", machine = { deaf = true },
    no_guests = { linux = "Linux always answers" },
    test = function(t)
      t:plug { size = size(t) }
      t:plug { size = size(t) }
      local request = t:unplug "dimm1"
      assert.equal("requested", request.state)
      t.m:reset()
      t:settle()
      assert.equal("ejected", request.state)
      t.guest:ready()
      t.guest:listen()
      t:check()
      assert.is_truthy(t.m:object "dimm2")
    end },

  { "the guest's writes into a new DIMM are logged", keys = { ring = { false, true } },
    skip = function(cell, guest)
      return cell.ring and guest == "scripted" and "rings are KVM's" or nil
    end,
    machine = function(cell) return { dirty_ring = cell.ring and 4096 or nil } end,
    test = function(t)
      local dirty <close> = t.m:dirty { client = "migration" }
      dirty:start()
      local dimm = plug(t)
      dirty:sync()
      dirty:clear()
      t.guest:fill(dimm.addr, 16 << 12, 1)
      dirty:sync()
      local count = 0
      for _, block in ipairs(dirty:blocks()) do
        if block.name == "dimm1-mem" then count = block.pages end
      end
      assert.is_true(count >= 16)
      t:unplug "dimm1"
      t:check()
    end },
}
