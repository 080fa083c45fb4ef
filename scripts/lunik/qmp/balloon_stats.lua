--- The value of a balloon's guest-stats in QEMU's form: what has not been reported is -1.

local NAMES = {
  "swap-in", "swap-out", "major-faults", "minor-faults", "free-memory", "total-memory",
  "available-memory", "disk-caches", "htlb-pgalloc", "htlb-pgfail",
}

return function(m)
  local stats, reported = {}, m:balloon()
  for _, name in ipairs(NAMES) do
    stats["stat-" .. name] = reported.stats[name:gsub("-", "_")] or -1
  end
  for _, object in ipairs(m:objects()) do
    if object.type == "virtio-balloon-pci" then
      return { stats = stats, ["last-update"] = object:get "last-update" }
    end
  end
end
