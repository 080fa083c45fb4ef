-- Writes the page of all types of objects and devices with their properties, from the live tables.
local prose = require "docs.generate.prose"
local type_text = require "lunik.type_text"

local types_page = {}

local HEAD = [[
| property | kind | default | values | |
|:----------|:------|:-------|:---------|:------------------------|]]

local function cell(text)
  return text and prose.code(text) or ""
end

-- Whether the ancestor of a type has the property too, with the same default.
local function inherited(p, parent)
  for _, other in ipairs(parent and parent.props or {}) do
    if other.name == p.name then
      return other.default == p.default
    end
  end
  return false
end

-- What a property means, with what may be done with it.
local function meaning(p, words, find)
  local notes = table.concat(words.notes, ", "):gsub("^%l", string.upper)
  return (notes ~= "" and ("*%s.* "):format(notes) or "") .. prose.markdown(p.doc or "", find)
end

local function property_row(p, find)
  local words = type_text.property(p)
  local link = p.link and find(p.link)
  local values = link and prose.link(p.link, link) or cell(words.range)
  return ("| %s | %s | %s | %s | %s |"):format(cell(p.name), words.kind, cell(words.default),
    values, meaning(p, words, find))
end

-- The same as an entry of a list, for narrow pages.
local function property_entry(p, find)
  local words = type_text.property(p)
  local range = words.range and ": " .. words.range or ""
  return ("%s *%s*%s%s\n:   %s\n"):format(cell(p.name), words.kind, words.default
    and " = " .. cell(words.default) or "", prose.markdown(range, find), meaning(p, words, find))
end

-- Writes a type; properties that it has from its parent are described there.
local function write_type(out, info, parent, find, brief)
  table.insert(out, ("## %s {#%s}\n"):format(prose.code(info.name), info.name))
  table.insert(out, prose.markdown(info.doc or "", find) .. "\n")
  table.insert(out, ("*%s.*%s\n"):format(type_text.use(info):gsub("^%l", string.upper),
    parent and (" Has the properties of %s as well."):format(prose.link(parent.name,
      find(parent.name))) or ""))
  local rows = {}
  for _, p in ipairs(info.props) do
    if not inherited(p, parent) then
      table.insert(rows, (brief and property_entry or property_row)(p, find))
    end
  end
  if #rows > 0 then
    table.insert(out, (brief and "" or HEAD .. "\n") .. table.concat(rows, "\n") .. "\n")
  end
end

local INTRODUCTION = [[
The types of objects and devices, for %s and %s, and their
properties. At the prompt `help "pc-dimm"` shows the same of one type, %s returns
it as a table. A *size* is in bytes: an integer, or a string such as `"512M"`; so may be an
*integer*, such as `"0x3f8"`. A *link* is the id of an object of the type that is named. A property
that is neither required nor has a default is unset unless it is given.
]]

-- Returns the page's Markdown; types: the descriptions by lunik.type(), in order; brief: with lists
-- instead of tables.
function types_page.write(types, find, brief)
  local by_name = {}
  for _, info in ipairs(types) do
    by_name[info.name] = info
  end
  local out = { "# Types and their properties\n", INTRODUCTION:format(
    prose.link("m:object_add()", find "Machine:object_add"),
    prose.link("m:device_add()", find "Machine:device_add"),
    prose.link("lunik.type()", find "lunik.type")) }
  for _, info in ipairs(types) do
    write_type(out, info, by_name[info.parent], find, brief)
  end
  return table.concat(out, "\n") .. "\n"
end

return types_page
