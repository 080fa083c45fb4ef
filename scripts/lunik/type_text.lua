-- Describes types and their properties in words: for help at the prompt and the reference.
local board = require "lunik.board"

local type_text = {}

local INDENT = 37 -- where the descriptions of properties begin, in the help

local KINDS = { uint = "integer", int = "integer", bool = "boolean" }

-- A number of a property as people write it: sizes with units, ports and addresses in hexadecimal.
local function number(p, value)
  local bytes = p.kind == "size"
  if bytes and value >= 1024 and value % 1024 == 0 then
    return board.show(value)
  end
  local port = p.kind == "uint" and p.max and p.max >= 0x1000 and p.max <= 0xffffffff
  local hexadecimal = value ~= 0 and (port or bytes and value > 0xffff)
  return (hexadecimal and "0x%x" or "%d"):format(value)
end

local function value_text(p, value)
  if math.type(value) == "integer" then
    return number(p, value)
  end
  return type(value) == "string" and ('"%s"'):format(value) or tostring(value)
end

local function range(p)
  if p.choices then
    return '"' .. table.concat(p.choices, '", "'):gsub(', ("[^"]*)$', " or %1") .. '"'
  elseif p.max then
    return number(p, p.min or 0) .. " to " .. number(p, p.max)
  elseif p.min and p.min ~= 0 then
    return number(p, p.min) .. " or more"
  end
  return p.link and "of type " .. p.link
end

-- Returns the words for a property: kind, default (nil: none), range (nil: any value of the kind),
-- and notes, such as "required".
function type_text.property(p)
  local notes = {}
  for _, note in ipairs { { p.required, "required" }, { p.readonly, "only read" },
    { p.live, "can be set later" } } do
    if note[1] then
      table.insert(notes, note[2])
    end
  end
  return {
    kind = KINDS[p.kind] or p.kind,
    default = p.default ~= nil and value_text(p, p.default) or nil,
    range = not p.readonly and range(p) or nil,
    notes = notes,
  }
end

-- Returns how objects of a type are made: "added with device_add, also while the machine runs".
function type_text.use(info)
  if info.abstract then
    return "only a parent of other types"
  elseif not info.device then
    return "made with object_add"
  elseif not info.hotplug then
    return "added with device_add before the machine starts"
  end
  return "added with device_add, also while the machine runs" .. (info.unplug and "" or "; stays")
end

-- Breaks text into lines of at most width characters.
local function wrapped(text, width)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > width then
      table.insert(lines, line)
      line = ""
    end
    line = line .. (line == "" and "" or " ") .. word
  end
  table.insert(lines, line)
  return lines
end

--- Adds text in lines that begin at column indent; the first one has the title before it.
function type_text.add_wrapped(lines, title, text, indent, width)
  for _, line in ipairs(wrapped(text, width - indent)) do
    table.insert(lines, title .. (" "):rep(indent - #title) .. line)
    title = ""
  end
end

-- Returns the text of help("pc-dimm"), in lines of at most width characters.
function type_text.help(info, width)
  local lines = {}
  type_text.add_wrapped(lines, "", info.name .. ": " .. (info.doc or ""), 0, width)
  type_text.add_wrapped(lines, "", "(" .. type_text.use(info) .. ")", 2, width)
  for _, p in ipairs(info.props) do
    local words = type_text.property(p)
    local title = ("  %-16s %s%s "):format(p.name, words.kind,
      words.default and " = " .. words.default or "")
    if words.range and not (p.doc or ""):find(words.range, 1, true) then
      table.insert(words.notes, words.range)
    end
    local notes = #words.notes > 0 and (" (%s)"):format(table.concat(words.notes, "; ")) or ""
    type_text.add_wrapped(lines, title, (p.doc or "") .. notes, math.max(INDENT, #title), width)
  end
  return table.concat(lines, "\n")
end

return type_text
