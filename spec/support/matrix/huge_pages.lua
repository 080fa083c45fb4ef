-- Rows of spec/huge_pages_matrix_spec.lua: DIMMs on huge pages, how many of which the host has.
local assert = require "luassert"
local lunik = require "lunik"
local placement = require "spec.support.matrix.placement"
local testing = require "lunik.testing"

local host = testing.host
local SIZE = 128 << 20

-- Huge pages for count DIMMs of SIZE; returns properties of a backend that uses them.
local function huge(count)
  local size = host.huge_page_sizes()[1]
  if not size then testing.skip "the host has no huge pages" end
  testing.huge_pages(count * SIZE // size, size)
  return { size = SIZE, hugetlb = true, hugetlbsize = size }
end

local function with(props, more)
  for key, value in pairs(more) do props[key] = value end
  return props
end

local function reserved() return host.huge_pages().reserved end

return {
  { "DIMMs on huge pages in each node, then the guest reboots",
    keys = { policy = placement.policies }, machine = testing.numa(2),
    test = function(t, cell)
      local bytes = math.tointeger(lunik.size(placement.size(t)))
      local pages = testing.huge_pages(2 * bytes // host.huge_pages().size)
      local policy, nodes = placement.of(cell.policy)
      placement.node_by_node(t, { policy = policy, ["host-nodes"] = nodes, hugetlb = true,
        hugetlbsize = pages.size }, "reboot")
    end },

  { "policies of huge pages", keys = { policy = placement.policies }, test = function(t, cell)
    placement.has_policy(t, cell.policy, huge(1))
  end },

  { "huge pages are reserved at once", test = function(t)
    local props, before = huge(1), reserved()
    -- The guest takes pages out of the reservation while it tests them.
    t.m:object_add("memory-backend-memfd", with(props, { id = "mine", reserve = true }))
    assert.equal(before + SIZE // props.hugetlbsize, reserved())
    t:plug { memdev = "mine" }
    t:check()
    t:unplug "dimm1"
    t.m:object_del "mine"
    assert.equal(before, testing.eventually(function() return reserved() == before and before end))
  end },

  { "huge pages come when they are written", test = function(t)
    local props, before = huge(1), reserved()
    t.m:object_add("memory-backend-memfd", with(props, { id = "mine", reserve = false }))
    assert.equal(before, reserved())
    t:plug { memdev = "mine" }
    assert.is_true(host.mapping(t.m, "mine").huge > 0)
    t:check()
    t:unplug "dimm1"
    t.m:object_del "mine"
  end },

  { "a backend on huge pages is made again at once", test = function(t)
    local props = huge(1)
    for _ = 1, 3 do
      t:plug(with({ reserve = true, prealloc = true }, props))
      t:check()
      t:unplug "dimm1"
    end
    -- The second gets the pages of the first: the pool has room for no more.
    local spare = host.huge_pages().free - SIZE // props.hugetlbsize
    if spare >= SIZE // props.hugetlbsize then testing.skip "the host has more huge pages" end
  end },

  { "more huge pages than are free", test = function(t)
    local pages = testing.huge_pages(1)
    local count = pages.free + 64
    t:refused { words = "huge pages", function()
      t:plug { size = count * pages.size, hugetlb = true, hugetlbsize = pages.size,
        prealloc = true }
    end }
    assert.equal(pages.free, host.huge_pages().free)
    t:check()
  end, machine = { maxmem = "64G" } },
}
