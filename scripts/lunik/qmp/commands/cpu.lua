--- Commands about processors.

local core = require "lunik.core"
local json = require "lunik.json"
local names = require "lunik.qmp.names"

local function place(props)
  local out = {}
  for key, value in pairs(props) do out[key:gsub("_", "-")] = value end
  return out
end

local function path(m, cpu)
  local device = cpu.path and m:object(cpu.path)
  return device and names.path(device) or cpu.path
    or cpu.present and ("/machine/unattached/cpu[%d]"):format(cpu.index) or nil
end

-- The numbers of threads by index. One that has no thread yet, or without KVM, has the main one.
local function threads(m)
  local found = setmetatable({}, { __index = function() return core.pid() end })
  for _, vcpu in ipairs(m:cpus()) do
    if vcpu.thread_id ~= 0 then found[vcpu.index] = vcpu.thread_id end
  end
  return found
end

local function cpus_fast(m)
  local list, thread = setmetatable({}, json.Array), threads(m)
  for _, cpu in ipairs(m:hotpluggable_cpus()) do
    if cpu.present then
      list[#list + 1] = { ["cpu-index"] = cpu.index, ["qom-path"] = path(m, cpu),
        ["thread-id"] = thread[cpu.index], props = place(cpu.props), target = "x86_64" }
    end
  end
  return list
end

-- QEMU lists the last one first.
local function hotpluggable_cpus(m)
  local list, all = setmetatable({}, json.Array), m:hotpluggable_cpus()
  for i = #all, 1, -1 do
    local cpu = all[i]
    list[#list + 1] = { type = names.of_type(cpu.type), ["vcpus-count"] = cpu.vcpus_count,
      props = place(cpu.props), ["qom-path"] = path(m, cpu) }
  end
  return list
end

return {
  { name = "query-cpus-fast", returns = "[CpuInfoFast]", run = cpus_fast },
  { name = "query-hotpluggable-cpus", returns = "[HotpluggableCPU]", run = hotpluggable_cpus },
}
