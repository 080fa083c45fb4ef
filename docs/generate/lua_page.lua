-- Writes the page of a file of LuaCATS definitions: its introduction, then per section every class
-- with its fields, alias and function.
local prose = require "docs.generate.prose"

local lua_page = {}

local function say(out, ...)
  table.insert(out, string.format(...))
end

-- A type: names of classes are links.
local function type_text(kind, find)
  local out, i = {}, 1
  while i <= #kind do
    local name = kind:match("^lunik[%w_.%-]*[%w_]", i)
    local target = name and find(name)
    local text = name or kind:match("^[%w_]+", i) or kind:sub(i, i)
    local last = out[#out]
    if target then
      table.insert(out, { text = text, target = target })
    elseif last and not last.target then
      last.text = last.text .. text
    else
      table.insert(out, { text = text })
    end
    i = i + #text
  end
  for n, part in ipairs(out) do
    out[n] = prose.link(part.text, part.target)
  end
  return table.concat(out)
end

-- A list of named things with types: fields, arguments.
local function definitions(out, list, find)
  for _, entry in ipairs(list) do
    say(out, "%s %s", prose.code((entry.name or "") .. (entry.optional and "?" or "")),
      type_text(entry.type, find))
    say(out, ":   %s\n", entry.doc ~= "" and prose.markdown(entry.doc, find) or "\u{a0}")
  end
end

local function heading(out, level, text, id)
  say(out, "%s %s {#%s}\n", ("#"):rep(level), text, id)
end

local writers = {}

function writers.class(out, item, find)
  heading(out, 3, prose.code(item.name), item.name)
  if item.parent then
    say(out, "Has the fields of %s as well.\n", prose.link(item.parent, find(item.parent)))
  end
  say(out, "%s", prose.blocks(item.doc, find))
  definitions(out, item.fields, find)
end

function writers.alias(out, item, find)
  heading(out, 3, prose.code(item.name), item.name)
  if item.type then
    say(out, "Is %s.\n", type_text(item.type, find))
  end
  say(out, "%s", prose.blocks(item.doc, find))
  for _, choice in ipairs(item.choices) do
    local name = choice.value:match '^"(.*)"$'
    say(out, "- %s %s", prose.link(choice.value, find("lunik.event." .. name)),
      prose.markdown(choice.doc, find))
  end
  say(out, "")
end

writers["function"] = function(out, item, find)
  heading(out, 3, prose.code(("%s(%s)"):format(item.shown, item.arguments)), item.name)
  say(out, "%s", prose.blocks(item.doc, find))
  if #item.params > 0 then
    say(out, "Arguments:\n")
    definitions(out, item.params, find)
  end
  for _, result in ipairs(item.returns) do
    say(out, "Returns %s%s%s\n", type_text(result.type, find),
      result.name and result.name ~= "self" and " " .. prose.code(result.name) or "",
      result.doc ~= "" and ": " .. prose.markdown(result.doc, find) or "")
  end
end

-- The name of a section in the page's contents.
local function title_of(section)
  local title = section.title or "The module"
  return title:sub(1, 1):upper() .. title:sub(2)
end

local function introduction(out, blocks, find)
  for n, block in ipairs(blocks) do
    local title, rest = (block.text or ""):match "^(%u%l* ?%l* ?%l*)%.%s+(.*)$"
    if title then
      heading(out, 2, title, "about-" .. title:lower():gsub(" ", "-"))
      say(out, "%s\n", prose.markdown(rest, find))
    elseif n > 1 then -- the first paragraph is about the file
      say(out, "%s", prose.blocks({ block }, find))
    end
  end
end

-- Lists what the page has: a line for each function, class and alias.
local function overview(out, file, find)
  heading(out, 2, "Overview", "overview")
  for _, section in ipairs(file.sections) do
    if #section.items > 0 then
      say(out, "| %s | |\n|:-------------|:---------------------------|", title_of(section))
    end
    for _, item in ipairs(section.items) do
      local first = item.doc[1] and item.doc[1].text or ""
      say(out, "| %s | %s |", prose.link(item.shown or item.name, find(item.name)),
        prose.markdown(prose.sentence(first), find))
    end
    say(out, "")
  end
end

-- Sets how functions are shown: variables has what users call the values of a class of the file.
function lua_page.show(file, variables)
  for _, section in ipairs(file.sections) do
    for _, item in ipairs(section.items) do
      item.shown = item.declared and item.declared:gsub("^%w+", variables)
    end
  end
end

-- Returns the names that the page documents.
function lua_page.names(file)
  local names = {}
  for _, section in ipairs(file.sections) do
    for _, item in ipairs(section.items) do
      table.insert(names, item.name)
    end
  end
  return names
end

-- Returns the page's Markdown; brief: without the overview.
function lua_page.write(file, title, find, brief)
  local out = { "# " .. title .. "\n" }
  introduction(out, file.intro, find)
  if not brief then
    overview(out, file, find)
  end
  for n, section in ipairs(file.sections) do
    if #section.items > 0 then
      heading(out, 2, title_of(section), "section-" .. n)
      for _, item in ipairs(section.items) do
        writers[item.kind](out, item, find)
      end
    end
  end
  return table.concat(out, "\n") .. "\n"
end

return lua_page
