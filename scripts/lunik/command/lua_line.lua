--- Looks at a line of Lua up to the cursor: what is open there, and what an expression yields.

local inspect = require "lunik.inspect"
local reference = require "lunik.command.reference"

local lua_line = {}

local NAME = "[%a_][%w_]*"

-- Adds what is between the quotes to the innermost open call or table.
local function note_string(frame, text, before)
  if not frame then return end
  frame.strings[frame.n] = text
  local key = before:match("(" .. NAME .. ")%s*=%s*$")
  if key then frame.values[key] = text end
end

-- Ends an argument or a field.
local function note_item(frame, line, at)
  if not frame then return end
  local key = line:sub(frame.from, at - 1):match("^%s*(" .. NAME .. ")%s*=[^=]")
  if key then frame.keys[key] = true end
  frame.n, frame.from = frame.n + 1, at + 1
end

local function opened(line, at)
  return {
    open = line:sub(at, at), head = line:sub(1, at - 1), from = at + 1, n = 1,
    strings = {}, values = {}, keys = {},
  }
end

-- Returns the position after a comment or long string at that position; false: it has no end; nil:
-- there is none.
local function skipped(line, at)
  if line:find("^%-%-", at) then return false end
  local level = line:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = line:find("]" .. level .. "]", at, true)
  return last or false
end

--- Returns the position of the quote that is open at the end (nil: none; false: in a comment or a
-- long string), and the calls and tables that are open, innermost last: each has open, head (the
-- text before it), n (the number of the argument or item), from (where that begins), strings
-- (items that are literal strings), values (the same by key) and keys (a set).
function lua_line.scan(line)
  local at, quote, stack = 1, nil, {}
  while at <= #line do
    local c = line:sub(at, at)
    local last = not quote and skipped(line, at)
    if last == false and not quote then
      return false, stack
    elseif last then
      at = last
    elseif quote and c == "\\" then
      at = at + 1
    elseif quote and c == line:sub(quote, quote) then
      note_string(stack[#stack], line:sub(quote + 1, at - 1), line:sub(1, quote - 1))
      quote = nil
    elseif not quote and c:find "[\"']" then
      quote = at
    elseif not quote and c:find "[({[]" then
      stack[#stack + 1] = opened(line, at)
    elseif not quote and c:find "[)}%]]" then
      stack[#stack] = nil
    elseif not quote and c:find "[,;]" then
      note_item(stack[#stack], line, at)
    end
    at = at + 1
  end
  return quote, stack
end

--- Returns the call that the innermost open call or table belongs to: path ("m:device_add"), name
-- (its last part), n (number of the argument), strings (arguments before), table (the frame of a
-- table), or nil. before: the text before an open quote, which may be a call's only argument.
function lua_line.call(stack, before)
  local frame, below = stack[#stack], stack[#stack - 1]
  local path = before and before:match "([%a_][%w_.:]*)%s*$"
  if path and not path:find "^%d" then
    return { path = path, name = path:match "[%w_]+$", n = 1, strings = {} }
  elseif not frame or frame.open == "[" then
    return nil
  end
  path = frame.head:match "([%a_][%w_.:]*)%s*$"
  local holder = frame
  if frame.open == "{" and not path then
    if not below or below.open ~= "(" then return nil end
    holder, path = below, below.head:match "([%a_][%w_.:]*)%s*$"
  end
  return path and {
    path = path, name = path:match "[%w_]+$", n = holder == frame and frame.open == "{" and 1
      or holder.n, strings = holder.strings, table = frame.open == "{" and frame or nil,
  }
end

-- Returns the value that "a.b.c" names, using only field access; nil if there is none.
function lua_line.resolve(path)
  local v = _G
  for name in (path .. "."):gmatch "([^.]*)%." do
    if not name:find("^" .. NAME .. "$") then return nil end
    local ok, field = pcall(function() return v[name] end)
    if not ok or field == nil then return nil end
    v = field
  end
  return v
end

-- Returns the documented class of a value, or nil.
local function class_of(v)
  local meta = getmetatable(v)
  local name = type(meta) == "table" and rawget(meta, "__name") or meta
  return inspect.class(v) and type(name) == "string" and reference.class(name) or nil
end

--- Returns the documented function that `path` ("m:wait", or with calls in it) calls, or nil.
function lua_line.callee(path)
  local receiver, name = path:match("^(.*)[.:](" .. NAME .. ")%s*$")
  if not receiver then return nil end
  if receiver:match "[%w_]+$" == "lunik" then return reference.named("lunik." .. name) end
  local class = lua_line.class(receiver)
  while class do
    local found = reference.named(class.name:gsub("^lunik%.", "") .. ":" .. name)
    if found then return found end
    class = class.parent and reference.class(class.parent)
  end
end

--- Returns the documented class of what the expression at the end of text yields, without running
-- it: a value's own, or what the called function returns; nil if that is not known.
function lua_line.class(text)
  local called = text:match "^(.-)%s*%b()$"
  if not called then
    local v = lua_line.resolve(text:match "([%a_][%w_.]*)$" or "")
    return v ~= nil and class_of(v) or nil
  end
  local item = lua_line.callee(called)
  local class, list = nil, nil
  if item then class, list = reference.result(item) end
  return not list and class or nil
end

return lua_line
