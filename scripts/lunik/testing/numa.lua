--- Builds NUMA nodes for machines, and reads what the firmware's tables say of them.

local core = require "lunik.core"

local numa = {}

local CPU, MEMORY = 0, 1 -- kinds of SRAT entries
local ENABLED, HOTPLUG = 1, 2
local FIRST = 48 -- offset of the first entry

--- Options for a machine of count nodes with the same memory each (default "64M"); node N has the
-- vCPU N.
function numa.nodes(count, memory)
  local size = core.parse_size(memory or "64M", "numa: memory")
  local nodes = {}
  for i = 1, count do nodes[i] = { cpus = { i - 1 }, memory = size } end
  return { numa = nodes, memory = count * size, cpus = count }
end

--- What the table SRAT of machine m says, by node: {[node] = {cpus = {APIC ids}, memory = {{base=,
-- size=, hotplug=}, ...}, size = bytes that are there}}; nil without the table.
function numa.srat(m)
  local table_, nodes = m:acpi_table "SRAT", {}
  if not table_ then return nil end
  local function node(number)
    nodes[number] = nodes[number] or { cpus = {}, memory = {}, size = 0 }
    return nodes[number]
  end
  local at = FIRST
  while at < #table_ do
    local kind, length = string.unpack("BB", table_, at + 1)
    if kind == CPU and string.unpack("<I4", table_, at + 5) & ENABLED ~= 0 then
      local number, id = string.unpack("BB", table_, at + 3)
      table.insert(node(number).cpus, id)
    elseif kind == MEMORY then
      local number = string.unpack("<I4", table_, at + 3)
      local base, size = string.unpack("<I8I8", table_, at + 9)
      local flags = string.unpack("<I4", table_, at + 29)
      local hotplug = flags & HOTPLUG ~= 0
      table.insert(node(number).memory, { base = base, size = size, hotplug = hotplug })
      if not hotplug then nodes[number].size = nodes[number].size + size end
    end
    at = at + length
  end
  return nodes
end

--- The distances that the table SLIT of machine m gives, one list for each node; nil without it.
function numa.slit(m)
  local table_ = m:acpi_table "SLIT"
  if not table_ then return nil end
  local count, at = string.unpack("<I8", table_, 37)
  local rows = {}
  for i = 1, count do
    rows[i] = { table_:byte(at, at + count - 1) }
    at = at + count
  end
  return rows
end

return numa
