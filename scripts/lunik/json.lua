--- Writes values as JSON.
--
-- Strings may be any bytes: what is not UTF-8 becomes U+FFFD. Integers beyond 2^53, such as
-- addresses and values of registers, are strings like "0x...": few readers have integers of 64
-- bits; json.exact() writes them as numbers all the same. A table with [1], or without fields, is
-- an array (json.object() writes an object), unless its metatable is json.Object or json.Array;
-- false stands for what is missing.

local markup = require "lunik.markup"
local options = require "lunik.options"

local json = {}

--- Metatables of tables that are objects or arrays whatever is in them, and what stands for null.
json.Object, json.Array = { __name = "json.Object" }, { __name = "json.Array" }
json.null = setmetatable({}, { __tostring = function() return "null" end })

local short = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escaped(c)
  return short[c] or ("\\u%04x"):format(c:byte())
end

local function of_string(text)
  text = text:gsub('[%c"\\\127]', escaped)
  if text:find "[\x80-\xff]" then
    text = markup.utf8(text):gsub("\u{2028}", "\\u2028"):gsub("\u{2029}", "\\u2029")
  end
  return '"' .. text .. '"'
end

local function of_number(n, exact)
  if math.type(n) == "integer" then
    return not exact and (n > 1 << 53 or n < -(1 << 53)) and ('"0x%x"'):format(n)
      or ("%d"):format(n)
  end
  if n ~= n or n == math.huge or n == -math.huge then return "null" end
  return (exact and "%.17g" or "%.14g"):format(n)
end

local put

local function put_array(out, t)
  out[#out + 1] = "["
  for i = 1, #t do
    if i > 1 then out[#out + 1] = "," end
    put(out, t[i])
  end
  out[#out + 1] = "]"
end

local function put_object(out, t, order)
  local mark = "{"
  for _, key in ipairs(order or options.keys(t)) do
    if t[key] ~= nil then
      out[#out + 1] = mark .. of_string(key) .. ":"
      put(out, t[key])
      mark = ","
    end
  end
  out[#out + 1] = mark == "{" and "{}" or "}"
end

local function is_array(t)
  local meta = getmetatable(t)
  if meta == json.Object or meta == json.Array then return meta == json.Array end
  return t[1] ~= nil or next(t) == nil
end

function put(out, value)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = of_string(value)
  elseif kind == "number" then
    out[#out + 1] = of_number(value, out.exact)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(value)
  elseif value == json.null then
    out[#out + 1] = "null"
  elseif kind == "table" and is_array(value) then
    put_array(out, value)
  elseif kind == "table" then
    put_object(out, value)
  else
    error(("json: a %s (want a string, number, boolean or table)"):format(kind))
  end
end

--- Returns the value as JSON.
function json.encode(value)
  local out = {}
  put(out, value)
  return table.concat(out)
end

--- Returns the value as JSON whose integers are numbers, and whose numbers have all their digits.
function json.exact(value)
  local out = { exact = true }
  put(out, value)
  return table.concat(out)
end

--- Returns the value as JSON that may stand in a page's script element: characters that could end
-- the element are written as escapes.
function json.for_script(value)
  return (json.encode(value):gsub("[<>&]", escaped))
end

--- Returns a table as a JSON object with the fields named, in that order.
function json.object(t, order)
  local out = {}
  put_object(out, t, order)
  return table.concat(out)
end

return json
