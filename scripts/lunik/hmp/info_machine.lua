--- info status, name, version, kvm, numa, balloon, roms, uuid: of the machine as a whole.

local MiB = 1 << 20

local REASONS = { created = "paused (prelaunch)", crashed = "paused (internal-error)" }

local function status(self)
  self:print("VM status: %s", REASONS[self.machine.state] or self.machine.state)
end

local function kvm(self)
  self:print("kvm support: %s", self.machine.accel == "kvm" and "enabled" or "disabled")
end

-- Returns the bytes of the memory devices in each node: node -> bytes.
local function plugged_by_node(m)
  local plugged = {}
  for _, device in ipairs(m:memory_devices()) do
    local node = device.data.node or 0
    plugged[node] = (plugged[node] or 0) + device.data.size
  end
  return plugged
end

-- Returns what the machine started with, by node, without what lies under the video memory.
local function base_by_node(m)
  local base = {}
  for _, range in ipairs(m:fwmap()) do
    local node = range.node or 0
    if range.type ~= "hotplug" then base[node] = (base[node] or 0) + range.size end
  end
  return base
end

-- Returns the CPUs of each node: node -> list of " index", and how many nodes there are.
local function cpus_by_node(m)
  local cpus, nodes = {}, 0
  for _, cpu in ipairs(m:hotpluggable_cpus()) do
    local node = cpu.props.node_id
    if node then
      nodes = math.max(nodes, node + 1)
      cpus[node] = cpus[node] or {}
      table.insert(cpus[node], cpu.present and " " .. cpu.index or nil)
    end
  end
  return cpus, nodes
end

local function numa(self)
  local m = self.machine
  local cpus, count = cpus_by_node(m)
  local plugged, base = plugged_by_node(m), base_by_node(m)
  for node in pairs(base) do count = math.max(count, node + 1) end
  if count == 1 and not cpus[0] then count = 0 end
  self:print("%d nodes", count)
  for node = 0, count - 1 do
    local here = plugged[node] or 0
    self:print("node %d cpus:%s", node, table.concat(cpus[node] or {}))
    self:print("node %d size: %d MB", node, (base[node] or 0) + here + MiB - 1 >> 20)
    self:print("node %d plugged: %d MB", node, here >> 20)
  end
end

local function value_text(name, kind, value)
  return ("    %s (%s): %d"):format(name, kind, value)
end

-- Prints the counters of the machine, or of the vCPU that is selected.
local function stats(self, args)
  local target, names = args:need_word "target", args:word()
  local provider = args:word()
  args:finish()
  local request = { target = target }
  if target == "vcpu" then
    request.vcpus = { ("/machine/unattached/cpu[%d]"):format(self:vcpu().index) }
  end
  local kinds = {}
  for _, schema in ipairs(self.machine:qmp("query-stats-schemas")) do
    for _, counter in ipairs(schema.stats) do kinds[counter.name] = counter.type end
  end
  names = names ~= "*" and names or nil
  for _, result in ipairs(self.machine:qmp("query-stats", request)) do
    local lines = {}
    for _, counter in ipairs(result.stats) do
      if not names or ("," .. names .. ","):find("," .. counter.name .. ",", 1, true) then
        lines[#lines + 1] = value_text(counter.name, kinds[counter.name], counter.value)
      end
    end
    if #lines > 0 and (not provider or provider == result.provider) then
      self:print("provider: %s\n%s", result.provider, table.concat(lines, "\n"))
    end
  end
end

local function uuid(self)
  self:print("%s", self.machine:qmp "query-uuid".UUID)
end

local function iothreads(self)
  for _, thread in ipairs(self.machine:qmp "query-iothreads") do
    self:print("%s:\n  thread_id=%d", thread.id, thread["thread-id"])
  end
end

local function balloon(self)
  for _, object in ipairs(self.machine:objects()) do
    if object.type == "virtio-balloon-pci" then
      self:print("balloon: actual=%d", object.actual >> 20)
      return
    end
  end
  self:print "Error: No balloon device has been activated"
end

return {
  { name = "status", help = "show the current VM status (running|paused)", run = status },
  {
    name = "name", help = "show the current VM name",
    run = function(self) self:print("%s", self.machine.name) end,
  },
  {
    name = "version", help = "show the version of Lunik",
    run = function(self) self:print("%s", require("lunik").version) end,
  },
  { name = "kvm", help = "show KVM information", run = kvm },
  { name = "numa", help = "show NUMA information", run = numa },
  { name = "balloon", help = "show balloon information", run = balloon },
  {
    name = "stats", params = "target [names] [provider]",
    help = "show statistics for the given target (vm or vcpu); optionally filter by name "
      .. "(comma-separated list, or * for all) and provider", run = stats,
  },
  { name = "uuid", help = "show the current VM UUID", run = uuid },
  { name = "iothreads", help = "show iothreads", run = iothreads },
}
