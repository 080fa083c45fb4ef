--- Checks the arguments of a command against its declaration.
--
-- A declaration's args: name -> type as text: "str", "int", "size", "number", "bool", "any",
-- "object", the name of an enumeration or a structure of lunik.qmp.shapes, "[TYPE]" for a list; "?"
-- in front: it may be left out. A member "..." allows others, which are not checked here.

local json = require "lunik.json"
local failure = require "lunik.qmp.failure"
local shapes = require "lunik.qmp.shapes"

local arguments = {}

local json_type = {
  str = "string", int = "integer", size = "integer", number = "number", bool = "boolean",
  object = "object",
}

local function is_object(value)
  return type(value) == "table" and value ~= json.null and getmetatable(value) ~= json.Array
end

local function is_array(value)
  local meta = type(value) == "table" and getmetatable(value)
  return meta == json.Array or meta == nil and (value[1] ~= nil or next(value) == nil)
end

local fits = {
  str = function(v) return type(v) == "string" end,
  int = function(v) return math.type(v) == "integer" end,
  size = function(v) return math.type(v) == "integer" end,
  number = function(v) return type(v) == "number" end,
  bool = function(v) return type(v) == "boolean" end,
  object = is_object,
}

local check

local function check_list(name, value, element)
  if not is_array(value) then
    failure.generic("Invalid parameter type for '%s', expected: array", name)
  end
  for i, item in ipairs(value) do check(("%s[%d]"):format(name, i - 1), item, element) end
end

function check(name, value, kind)
  local element = kind:match "^%[(.+)%]$"
  local shape = shapes.all[kind]
  if kind == "any" then
    return
  elseif element then
    check_list(name, value, element)
  elseif shape and shape.enum then
    if type(value) ~= "string" then
      failure.generic("Invalid parameter type for '%s', expected: string", name)
    elseif not shapes.has(shape, value) then
      failure.generic("Parameter '%s' does not accept value '%s'", name, value)
    end
  elseif shape then
    if not is_object(value) then
      failure.generic("Invalid parameter type for '%s', expected: object", name)
    end
    arguments.check(value, shape.members, name .. ".")
  elseif not fits[kind](value) then
    failure.generic("Invalid parameter type for '%s', expected: %s", name, json_type[kind])
  end
end

--- Splits "?int" into "int", true.
function arguments.kind(declared)
  local kind = declared:match "^%?(.+)$"
  return kind or declared, kind ~= nil
end

--- Fails unless the arguments are what is declared.
function arguments.check(given, declared, prefix)
  prefix = prefix or ""
  for name, kind in pairs(declared) do
    local value = given[name]
    local wanted, optional = nil, true
    if name ~= "..." then wanted, optional = arguments.kind(kind) end
    if wanted and value ~= nil then
      check(prefix .. name, value, wanted)
    elseif not optional then
      failure.generic("Parameter '%s%s' is missing", prefix, name)
    end
  end
  if declared["..."] then return end
  for name in pairs(given) do
    if declared[name] == nil then
      failure.generic("Parameter '%s%s' is unexpected", prefix, tostring(name))
    end
  end
end

return arguments
