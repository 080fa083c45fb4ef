-- Completes words at the prompt: offers names that are certain to fit at the cursor, or none.
local core = require "lunik.core"
local lunik = require "lunik"
local event = require "lunik.event"
local inspect = require "lunik.inspect"

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch "%l+" do
  KEYWORDS[word] = true
end

local function is_name(s)
  return s:find "^[%a_][%w_]*$" and not KEYWORDS[s]
end

-- ---- names -------------------------------------------------------------------------------------

-- Whether v is a module, which has functions but no methods: string:rep() is an error.
local function is_module(v)
  for _, module in pairs(package.loaded) do
    if rawequal(module, v) then return true end
  end
  return false
end

local function take(names, t, methods)
  for name, value in pairs(t or {}) do
    if type(name) == "string" and (not methods or type(value) == "function") then
      names[name] = true
    end
  end
end

-- Returns the names that v.NAME or v:NAME could mean.
local function names_of(v, methods)
  local names = {}
  if type(v) == "table" and not (methods and is_module(v)) then
    take(names, v, methods)
    local meta = getmetatable(v)
    local index = type(meta) == "table" and rawget(meta, "__index")
    take(names, type(index) == "table" and index or nil, methods)
  elseif type(v) == "string" then
    take(names, string, methods)
  end
  local class = inspect.class(v)
  if class then
    take(names, class.methods, methods)
    take(names, not methods and class.getters or nil)
  end
  for _, property in ipairs(not methods and inspect.properties(v) or {}) do
    names[property.name:gsub("-", "_")] = true
  end
  return names
end

-- Returns the value that "a.b.c" names, using only field access; nil if there is none.
local function resolve(path)
  local v = _G
  for name in (path .. "."):gmatch "([^.]*)%." do
    if not is_name(name) then return nil end
    local ok, field = pcall(function() return v[name] end)
    if not ok or field == nil then return nil end
    v = field
  end
  return v
end

-- ---- strings -----------------------------------------------------------------------------------

local function ids(which)
  local names = {}
  for _, machine in ipairs(lunik.machines()) do
    for _, object in ipairs(machine:objects()) do
      if which == nil or object.is_device == which then names[object.id] = true end
    end
  end
  return names
end

local function types(which)
  local names = {}
  for _, name in ipairs(lunik.types()) do
    local info = core.type(name)
    if which == nil or info.device == which and not info.abstract then names[name] = true end
  end
  return names
end

local function events()
  local names = {}
  for _, name in ipairs(event.known) do names[name] = true end
  return names
end

-- Candidates for the first argument of these functions.
local first_argument = {
  object = function() return ids() end, object_del = function() return ids(false) end,
  device_del = function() return ids(true) end,
  device_add = function() return types(true) end, object_add = function() return types(false) end,
  type = function() return types() end, help = function() return types() end,
  on = events, once = events, wait = events, watch = events,
}

-- Whether there is a property of that name that is a link, whose value is an id.
local function is_link(name)
  for _, type_name in ipairs(lunik.types()) do
    for _, property in ipairs(core.type(type_name).props) do
      if property.link and property.name:gsub("-", "_") == name then return true end
    end
  end
  return false
end

-- Returns the candidates for a string that begins after that text.
local function quoted(before)
  local called = before:match "[.:]([%a_][%w_]*)%s*%(?%s*$" or before:match "^%s*(help)%s*%(?%s*$"
  local field = before:match "[{,]%s*([%a_][%w_]*)%s*=%s*$"
  if called and first_argument[called] then
    return first_argument[called]()
  end
  return field and is_link(field) and ids() or {}
end

-- Returns the position of the quote that is open at the end of the line, nil if none is; false in a
-- comment or a long string.
local function open_quote(line)
  local at, quote = 1, nil
  while at <= #line do
    local c = line:sub(at, at)
    if quote and c == "\\" then
      at = at + 1
    elseif quote then
      if c == line:sub(quote, quote) then quote = nil end
    elseif c == '"' or c == "'" then
      quote = at
    elseif line:find("^%-%-", at) then
      return false
    elseif line:find("^%[=*%[", at) then
      local level = line:match("^%[(=*)%[", at)
      local _, last = line:find("]" .. level .. "]", at, true)
      if not last then return false end
      at = last
    end
    at = at + 1
  end
  return quote
end

-- ---- where the cursor is -----------------------------------------------------------------------

-- Returns the candidates for the name at the end of the line, and its part that is typed already.
local function candidates(line)
  local quote = open_quote(line)
  if quote == false then
    return {}, ""
  elseif quote then
    return quoted(line:sub(1, quote - 1)), line:sub(quote + 1)
  end
  local before, token = line:match "^(.-)([%w_.:]*)$"
  token = token:match "%.%.([^.].*)$" or token -- a..b
  local path, separator, start = token:match "^(.*)([.:])([%w_]*)$"
  if token:find "^%d" or before:find "[%]})\"']$" then
    return {}, ""
  elseif path then
    return names_of(resolve(path), separator == ":"), start
  elseif before:find "%f[%w_]local%s+$" or before:find "%f[%w_]function%s+$"
    or before:find "%f[%w_]for%s+$" or before:find "%f[%w_]goto%s+$" then
    return {}, "" -- a new name
  end
  return names_of(_G), token
end

-- For lineedit: returns the words that could replace `word`, the last one of `line`. If the typed
-- part of a name is longer than what lineedit takes for a word, the words are ends of names.
return function(line, word)
  if line:match "^%s*$" then
    return {} -- Tab as indentation, maybe of pasted text
  end
  local names, start = candidates(line)
  local kept, skipped = word:sub(1, math.max(#word - #start, 0)), math.max(#start - #word, 0)
  local in_string = open_quote(line)
  local words = {}
  for name in pairs(names) do
    if name:sub(1, #start) == start and name ~= "" and (in_string or is_name(name)) then
      table.insert(words, kept .. name:sub(skipped + 1))
    end
  end
  table.sort(words)
  return words
end
