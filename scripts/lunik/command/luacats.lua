-- Reads a file of LuaCATS definitions (library/*.lua).
--   parse(text) -> { module = "lunik", intro = {paragraph...}, sections = { section... } }
--   section: { title = string?, items = { item... } }
--   item:    { kind = "class"|"alias"|"function", name, doc = {block...}, ... }
--     name of a function: its class without "lunik.": "Machine:wait", "testing.Machine:plug";
--       declared: its name in the file
--     class: parent?, fields = { {name, optional, type, doc} }
--     alias: type, or choices = { "\"started\"", ... }
--     function: arguments = "options", params = { {name, optional, type, doc} },
--               returns = { {type, name?, doc} }
--   block:   { text = "a paragraph" } or { code = "lines" }
local luacats = {}

-- ---- types -------------------------------------------------------------------------------------

local type_end

-- Ends of the result types of a function type: ": integer?, string?".
local function results_end(s, i)
  local start = s:match("^:%s*()", i)
  if not start then
    return i
  end
  i = type_end(s, start)
  while s:find("^, ", i) do
    i = type_end(s, i + 2)
  end
  return i
end

local function primary_end(s, i)
  local fun = s:match("^fun%b()()", i)
  if fun then
    return results_end(s, fun)
  end
  for _, pattern in ipairs { '^"[^"]*"()', "^%b{}()", "^%b()()", "^%.%.%.()", "^[%w_.%-]+%b<>()",
    "^[%w_%-][%w_.%-]*()" } do
    local stop = s:match(pattern, i)
    if stop then
      return stop
    end
  end
  error(("'%s' is no type (at %d)"):format(s, i), 0)
end

-- Returns the position after the type that begins at i.
function type_end(s, i)
  repeat
    i = primary_end(s, i)
    i = s:match("^[%[%]?]*()", i)
    local more = s:match("^|()", i)
    i = more or i
  until not more
  return i
end

-- Cuts "type rest" into the two.
local function split_type(s)
  local stop = type_end(s, 1)
  return s:sub(1, stop - 1), s:sub(stop):match "^%s*(.*)$"
end

-- ---- comments ----------------------------------------------------------------------------------

-- Makes paragraphs and code of the lines of a comment.
local function blocks_of(lines)
  local blocks, words, code = {}, {}, nil
  local function end_paragraph()
    if #words > 0 then
      table.insert(blocks, { text = table.concat(words, " ") })
      words = {}
    end
  end
  for _, line in ipairs(lines) do
    if code and line:find "^```" then
      table.insert(blocks, { code = table.concat(code, "\n") })
      code = nil
    elseif code then
      table.insert(code, line)
    elseif line:find "^```" then
      end_paragraph()
      code = {}
    elseif line == "" then
      end_paragraph()
    else
      table.insert(words, (line:match "^%s*(.-)%s*$"))
    end
  end
  end_paragraph()
  return blocks
end

local function named(rest)
  local name, optional, spec = rest:match "^([%w_.]+)(%??)%s+(.*)$"
  if not name then
    name, spec = rest:match "^(%[%w+%])%s+(.*)$"
  end
  local kind, doc = split_type(assert(spec, rest))
  return { name = name, optional = optional == "?", type = kind, doc = doc }
end

local function returned(rest)
  local kind, text = split_type(rest)
  local name, doc = text:match "^([%l_]+)%s*(.*)$"
  return { type = kind, name = name, doc = doc or text }
end

-- A comment is read tag by tag; text after a tag goes on with what that tag is about.
local tags = {}

function tags.class(item, rest)
  local name, parent = rest:match "^([%w_.%-]+):?%s*([%w_.]*)"
  item.kind, item.name, item.parent, item.fields = "class", name, parent ~= "" and parent or nil, {}
end

function tags.alias(item, rest)
  local name, kind = rest:match "^([%w_.]+)%s*(.*)$"
  item.kind, item.name, item.choices = "alias", name, {}
  item.type = kind ~= "" and kind or nil
end

function tags.field(item, rest)
  local field = named(rest)
  table.insert(item.fields, field)
  return field
end

function tags.param(item, rest)
  local param = named(rest)
  table.insert(item.params, param)
  return param
end

tags["return"] = function(item, rest)
  local result = returned(rest)
  table.insert(item.returns, result)
  return result
end

-- ---- the file ----------------------------------------------------------------------------------

local function begin_item()
  return { params = {}, returns = {}, lines = {} }
end

-- Reads one line of a comment that begins with "---". state.about: what text goes on with.
local function comment_line(state, text)
  local item = state.item or begin_item()
  state.item = item
  local tag, rest = text:match "^@(%l+)%s*(.*)$"
  local choice, meaning = text:match '^|%s*("[^"]*")%s*#?%s*(.*)$'
  if tag == "meta" then
    state.file.module, state.item = rest, nil
  elseif tag and tags[tag] then
    state.about = tags[tag](item, rest)
  elseif choice then
    table.insert(item.choices, { value = choice, doc = meaning })
  elseif not tag and state.about then
    state.about.doc = state.about.doc .. " " .. text
  elseif not tag then
    table.insert(item.lines, text)
  end
end

-- The name of a function by its class.
local function full_name(state, declared)
  local owner, method = declared:match "^(%w+)([.:].*)$"
  local class = owner and state.owners[owner]
  return class and class:gsub("^lunik%.", "") .. method or declared
end

-- Ends the comment; prototype: the line after it.
local function end_comment(state, prototype)
  local item = state.item
  state.item, state.about = nil, nil
  local name, arguments = prototype:match "^function ([%w_.:]+)%((.-)%)"
  if not item then
    assert(not name, prototype)
    return
  end
  if name then
    item.kind, item.name, item.arguments = "function", full_name(state, name), arguments
    item.declared = name
  end
  if item.kind then
    item.doc = blocks_of(item.lines)
    item.lines = nil
    local owner = item.kind == "class" and prototype:match "^local (%w+) = {}"
    if owner then
      state.owners[owner] = item.name
    end
    table.insert(state.section.items, item)
  end
end

local function begin_section(state, title)
  state.section = { title = title, items = {} }
  table.insert(state.file.sections, state.section)
end

-- Reads the definitions.
function luacats.parse(text)
  local state = { file = { sections = {}, intro = {} }, owners = {} }
  local intro = {}
  begin_section(state)
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local title = line:match "^%-%- %-%-%-%- (.-) %-+$"
    local comment = line:match "^%-%-%-(.*)$"
    if title then
      begin_section(state, title)
    elseif comment then
      comment_line(state, comment)
    elseif line:find "^%-%-" and #state.section.items == 0 and not state.section.title then
      table.insert(intro, (line:gsub("^%-%-%s?", "")))
    else
      end_comment(state, line)
    end
  end
  state.file.intro = blocks_of(intro)
  return state.file
end

return luacats
