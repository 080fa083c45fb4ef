-- Requests through a virtio queue in memory.
local process = require "bench.process"

local function queue_rows(b)
  local all = {}
  for _ = 1, b:rounds(3) do
    for name, samples in pairs(process.results { process.built "virtqueue" }) do
      all[name] = all[name] or {}
      table.insert(all[name], samples)
    end
  end
  for _, kind in ipairs { "split", "packed" } do
    for _, depth in ipairs { 1, 32 } do
      local name = ("%s-%d"):format(kind, depth)
      b:row {
        name = ("%s queue, depth %d"):format(kind, depth), unit = "ns", lunik = all[name],
        limit = all["bare-" .. name],
        what = "a request of three buffers from the driver to the device and back, with events, "
          .. "the driver's part included; limit: the same rings without checks and translation",
      }
    end
  end
end

return {
  name = "virtio",
  title = "virtio: requests through a queue",
  run = queue_rows,
}
