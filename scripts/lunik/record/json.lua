--- Flights as JSON lines: an object for each flight, followed by one for each of its steps.

local options = require "lunik.options"

local json = {}

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

local function string(text)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return '"' .. text:gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local encode

-- The fields named, in that order, or all in the order of their names.
local function object(t, order)
  local parts = {}
  for _, key in ipairs(order or options.keys(t)) do
    if t[key] ~= nil then parts[#parts + 1] = string(key) .. ":" .. encode(t[key]) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Numbers above 2^53, such as addresses and values of registers, are strings: few readers have
-- integers of 64 bits.
function encode(value)
  if type(value) == "number" then
    if math.type(value) == "integer" and (value > 1 << 53 or value < -(1 << 53)) then
      return ('"0x%x"'):format(value)
    end
    return ("%s"):format(value)
  elseif type(value) == "boolean" then
    return tostring(value)
  elseif type(value) == "table" then
    return object(value)
  end
  return string(value)
end

local of_flight = { "type", "machine", "kind", "device", "driver", "where", "start", "stop",
  "outcome", "why", "dropped" }
local of_step = { "type", "time", "duration", "kind", "text", "thread", "vcpu", "depth", "serial",
  "parent", "device", "driver", "name", "where", "cause", "failed", "fields" }

local function typed(type, t)
  return setmetatable({ type = type }, { __index = t })
end

function json.lines(flights)
  local lines = {}
  for _, flight in ipairs(flights) do
    lines[#lines + 1] = object(typed("flight", flight), of_flight)
    for _, step in ipairs(flight.steps) do
      lines[#lines + 1] = object(typed("step", step), of_step)
    end
  end
  return #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
end

return json
