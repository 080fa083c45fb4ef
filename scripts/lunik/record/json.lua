--- Flights as JSON lines: an object for each flight, followed by one for each of its steps.

local json = require "lunik.json"

local lines = {}

local of_flight = { "type", "machine", "kind", "device", "driver", "where", "start", "stop",
  "outcome", "why", "dropped" }
local of_step = { "type", "time", "duration", "kind", "text", "thread", "vcpu", "depth", "serial",
  "parent", "device", "driver", "name", "where", "cause", "failed" }
local with_fields = table.move(of_step, 1, #of_step, 1, {})
table.insert(with_fields, "fields")

local function typed(type, t)
  return setmetatable({ type = type }, { __index = t })
end

function lines.lines(flights)
  local text = {}
  for _, flight in ipairs(flights) do
    text[#text + 1] = json.object(typed("flight", flight), of_flight)
    for _, step in ipairs(flight.steps) do
      local order = next(step.fields) and with_fields or of_step
      text[#text + 1] = json.object(typed("step", step), order)
    end
  end
  return #text > 0 and table.concat(text, "\n") .. "\n" or ""
end

return lines
