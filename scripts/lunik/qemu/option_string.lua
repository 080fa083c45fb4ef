--- QEMU's option strings: "pc-dimm,id=d1,memdev=m1".
--
-- Options are separated by commas; a comma in a value is written twice. The first one may be a
-- value alone, whose name is implied. Any other name without a value is on, and off with "no"
-- before it.
-- Names may have parts: "host-nodes.0=1,host-nodes.1=2" is a list, "a.b=1" a table in a table.

local options = require "lunik.options"

local option_string = {}

-- Returns the option that begins at `at`: name (nil: none is given), value (nil: none), and where
-- the next one begins.
local function take(text, at)
  local name, after = text:match("^([^,=]*)=()", at)
  at = after or at
  local parts = {}
  while true do
    local part, comma = text:match("^([^,]*),?()", at)
    parts[#parts + 1] = part
    at = comma
    if text:sub(at - 1, at) ~= ",," then break end
    parts[#parts + 1] = ","
    at = at + 1
  end
  return name, table.concat(parts), at
end

local function flag(word)
  local off = word:match "^no%-?(.+)$"
  if off then return off, "off" end
  return word, "on"
end

--- Returns the options in their order, each {name, value}; both are strings. implied: the name of
-- a first value that has none.
function option_string.list(text, implied)
  local found, at = {}, 1
  while at <= #text do
    local name, value, following = take(text, at)
    if name == "" then
      options.fail("invalid", "'%s': an option has no name (want name=value)", text)
    elseif not name and at == 1 and implied then
      name = implied
    elseif not name then
      name, value = flag(value)
    end
    found[#found + 1] = { name, value }
    at = following
  end
  return found
end

-- Puts a value where its name says: "a.b" into the table a.
local function put(out, text, name, value)
  local t = out
  local outer, last = name:match "^(.*)%.([^.]*)$"
  for part in (outer or ""):gmatch "[^.]+" do
    if t[part] == nil then t[part] = {} end
    t = t[part]
    if type(t) ~= "table" then
      options.fail("invalid", "'%s': %s: %s is a value already", text, name, part)
    end
  end
  last = last or name
  if type(t[last]) == "table" then
    options.fail("invalid", "'%s': %s has parts already", text, name)
  end
  t[last] = value
end

-- Replaces tables with the keys "0", "1", ... by lists.
local function with_lists(text, name, t)
  local count = 0
  for key, value in pairs(t) do
    count = count + 1
    if type(value) == "table" then t[key] = with_lists(text, key, value) end
  end
  if t["0"] == nil then return t end
  local list = {}
  for i = 1, count do
    list[i] = t[tostring(i - 1)]
    if list[i] == nil then
      options.fail("invalid", "'%s': %s.%d is missing", text, name, i - 1)
    end
  end
  return list
end

--- Returns the options as a table name -> string, list or table; the last one of a name counts.
function option_string.parse(text, implied)
  local out = {}
  for _, option in ipairs(option_string.list(text, implied)) do
    put(out, text, option[1], option[2])
  end
  return with_lists(text, "", out)
end

return option_string
