-- Reads a C header: its first comment, its sections, and in them entries, each a comment with the
-- declarations that it is about.
--   parse(text) -> { intro = {block...}, sections = { { title?, entries = { entry... } } } }
--   entry: { doc = {block...}, code = "declarations", names = {name...}, forward = {name...} }
--     forward: names of structs that are defined elsewhere, or nowhere that users see
--   block: { text = "a paragraph" } or { lines = "as they are" }
local headers = {}

-- ---- comments ----------------------------------------------------------------------------------

-- Makes blocks of a comment's text, without its marks. Indented lines stay as they are.
local function blocks_of(text)
  local blocks, words, kept = {}, {}, {}
  local function finish()
    if #words > 0 then
      table.insert(blocks, { text = table.concat(words, " ") })
    elseif #kept > 0 then
      table.insert(blocks, { lines = table.concat(kept, "\n") })
    end
    words, kept = {}, {}
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    line = line:gsub("%s+$", "")
    local indented = line:find "^  %s*%S"
    if line == "" or indented and #words > 0 or not indented and #kept > 0 then
      finish()
    end
    if indented then
      table.insert(kept, (line:gsub("^  ", "")))
    elseif line ~= "" then
      table.insert(words, (line:match "^%s*(.*)$"))
    end
  end
  finish()
  return blocks
end

-- Takes the marks of a comment away.
local function comment_text(comment)
  local text = comment:gsub("^/%*%s?", ""):gsub("%s*%*/$", "")
  return (("\n" .. text):gsub("\n %* ?", "\n"):gsub("^\n+", ""))
end

-- ---- declarations ------------------------------------------------------------------------------

-- What a reader of the reference does not need to see of a declaration.
local function shortened(code)
  code = ("\n" .. code):gsub("\n{.-\n}", ";") -- the body of an inline function
  code = code:gsub("__attribute__%b() ?", ""):gsub("%s+;", ";")
  code = code:gsub("[ \t]+\\\n", " \\\n"):gsub(";;", ";")
  code = code:gsub("\n#undef[^\n]*", ""):gsub("%)\n;", ");")
  return (code:gsub("^\n+", ""):gsub("%s+$", ""))
end

local FORWARD = { "\ntypedef struct (lunik[%w_]+) lunik[%w_]+;" }
local NAMES = {
  "\n#define (LUNIK[%w_]*)", "\nstruct (lunik[%w_]+) {", "\n} (lunik[%w_]+);",
  "\ntypedef[^\n{]-(lunik[%w_]+);", "\ntypedef[^\n{]-%f[%w_](lunik[%w_]+)%(",
  "\n[%w_][^\n(=]-%f[%w_](lunik[%w_]+)%(", "\n +(LUNIK[%w_]*)%f[ ,=]",
  "\ntypedef struct (lunik[%w_]+) {", "\ntypedef enum (lunik[%w_]+) {",
}

-- Adds the names that patterns find, without those known.
local function find_names(names, known, code, patterns)
  for _, pattern in ipairs(patterns) do
    for name in code:gmatch(pattern) do
      if not known[name] then
        known[name] = true
        table.insert(names, name)
      end
    end
  end
  return names
end

-- Returns the names that code declares, and those that it only announces.
local function names_of(code)
  local lines, known = "\n" .. code:gsub("\n", "\n\n"), {}
  local forward = find_names({}, known, lines, FORWARD)
  local names = find_names({}, known, lines, NAMES)
  if code:find("#define LUNIK_ERROR_MAP(X)", 1, true) then
    for name in code:gmatch "X%(([%u_]+), " do
      table.insert(names, "LUNIK_E_" .. name)
    end
  end
  return names, forward
end

-- ---- the file ----------------------------------------------------------------------------------

-- Lines that are no declarations.
local function is_frame(line)
  return line:find "^#include" or line:find "^#pragma" or line:find "^#ifn?def"
    or line:find "^#endif"
    or line:find "^#define LUNIK_[%w_]*H$" or line:find '^extern "C"' or line == "}"
end

local function add_entry(state, doc, code)
  code = shortened(code)
  if #doc > 0 or code ~= "" then
    local entry = { doc = doc, code = code }
    entry.names, entry.forward = names_of(code)
    table.insert(state.section.entries, entry)
  end
end

local function begin_section(state, title)
  state.section = { title = title, entries = {} }
  table.insert(state.file.sections, state.section)
end

-- Reads a comment at i; returns what it says and the position after it.
local function read_comment(text, i)
  local comment, after = text:match("^(/%*.-%*/)()", i)
  return comment_text(comment), after
end

-- Reads lines from i to an empty line that is not in braces, or a comment; returns them and the
-- position after them.
local function read_declarations(text, i)
  local lines, depth, continued = {}, 0, false
  while i <= #text do
    local line, after = text:match("^([^\n]*)\n?()", i)
    local open = depth > 0 or continued
    if not open and (line == "" or line:find "^/%*") then
      break
    end
    if open or not is_frame(line) then
      table.insert(lines, line)
    end
    local code = line:gsub("/%*.-%*/", "")
    depth = depth + select(2, code:gsub("{", "")) - select(2, code:gsub("}", ""))
    if code:find '^extern "C"' then
      depth = 0
    end
    continued = line:find "\\$" ~= nil
    i = after
  end
  return table.concat(lines, "\n"), i
end

local function read_part(state, text, i)
  local doc = {}
  if text:find("^/%*", i) then
    local said
    said, i = read_comment(text, i)
    local title = said:match "^%-%-%-%- (.-) %-+$"
    if title then
      begin_section(state, title)
      return i
    end
    doc = blocks_of(said)
    if #state.file.sections == 0 then
      state.file.intro = doc
      begin_section(state)
      return i
    end
    i = text:match("^\n?()", i)
  end
  local code
  code, i = read_declarations(text, i)
  add_entry(state, doc, code)
  return text:match("^%s*()", i)
end

function headers.parse(text)
  local state = { file = { sections = {}, intro = {} } }
  local i = text:match "^%s*()"
  while i <= #text do
    i = text:match("^%s*()", read_part(state, text, i))
  end
  return state.file
end

return headers
