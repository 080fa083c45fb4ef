-- Medians and quantiles. Samples come in rounds: a list of numbers, or of lists of numbers. The two
-- sides of a comparison are measured in turns: round i of one belongs to round i of the other.
local stats = {}

local function quantile(sorted, q)
  local at = 1 + (#sorted - 1) * q
  local low = math.floor(at)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low)
end

local function sorted(samples)
  local copy = table.move(samples, 1, #samples, 1, {})
  table.sort(copy)
  return copy
end

local function samples_of(round)
  return type(round) == "table" and round or { round }
end

--- Appends all elements of more.
function stats.append(samples, more)
  return table.move(more, 1, #more, #samples + 1, samples)
end

--- Returns n, min, p10, median, p90, and spread, (p90 - p10) / median, over all rounds; nil without
-- samples.
function stats.summary(rounds)
  local all = {}
  for _, round in ipairs(rounds or {}) do stats.append(all, samples_of(round)) end
  if #all == 0 then return nil end
  all = sorted(all)
  local s = {
    n = #all, min = all[1], p10 = quantile(all, 0.1), median = quantile(all, 0.5),
    p90 = quantile(all, 0.9),
  }
  s.spread = s.median ~= 0 and (s.p90 - s.p10) / s.median or 0
  return s
end

--- Returns the median of the ratios of a's and b's q-quantiles in each round, as a disturbance
-- affects both sides of a round; nil if there is nothing to compare.
function stats.ratio(a, b, q)
  if not a or not b then return nil end
  local ratios = {}
  for i = 1, math.min(#a, #b) do
    local of_b = quantile(sorted(samples_of(b[i])), q)
    if of_b ~= 0 then
      ratios[#ratios + 1] = quantile(sorted(samples_of(a[i])), q) / of_b
    end
  end
  return ratios[1] and quantile(sorted(ratios), 0.5)
end

--- Returns of a list of tables with samples the one whose median is best. rounds: leaves out those
-- that have fewer; less: whether less is better.
function stats.best(list, rounds, less)
  local best, best_median
  for _, entry in ipairs(list) do
    local s = #entry.samples == rounds and stats.summary(entry.samples)
    if s and (not best or (s.median < best_median) == less) then
      best, best_median = entry, s.median
    end
  end
  return best
end

return stats
