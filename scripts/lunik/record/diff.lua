--- Compares two flights: what differs, and what took longer.

local words = require "lunik.record.words"

local diff = {}

-- A difference in time is worth a line when it is this much, and a half of the shorter time.
local WORTH = 100000 -- ns

local Diff = {
  __name = "lunik.FlightDiff",
  __tostring = function(self) return table.concat(self, "\n") end,
}

-- Returns sort of step -> {count=, duration=}, and the sorts in the order of their first step.
local function count(flight)
  local sorts, order = {}, {}
  for _, step in ipairs(flight.steps) do
    local name = words.sort_of(step)
    if not sorts[name] then
      sorts[name] = { count = 0, duration = 0 }
      order[#order + 1] = name
    end
    sorts[name].count = sorts[name].count + 1
    sorts[name].duration = sorts[name].duration + (step.duration or 0)
  end
  return sorts, order
end

local function compare_fields(put, a, b)
  for _, key in ipairs { "kind", "driver", "outcome", "why" } do
    if a[key] ~= b[key] then
      put("%s: %s / %s", key, a[key] or "none", b[key] or "none")
    end
  end
end

local function is_longer(x, y)
  return x - y >= WORTH and x >= y * 1.5
end

local function compare_times(put, what, x, y)
  if is_longer(x, y) or is_longer(y, x) then
    put("%s took %s / %s", what, words.time(x), words.time(y))
  end
end

local function compare_sorts(put, a, b)
  local of_a, order = count(a)
  local of_b, order_b = count(b)
  for _, name in ipairs(order_b) do
    if not of_a[name] then order[#order + 1] = name end
  end
  for _, name in ipairs(order) do
    local x = of_a[name] or { count = 0, duration = 0 }
    local y = of_b[name] or { count = 0, duration = 0 }
    if x.count ~= y.count then put("%s: %d times / %d times", name, x.count, y.count) end
    if x.count > 0 and y.count > 0 then compare_times(put, name, x.duration, y.duration) end
  end
end

--- a:diff(b): a list of lines, "what: in a / in b"; empty if nothing differs.
function diff.compare(a, b)
  local lines = setmetatable({}, Diff)
  local function put(format, ...) lines[#lines + 1] = format:format(...) end
  compare_fields(put, a, b)
  if a.duration and b.duration then compare_times(put, "the flight", a.duration, b.duration) end
  compare_sorts(put, a, b)
  return lines
end

return diff
