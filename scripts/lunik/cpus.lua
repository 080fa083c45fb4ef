--- m:hotpluggable_cpus(): the CPUs that a machine can have, in the form of QEMU's
-- query-hotpluggable-cpus.

local core = require "lunik.core"

local cpus = {}

local function place(topology, index)
  local core_number = index // topology.threads
  local die = core_number // topology.cores
  return {
    socket_id = die // topology.dies,
    die_id = topology.dies > 1 and die % topology.dies or nil,
    core_id = core_number % topology.cores,
    thread_id = index % topology.threads,
  }
end

--- The devices that are CPUs, by index.
local function devices(m)
  local found = {}
  for _, object in ipairs(m:objects()) do
    if object:is "cpu" then found[object.index] = object end
  end
  return found
end

--- Lists the CPUs that the machine can have, by index.
function cpus.list(m)
  local list, found, topology = {}, devices(m), core.topology(m)
  for index = 0, topology.maxcpus - 1 do
    local device, props = found[index], place(topology, index)
    if topology.nodes > 0 then props.node_id = topology[index].node end
    list[index + 1] = {
      type = device and device.type or "cpu", vcpus_count = 1, index = index, props = props,
      present = topology[index].present, path = device and device.path,
      id = device and device.id ~= "" and device.id or nil,
    }
  end
  return list
end

return cpus
