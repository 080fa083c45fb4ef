-- Rows of spec/qa_matrix_spec.lua: NUMA nodes in the firmware's tables and on the host, and where
-- DIMMs are in the guest's addresses.
local assert = require "luassert"
local testing = require "lunik.testing"

local MiB, GiB = 1 << 20, 1 << 30

-- Two nodes whose memory is backends with a policy.
local function from_memdevs(cell)
  local options, objects = testing.numa(2), {}
  local nodes = cell.policy ~= "default" and { testing.host.nodes()[1] } or nil
  for i, node in ipairs(options.numa) do
    objects[i] = { "memory-backend-ram", { id = "node" .. i, size = "64M", prealloc = cell.prealloc,
      policy = cell.policy, ["host-nodes"] = nodes } }
    node.memdev, node.memory = "node" .. i, nil
  end
  options.objects, options.memory = objects, nil
  return options
end

local function with_distances(cell)
  local options = testing.numa(#cell.distances)
  for i, node in ipairs(options.numa) do node.distances = cell.distances[i] or nil end
  return options
end

-- Where the last hot-pluggable range ends, and how much of it there is.
local function hotplug_range(t)
  for node, entry in pairs(t:srat()) do
    for _, range in ipairs(entry.memory) do
      if range.hotplug then return range, node end
    end
  end
end

return {
  { "the machine's own memory from backends",
    keys = { prealloc = { true, false },
      policy = { "default", "preferred", "bind", "interleave" } },
    machine = from_memdevs,
    test = function(t, cell)
      for i = 1, 2 do
        local mapping = t.host.mapping(t.m, "node" .. i)
        if not mapping.policy then testing.skip "the host's kernel has no NUMA" end
        assert.equal(cell.policy == "default", mapping.policy == "default")
        assert.is_true(not cell.prealloc or mapping.resident == 64 * MiB)
        assert.is_true(t:srat()[i - 1].size > 60 * MiB)
      end
      t:check()
    end },

  { "no node is configured, but maxmem is", test = function(t)
    local nodes = t:srat()
    assert.is_nil(nodes[1])
    assert.same({ 0 }, nodes[0].cpus)
    local range, node = hotplug_range(t)
    local slots = t.m:object "device-memory"
    assert.same({ slots.addr, slots.size, 0 }, { range.base, range.size, node })
  end },

  { "nodes with CPUs and memory", keys = { count = { 1, 2, 3 } },
    machine = function(cell) return testing.numa(cell.count) end,
    test = function(t, cell)
      local nodes = t:srat()
      for node = 0, cell.count - 1 do
        assert.same({ node }, nodes[node].cpus)
        assert.is_true(nodes[node].size > 60 * MiB and nodes[node].size <= 64 * MiB)
      end
      assert.is_nil(nodes[cell.count])
      assert.equal(cell.count - 1, select(2, hotplug_range(t)))
    end },

  { "distances", keys = { distances = {
    { name = "symmetric, one side given", { 10, 15 }, false, want = { { 10, 15 }, { 15, 10 } } },
    { name = "symmetric, of three", { 10, 15, 30 }, { 15, 10, 21 }, false,
      want = { { 10, 15, 30 }, { 15, 10, 21 }, { 30, 21, 10 } } },
    { name = "asymmetric", { 10, 15 }, { 40, 10 }, want = { { 10, 15 }, { 40, 10 } } },
  } }, machine = with_distances, test = function(t, cell)
    assert.same(cell.distances.want, t:slit())
  end },

  { "slots and bases with gaps", machine = { slots = 16, maxmem = "8G" }, test = function(t)
    local base = t.m:object("device-memory").addr
    for i, slot in ipairs { 0, 2, 4 } do
      t:plug { id = "d" .. slot, size = "128M", slot = slot, addr = base + (i - 1) * 256 * MiB }
    end
    t:plug { id = "d12", size = "256M", slot = 12, addr = base + 2 * GiB }
    local anywhere = t:plug { id = "any", size = "128M" }
    t:check()
    assert.same({ 1, base + 128 * MiB }, { anywhere.slot, anywhere.addr })
    for _, slot in ipairs { 0, 2, 4, 12 } do
      assert.equal(slot, t.m:object("d" .. slot).slot)
    end
  end },

  { "files with an alignment", keys = { align = { "128M", "1G" } },
    machine = { maxmem = "8G" },
    test = function(t, cell)
      local align = require "lunik".size(cell.align)
      t:plug { size = "128M" }
      local dimm = t:plug { backend = "file", size = align, align = cell.align }
      assert.equal(0, dimm.addr % align)
      t:check()
      t:refused { code = "invalid", words = "multiple of",
        function() t:plug { backend = "file", size = align + 2 * MiB, align = cell.align } end }
    end },

  { "DIMMs of many sizes use all of maxmem",
    keys = { order = { { name = "growing", 128, 256, 384, 256 },
      { name = "shrinking", 512, 256, 128, 128 } } },
    machine = function() return { maxmem = (1024 + 128) << 20, memory = "128M" } end,
    test = function(t, cell)
      for _, size in ipairs(cell.order) do t:plug { size = size * MiB } end
      t:check()
      assert.equal(1024 * MiB, t.m:object("device-memory").used)
    end },
}
