-- What Tab offers at the prompt.
local lunik = require "lunik"
local inspect = require "lunik.inspect"

-- The names that v.NAME or v:NAME could mean.
local function names_of(v, methods)
  local names = {}
  local function take(t)
    for name, value in pairs(t or {}) do
      if type(name) == "string" and (not methods or type(value) == "function") then
        names[name] = true
      end
    end
  end
  if type(v) == "table" then
    take(v)
    local meta = getmetatable(v)
    local index = type(meta) == "table" and rawget(meta, "__index")
    take(type(index) == "table" and index)
  elseif type(v) == "string" then
    take(string)
  end
  local class = inspect.class(v)
  if class then
    take(class.methods)
    take(not methods and class.getters)
  end
  for _, property in ipairs(not methods and inspect.properties(v) or {}) do
    names[property.name:gsub("-", "_")] = true
  end
  return names
end

-- The value that "a.b.c" names, without calling anything but field access.
local function resolve(path)
  local v = _G
  for name in path:gmatch("[^.:]+") do
    local ok, field = pcall(function() return v[name] end)
    if not ok or field == nil then
      return nil
    end
    v = field
  end
  return v
end

local function quoted_candidates()
  local names = {}
  for _, machine in ipairs(lunik.machines()) do
    for _, object in ipairs(machine:objects()) do
      names[object.id] = true
    end
  end
  for _, type_name in ipairs(lunik.types()) do
    names[type_name] = true
  end
  return names
end

-- For lineedit: the words that could stand for `word`, the last one of `line`. Inside quotes these
-- are the ids of live objects and the names of types.
return function(line, word)
  local names, prefix, start
  local before = line:sub(1, #line - #word)
  if line:match "^%s*$" then
    return {} -- an indentation, maybe of text that is pasted
  elseif before:match("[\"']$") then
    names, prefix, start = quoted_candidates(), "", word
  else
    local path, separator
    path, separator, start = word:match("^(.*)([.:])([%w_]*)$")
    if path then
      names, prefix = names_of(resolve(path), separator == ":"), path .. separator
    else
      names, prefix, start = names_of(_G), "", word
    end
  end
  local words = {}
  for name in pairs(names) do
    if name:sub(1, #start) == start and name ~= "" then
      table.insert(words, prefix .. name)
    end
  end
  table.sort(words)
  return words
end
