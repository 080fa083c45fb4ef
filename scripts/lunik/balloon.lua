--- m:balloon(): how much memory the guest is to have, and what it says about it.

local core = require "lunik.core"
local options = require "lunik.options"

local balloon = {}

local PAGE = 4096
local STATS = {
  "swap-in", "swap-out", "major-faults", "minor-faults", "free-memory", "total-memory",
  "available-memory", "disk-caches", "htlb-pgalloc", "htlb-pgfail",
}

local function device_of(m)
  for _, object in ipairs(m:objects()) do
    if object.type == "virtio-balloon-pci" then return object end
  end
  options.fail("not-found", "balloon: machine '%s' has no balloon (want a device "
    .. "virtio-balloon-pci)", m.name)
end

-- Figures that the guest has not reported are left out.
local function stats_of(device)
  local stats = {}
  for _, name in ipairs(STATS) do
    local value = device:get("stat-" .. name)
    if value ~= -1 then stats[name:gsub("-", "_")] = value end
  end
  return stats
end

local function set(device, memory, wanted)
  local bytes = core.parse_size(wanted, "size")
  if bytes < 0 or bytes > memory then
    options.fail("invalid", "balloon: size: %s is out of range (want at most %d, the guest's "
      .. "memory)", wanted, memory)
  end
  device.num_pages = (memory - bytes) // PAGE
end

--- Asks the guest to do with that much memory, and returns what there is now.
function balloon.balloon(m, wanted)
  local device = device_of(m)
  local memory = device:get "memory"
  if wanted ~= nil then set(device, memory, wanted) end
  return {
    memory = memory, actual = memory - device:get "actual" * PAGE,
    target = memory - device:get "num-pages" * PAGE, stats = stats_of(device),
  }
end

return balloon
