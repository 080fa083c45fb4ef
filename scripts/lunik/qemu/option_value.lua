--- The value of -object, -device and the like: QEMU's option string, or a JSON object.

local json = require "lunik.json"
local json_decode = require "lunik.json_decode"
local option_string = require "lunik.qemu.option_string"
local options = require "lunik.options"

local option_value = {}

--- Returns the options as a table, and whether they were JSON, whose values have types; implied:
-- the name of a first value that has none.
function option_value.parse(text, implied)
  if not text:find "^%s*{" then return option_string.parse(text, implied), false end
  local value, mistake = json_decode(text)
  if getmetatable(value) ~= json.Object then
    options.fail("invalid", "%s (want a JSON object)", mistake or "is no JSON object")
  end
  return value, true
end

local switches = { on = true, yes = true, y = true, ["true"] = true,
  off = false, no = false, n = false, ["false"] = false }

--- Returns whether a switch is on.
function option_value.switch(what, value)
  if type(value) == "boolean" then return value end
  if switches[value] == nil then
    options.fail("invalid", "%s: '%s' is not a switch (want on or off)", what, tostring(value))
  end
  return switches[value]
end

function option_value.number(what, value)
  local n = type(value) == "string" and value:find "^%d" and math.tointeger(tonumber(value))
  return n or math.type(value) == "integer" and value
    or options.fail("invalid", "%s: '%s' is not a number (want 0 or more)", what, tostring(value))
end

--- Calls apply(name, value) for each option of a string, or known[name] in its place if that is a
-- function; others in `known` mean nothing here.
function option_value.each(text, implied, known, apply)
  for _, pair in ipairs(option_string.list(text, implied)) do
    local name, value = pair[1], pair[2]
    local found = known[name]
    if not found then
      options.fail("invalid", "'%s' is not supported%s (want %s)", name,
        options.hint(name, options.keys(known)), table.concat(options.keys(known), ", "))
    end
    local fn = type(found) == "function" and found or apply
    fn(value, name)
  end
end

--- Returns the properties that `map` has other names for: true: the same; false: it means nothing
-- here. Raises an error for others.
function option_value.renamed(what, given, map)
  local out = {}
  for name, value in pairs(given) do
    local to = map[name]
    if to == nil then
      options.fail("unsupported", "%s: '%s' is not supported%s (want %s)", what, name,
        options.hint(name, options.keys(map)), table.concat(options.keys(map), ", "))
    elseif to then
      out[to == true and name or to] = value
    end
  end
  return out
end

--- Returns map[kind], or raises an error.
function option_value.kind(what, map, kind)
  return map[kind] or options.fail("unsupported", "%s: '%s' is not supported%s (want %s)", what,
    tostring(kind), options.hint(kind, options.keys(map)), table.concat(options.keys(map), ", "))
end

return option_value
