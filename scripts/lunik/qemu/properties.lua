--- Properties as strings, as they stand in QEMU's options: converted by the tables of types.

local core = require "lunik.core"
local options = require "lunik.options"

local properties = {}

local switches = {
  on = true, yes = true, ["true"] = true, y = true,
  off = false, no = false, ["false"] = false, n = false,
}

local convert = {}

function convert.bool(what, value)
  if switches[value] == nil then
    options.fail("invalid", "%s: '%s' is not a switch (want on or off)", what, value)
  end
  return switches[value]
end

function convert.int(what, value)
  local n = value:find "^%s*[+-]?[%dxX]" and math.tointeger(tonumber(value))
  if not n then
    options.fail("invalid", "%s: '%s' is not an integer (want an integer)", what, value)
  end
  return n
end

function convert.uint(what, value)
  return core.parse_size(value, what)
end

--- Returns the kinds of a type's properties: name -> kind. Raises an error if there is no type of
-- that name.
function properties.kinds(type_name)
  local kinds, info = {}, core.type(type_name)
  if not info then
    options.fail("not-found", "'%s' is not a type%s", type_name,
      options.hint(type_name, core.types()))
  end
  for _, p in ipairs(info.props) do kinds[p.name] = p.kind end
  return kinds
end

local function typed(what, value, kind)
  if type(value) == "table" and kind == "list" then
    local list = {}
    for i, item in ipairs(value) do list[i] = typed(what, item, "int") end
    return list
  elseif type(value) ~= "string" then
    options.fail("invalid", "%s: has parts (want one value)", what)
  elseif kind == "list" then
    options.fail("invalid", "%s: '%s' is not a list (want NAME.0=VALUE,NAME.1=VALUE)", what, value)
  end
  return convert[kind] and convert[kind](what, value) or value
end

local function known(kinds, name)
  return kinds[name] and name or kinds[name:gsub("_", "-")] and name:gsub("_", "-") or name
end

--- Returns the properties of a type for a table of strings. Names that it does not have are left
-- for it to refuse.
function properties.of(type_name, given)
  local kinds, out = properties.kinds(type_name), {}
  for name, value in pairs(given) do
    local at = known(kinds, name)
    local what = ("%s: %s"):format(type_name, name)
    out[at] = typed(what, value, kinds[at])
  end
  return out
end

return properties
