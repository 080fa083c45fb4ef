-- For rows of the matrix: DIMMs that come and go in nodes, and where the host has their memory.
local assert = require "luassert"
local testing = require "lunik.testing"

local placement = {}
local host = testing.host

placement.policies = { "default", "preferred", "bind", "interleave" }

-- DIMMs of this size suit every guest; Linux takes whole blocks of 128M.
function placement.size(t) return t.name == "linux" and "128M" or "32M" end

function placement.plug(t, props)
  local all = { size = placement.size(t) }
  for key, value in pairs(props or {}) do all[key] = value end
  local dimm = t:plug(all)
  t:check()
  return dimm
end

function placement.unplug_all(t)
  for id in pairs(t.dimms) do t:unplug(id) end
  t:check()
end

-- A DIMM in each node, then sub-tests; all of it comes out again.
function placement.node_by_node(t, props, sub)
  for node = 0, 1 do
    props.node = node
    placement.plug(t, props)
  end
  t:sub(sub)
  t:check()
  placement.unplug_all(t)
end

-- ---- the host's nodes --------------------------------------------------------------------------

local function first_node() return host.nodes()[1] end

-- A policy's word in numa_maps, for the host's first node.
local function policy_text(policy)
  if policy == "default" then return "default" end
  return ("%s:%d"):format(policy == "preferred" and "prefer" or policy, first_node())
end

-- Returns a policy and the host's nodes that a backend takes with it.
function placement.of(policy)
  return policy, policy ~= "default" and { first_node() } or nil
end

-- Plugs a DIMM whose memory has that policy, and compares what the host has.
function placement.has_policy(t, policy, props)
  props.policy, props["host-nodes"] = placement.of(policy)
  t:plug(props)
  local found = host.mapping(t.m, "dimm1").policy
  if not found then testing.skip "the host's kernel has no NUMA" end
  -- Newer kernels have "prefer (many)".
  assert.equal(policy_text(policy), (found:gsub("prefer %(many%)", "prefer")))
  assert.equal(props.hugetlbsize or 4096, host.mapping(t.m, "dimm1").page_size)
  t:check()
end

return placement
