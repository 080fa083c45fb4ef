--- The texts of help() at the prompt, out of the reference, the type tables and the boards.

local core = require "lunik.core"
local lunik = require "lunik"
local boards = require "lunik.board_loader"
local inspect = require "lunik.inspect"
local options = require "lunik.options"
local reference = require "lunik.command.reference"
local type_text = require "lunik.type_text"

local help_text = {}

local WIDTH, INDENT = 79, 18

-- ---- functions and classes ----------------------------------------------------------------------

-- Adds a paragraph whose lines begin at a column; the first one has the title before it.
local function add_wrapped(lines, title, text, indent)
  type_text.add_wrapped(lines, title, text, indent, WIDTH)
end

local function add_blocks(lines, blocks)
  for _, block in ipairs(blocks) do
    if block.code then
      for line in (block.code .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = "    " .. line end
    else
      add_wrapped(lines, "", block.text, 2)
    end
  end
end

local function add_field(lines, field)
  local title = ("  %s%s "):format(field.name, field.optional and "?" or "")
  add_wrapped(lines, title, ("%s  %s"):format(field.type, field.doc or ""),
    math.max(INDENT, #title))
end

local function add_fields(lines, fields)
  for _, field in ipairs(fields) do add_field(lines, field) end
end

-- Returns the title of a function: "Machine:wait(events, filter) -> lunik.Event".
local function title_of(item)
  local results = {}
  for i, result in ipairs(item.returns) do results[i] = result.type end
  return ("%s(%s)%s"):format(item.name, item.arguments,
    results[1] and " -> " .. table.concat(results, ", ") or "")
end

-- Shows the fields of option tables in place of the name of their class.
local function add_params(lines, item)
  for i, param in ipairs(item.params) do
    add_field(lines, param)
    for _, field in ipairs(reference.options(item, i) or {}) do
      if reference.class(param.type:match "^[%w_.-]*") then
        add_field(lines, { name = "  " .. field.name, optional = field.optional,
          type = field.type, doc = field.doc })
      end
    end
  end
end

local function of_function(item)
  local lines = { title_of(item) }
  add_blocks(lines, item.doc)
  add_params(lines, item)
  return table.concat(lines, "\n")
end

-- Lists the names in each of the tables, given as {title, table}; no line is longer than WIDTH.
local function of_names(lines, ...)
  for _, part in ipairs { ... } do
    local names = options.keys(part[2])
    if #names > 0 then
      add_wrapped(lines, ("  %-10s "):format(part[1]), table.concat(names, " "), 13)
    end
  end
  return table.concat(lines, "\n")
end

local function of_class(class)
  local lines = { class.name .. (class.parent and ", a " .. class.parent or "") }
  add_blocks(lines, class.doc)
  add_fields(lines, class.fields)
  return of_names(lines, { "methods:", reference.members(class).methods })
end

-- ---- boards -------------------------------------------------------------------------------------

local function of_board(name)
  local board = boards.load(name)
  local lines = { ("board '%s': %s"):format(name, board.description or "") }
  for _, key in ipairs(options.keys(board.options or {})) do
    local option = board.options[key]
    local own = type(option) == "table" and option or { default = option }
    local default = own.default ~= nil and " = " .. tostring(own.default) or ""
    add_field(lines, { name = key, type = (own.kind or type(own.default)) .. default,
      doc = own.doc or "" })
  end
  return table.concat(lines, "\n")
end

local function is_board(name)
  for _, board in ipairs(lunik.boards()) do
    if board == name then return true end
  end
  return false
end

-- ---- commands of the monitor --------------------------------------------------------------------

local function of_command(name)
  local commands = require("lunik.hmp.monitor").commands()
  local command = commands[name]
  return command and ("%s %s\n  %s (a line at the prompt, or m:hmp)"):format(command.name,
    command.params or "", command.help)
end

-- ---- subjects -----------------------------------------------------------------------------------

-- Returns all that is known about a name, a list of texts.
local function about(name)
  local texts = {}
  local function add(text) texts[#texts + 1] = text end
  if core.type(name) then add(type_text.help(core.type(name), WIDTH)) end
  if is_board(name) then add(of_board(name)) end
  local event = reference.class("event." .. name)
  if event then add(of_class(event)) end
  local class = reference.class(name)
  if class then add(of_class(class)) end
  local item = reference.named(name)
  for _, found in ipairs(item and { item } or reference.functions(name)) do
    add(of_function(found))
  end
  local command = of_command(name)
  if command then add(command) end
  return texts
end

--- Whether something is known about a name.
function help_text.knows(name) return #about(name) > 0 end

--- Returns the text about a name: of a type, a board, an event, a function, a class, a command.
function help_text.of_name(name)
  local texts = about(name)
  if #texts > 0 then return table.concat(texts, "\n\n") end
  local known = reference.names()
  for _, names in ipairs { core.types(), require("lunik.event").known, lunik.boards() } do
    for _, other in ipairs(names) do known[other] = true end
  end
  options.fail("not-found", "help: nothing is known about '%s'%s", name,
    options.hint(name, options.keys(known)))
end

-- Returns the whole name of a function of the API ("Machine:wait"), or nil.
local function name_of(fn)
  for name, value in pairs(lunik) do
    if value == fn then return "lunik." .. name end
  end
  for class, parts in pairs(core.classes) do
    for name, value in pairs(parts.methods) do
      if value == fn then return class .. ":" .. name end
    end
  end
  for _, module in pairs(package.loaded) do
    for _, class in pairs(type(module) == "table" and module ~= _G and module or {}) do
      local full = type(class) == "table" and rawget(class, "__name")
      for name, value in pairs(type(full) == "string" and full:find "^lunik%." and class or {}) do
        if value == fn then return full:sub(7) .. ":" .. name end
      end
    end
  end
end

local function of_module()
  local functions, fields = {}, {}
  for name, value in pairs(lunik) do
    (type(value) == "function" and functions or fields)[name] = value
  end
  return of_names({ "lunik " .. lunik.version }, { "functions:", functions },
    { "fields:", fields })
end

--- Returns the text about a value.
function help_text.of_value(v)
  if v == lunik then return of_module() end
  if type(v) == "function" then
    local item = reference.named(name_of(v) or "")
    return item and of_function(item) or inspect(v)
  elseif inspect.properties(v) then
    return type_text.help(lunik.type(v.type), WIDTH)
  end
  local class = inspect.class(v)
  if not class then return inspect(v) end
  return of_names({ tostring(v) }, { "methods:", class.methods }, { "fields:", class.getters })
end

return help_text
