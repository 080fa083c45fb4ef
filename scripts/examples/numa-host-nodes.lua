-- NUMA: each of the guest's nodes has its memory on a node of the host.
--
--     lunik run scripts/examples/numa-host-nodes.lua [GUEST]
--
-- What you should see: for each backend its policy, and on which host node its pages are. A host
-- with a single node has them all on node 0; the policy is set all the same.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local testing = require "lunik.testing"

local host_nodes = testing.host.nodes()

-- The host node for a guest node: they take turns if the guest has more of them.
local function home(node)
  return host_nodes[node % #host_nodes + 1] or 0
end

-- The properties of a backend whose pages all come from one host node, at once (prealloc).
local function bound(id, node)
  return {
    id = id, size = "64M", policy = "bind", ["host-nodes"] = { home(node) }, prealloc = true,
  }
end

local t <close> = testing.machine {
  guest = arg[1], cpus = 2,
  objects = {
    { "memory-backend-ram", bound("ram0", 0) },
    { "memory-backend-ram", bound("ram1", 1) },
  },
  numa = {
    { cpus = { 0 }, memdev = "ram0" },
    { cpus = { 1 }, memdev = "ram1", distances = { 20, 10 } },
  },
}

-- A DIMM that is plugged later belongs to a node as well, and so does its backend.
t:plug {
  id = "dimm1", node = 1, backend = "ram", size = "64M", policy = "bind",
  ["host-nodes"] = { home(1) }, prealloc = true,
}
t:check()

for id, node in pairs { ram0 = 0, ram1 = 1, dimm1 = 1 } do
  local mapping = t.host.mapping(t.m, id)
  print(("%s, guest node %d: policy %s, %d pages on host node %d"):format(id, node,
    mapping.policy or "unknown", mapping.nodes[home(node)] or 0, home(node)))
end
