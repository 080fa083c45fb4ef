-- Completes words at the prompt: offers names that are certain to fit at the cursor, or none.
local core = require "lunik.core"
local fitting = require "lunik.command.fitting"
local inspect = require "lunik.inspect"
local lua_line = require "lunik.command.lua_line"
local monitor_line = require "lunik.command.monitor_line"
local reference = require "lunik.command.reference"

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

-- Returns the names of what a call returns, which is not made: of its documented class.
local function names_of_call(text, methods)
  local class = lua_line.class(text)
  local members = class and reference.members(class)
  return members and (methods and members.methods or members.fields) or {}
end

-- ---- tables and strings -------------------------------------------------------------------------

-- Returns the field whose value begins at the end of that text in the innermost table, or nil.
local function field_at(call, before)
  return call and call.table and before:sub(call.table.from):match "^%s*([%a_][%w_]*)%s*=%s*$"
end

-- Returns the candidates for a string that begins after that text.
local function quoted(stack, before, start)
  local call = lua_line.call(stack)
  local field = field_at(call, before)
  if field then return fitting.values(call, field, start) or {} end
  if before:find "[%w_]%s*$" or before:find "%(%s*$" or before:find ",%s*$" then
    local of_string = lua_line.call(stack, before:find "[%w_]%s*$" and before)
    if of_string and not of_string.table then return fitting.argument(of_string, start) end
  end
  return call and call.table and fitting.items(call) or {}
end

-- Returns the candidates where a field's name or a value begins in an option table; nil: elsewhere.
local function in_table(stack, before, token)
  local call = lua_line.call(stack)
  if not call or not call.table then return nil end
  local field = field_at(call, before)
  if not field then
    return before:sub(call.table.from):find "^%s*$" and not token:find "[.:]" and fitting.keys(call)
  end
  local values, boolean = fitting.values(call, field)
  if boolean then return { ["true"] = true, ["false"] = true }, true end
  if not values or token ~= "" or not next(values) then return nil end
  local names = {}
  for value in pairs(values) do names[('"%s"'):format(value)] = true end
  return names, true
end

-- ---- where the cursor is -----------------------------------------------------------------------

-- Returns the candidates for the name at the end of the line, its part that is typed already, and
-- whether any text is a candidate.
local function candidates(line)
  local quote, stack = lua_line.scan(line)
  if quote == false then
    return {}, ""
  elseif quote then
    return quoted(stack, line:sub(1, quote - 1), line:sub(quote + 1)), line:sub(quote + 1), true
  end
  local before, token = line:match "^(.-)([%w_.:]*)$"
  token = token:match "%.%.([^.].*)$" or token -- a..b
  local names, literal = in_table(stack, before, token)
  if names then return names, token, literal end
  local path, separator, start = token:match "^(.*)([.:])([%w_]*)$"
  if before:find "%)$" and path == "" then
    return names_of_call(before, separator == ":"), start
  elseif token:find "^%d" or before:find "[%]})\"']$" then
    return {}, ""
  elseif path then
    return names_of(lua_line.resolve(path), separator == ":"), start
  elseif before:find "%f[%w_]local%s+$" or before:find "%f[%w_]function%s+$"
    or before:find "%f[%w_]for%s+$" or before:find "%f[%w_]goto%s+$" then
    return {}, "" -- a new name
  end
  names = names_of(_G)
  if before:find "^%s*$" then monitor_line.add_names(names) end
  return names, token
end

-- For lineedit: returns the words that could replace `word`, the last one of `line`. If the typed
-- part of a name is longer than what lineedit takes for a word, the words are ends of names.
return function(line, word)
  if line:match "^%s*$" then
    return {} -- Tab as indentation, maybe of pasted text
  end
  local names, start, literal = monitor_line.complete(line)
  if not names then names, start, literal = candidates(line) end
  local kept, skipped = word:sub(1, math.max(#word - #start, 0)), math.max(#start - #word, 0)
  local words = {}
  for name in pairs(names) do
    if name:sub(1, #start) == start and name ~= "" and (literal or is_name(name)) then
      table.insert(words, kept .. core.text(name:sub(skipped + 1)))
    end
  end
  table.sort(words)
  return words
end
