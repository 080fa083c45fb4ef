-- Formats values for people: tables with their fields, objects with their type and properties.
local core = require "lunik.core"
local board = require "lunik.board"

local inspect = {}

local WIDTH, DEPTH, ITEMS = 100, 3, 64

-- Returns the class of one of the library's tables (a task, a console, ...), or nil.
local function table_class(v)
  local meta = type(v) == "table" and getmetatable(v)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name:find("^lunik%.") and meta or nil
end

-- Returns the methods, getters and setters of one of the library's tables or userdata, or nil.
function inspect.class(v)
  local meta = table_class(v)
  if meta then
    local methods = {}
    for name, method in pairs(meta) do
      if not name:find "^__" then
        methods[name] = method
      end
    end
    return { methods = methods, getters = {}, setters = {} }
  end
  local name = type(v) == "userdata" and getmetatable(v)
  name = type(name) == "string" and name:match("^lunik%.(.+)$")
  return name and core.classes[name]
end

-- Returns the property descriptions of an object or device, or nil.
function inspect.properties(v)
  if type(v) ~= "userdata" or getmetatable(v) ~= "lunik.Object" or not v.alive then
    return nil
  end
  return core.type(v).props -- by object, as a type of that name may have replaced its own
end

local function is_name(s)
  return s:match("^[%a_][%w_]*$")
end

local function key_text(key, show)
  if type(key) == "string" and is_name(key) then
    return key
  end
  return "[" .. show(key) .. "]"
end

-- Returns the keys of t, except list indexes, sorted for reading.
local function sorted_keys(t)
  local keys = {}
  for key in next, t do
    if not (math.type(key) == "integer" and key >= 1 and key <= #t) then
      table.insert(keys, key)
    end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then
      return a < b
    end
    return core.text(a) < core.text(b)
  end)
  return keys
end

-- Puts items between braces, on one line if they fit.
local function layout(items, indent)
  local line = "{ " .. table.concat(items, ", ") .. " }"
  if #line + #indent <= WIDTH and not line:find("\n", 1, true) then
    return line
  end
  local inner = indent .. "  "
  return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

local show

-- Names of registers and of fields that are addresses.
local HEX = { "addr$", "address$", "base$", "^port$", "^r[a-ds][xpi]$", "^r%d%d?$", "^rip$",
  "^rflags$", "^cr%d$", "^efer$", "^fingerprint$" }
local SIZES = { "size$", "^memory$", "^maxmem$" }

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then return true end
  end
  return false
end

-- Returns a field's number as people write it, nil where it is as others.
local function number_text(key, value)
  if math.type(value) ~= "integer" or type(key) ~= "string" then return nil end
  if matches(key, HEX) then return ("0x%x"):format(value) end
  return value >= 1024 and value % 1024 == 0 and matches(key, SIZES) and board.show(value) or nil
end

local function show_table(t, depth, indent, seen)
  if seen[t] then
    return core.text(t) .. " (above)"
  elseif next(t) == nil then
    return "{}"
  elseif depth == 0 then
    return "{...}"
  end
  seen[t] = true
  local items = {}
  local function nested(v)
    return show(v, depth - 1, indent .. "  ", seen)
  end
  for i = 1, math.min(#t, ITEMS) do
    table.insert(items, nested(t[i]))
  end
  local keys = sorted_keys(t)
  for i = 1, math.min(#keys, ITEMS) do
    local key, value = keys[i], t[keys[i]]
    table.insert(items, key_text(key, nested) .. " = "
      .. (seen.readable and number_text(key, value) or nested(value)))
  end
  local left = math.max(#t - ITEMS, 0) + math.max(#keys - ITEMS, 0)
  if left > 0 then
    table.insert(items, ("... %d more"):format(left))
  end
  seen[t] = nil
  return layout(items, indent)
end

local function show_object(o, properties, indent)
  local items = {}
  for _, p in ipairs(properties) do
    local ok, value = pcall(o.get, o, p.name)
    if ok and value ~= nil then
      local text = show(value, 1, indent .. "  ", {})
      if p.kind == "size" then
        text = board.show(value)
      elseif p.kind == "uint" and (value >= 0x10000 or p.name:find "base$") then
        text = ("0x%x"):format(value)
      end
      table.insert(items, p.name .. " = " .. text)
    end
  end
  return core.text(o) .. " " .. (#items > 0 and layout(items, indent) or "")
end

function show(v, depth, indent, seen)
  if type(v) == "string" then
    return (("%q"):format(v):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
  elseif type(v) == "table" then
    local meta = getmetatable(v)
    if type(meta) == "table" and meta.__tostring or table_class(v) then
      return core.text(v)
    end
    return show_table(v, depth, indent, seen)
  elseif depth == DEPTH then
    local properties = inspect.properties(v)
    if properties then
      return show_object(v, properties, indent)
    end
  end
  return core.text(v)
end

--- Returns a value as the prompt shows it: addresses and registers in hexadecimal, sizes by unit.
function inspect.readable(v)
  return show(v, DEPTH, "", { readable = true })
end

return setmetatable(inspect, {
  __call = function(_, v)
    return show(v, DEPTH, "", {})
  end,
})
