-- Writes the page of a C header: each comment, then the declarations that it is about.
local prose = require "docs.generate.prose"

local c_page = {}

local function block_text(block, find)
  if block.lines then
    return "```text\n" .. block.lines .. "\n```\n"
  end
  return prose.markdown(block.text, find) .. "\n"
end

-- Returns the names that the page documents, and those that it only announces.
function c_page.names(file)
  local names, forward = {}, {}
  for _, section in ipairs(file.sections) do
    for _, entry in ipairs(section.entries) do
      table.move(entry.names, 1, #entry.names, #names + 1, names)
      table.move(entry.forward, 1, #entry.forward, #forward + 1, forward)
    end
  end
  return names, forward
end

-- The anchors of names that this page documents. A name has one anchor: the first.
local function anchors(out, names, find, seen)
  local marks = {}
  for _, name in ipairs(names) do
    if find(name) == "#" .. name and not seen[name] then
      seen[name] = true
      table.insert(marks, ("[]{#%s}"):format(name))
    end
  end
  if #marks > 0 then
    table.insert(out, table.concat(marks) .. "\n")
  end
end

local function write_entry(out, entry, find, seen)
  anchors(out, entry.names, find, seen)
  if entry.code ~= "" then
    table.insert(out, "```c\n" .. entry.code .. "\n```\n")
  end
  for _, block in ipairs(entry.doc) do
    table.insert(out, block_text(block, find))
  end
end

local function write_section(out, section, number, find, seen)
  if section.title and #section.entries > 0 then
    local name = section.title:sub(1, 1):upper() .. section.title:sub(2)
    table.insert(out, ("## %s {#section-%d}\n"):format(prose.markdown(name, find), number))
  end
  for _, entry in ipairs(section.entries) do
    write_entry(out, entry, find, seen)
  end
end

-- Returns the page's Markdown. Structs that nothing defines for users have their anchor where they
-- are announced.
function c_page.write(file, title, find)
  local out, seen = { "# " .. title .. "\n" }, {}
  for _, block in ipairs(file.intro) do
    table.insert(out, block_text(block, find))
  end
  for n, section in ipairs(file.sections) do
    for _, entry in ipairs(section.entries) do
      table.move(entry.forward, 1, #entry.forward, #entry.names + 1, entry.names)
    end
    write_section(out, section, n, find, seen)
  end
  return table.concat(out, "\n") .. "\n"
end

return c_page
