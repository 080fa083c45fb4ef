-- Values as JSON text, keys in order.
local json = {}

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function encode(value, indent)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "number" then
    return math.type(value) == "integer" and ("%d"):format(value)
      or (value - value == 0) and ("%.6g"):format(value) or "null"
  end
  if kind ~= "table" then return tostring(value) end
  local inner, items, list = indent .. "  ", {}, #value > 0 or next(value) == nil
  if list then
    for _, item in ipairs(value) do items[#items + 1] = inner .. encode(item, inner) end
  else
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
      items[#items + 1] = inner .. quoted(key) .. ": " .. encode(value[key], inner)
    end
  end
  local open, close = list and "[" or "{", list and "]" or "}"
  return open .. "\n" .. table.concat(items, ",\n") .. "\n" .. indent .. close
end

function json.encode(value)
  return encode(value, "") .. "\n"
end

return json
