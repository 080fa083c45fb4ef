-- Medians and the like of samples.
local stats = {}

local function quantile(sorted, q)
  local at = 1 + (#sorted - 1) * q
  local low = math.floor(at)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low)
end

--- n, min, p10, median, p90, and spread: (p90 - p10) / median. nil of no samples.
function stats.summary(samples)
  if not samples or #samples == 0 then return nil end
  local sorted = table.move(samples, 1, #samples, 1, {})
  table.sort(sorted)
  local s = {
    n = #sorted, min = sorted[1], p10 = quantile(sorted, 0.1), median = quantile(sorted, 0.5),
    p90 = quantile(sorted, 0.9),
  }
  s.spread = s.median ~= 0 and (s.p90 - s.p10) / s.median or 0
  return s
end

function stats.median(samples)
  return stats.summary(samples).median
end

--- Appends all of more.
function stats.append(samples, more)
  return table.move(more, 1, #more, #samples + 1, samples)
end

return stats
