-- The prompt: reads lines while the machines run, evaluates them, shows what they give.
local core = require "lunik.core"
local lineedit = require "lunik.lineedit"
local host = require "lunik.host"
local lunik = require "lunik"
local inspect = require "lunik.inspect"

local repl = {}

local PROMPT, MORE = "lunik> ", "    >> "

-- ---- evaluation --------------------------------------------------------------------------------

local function at_end(err)
  return err:sub(-5) == "<eof>"
end

-- Compiles an expression or else a statement: the function, or what is wrong with it and whether
-- more text could make it right.
local function compile(text)
  local chunk, err = load("return " .. text, "=stdin")
  if chunk then
    return chunk
  end
  local expression_begun = at_end(err)
  chunk, err = load(text, "=stdin")
  return chunk, err, err and (expression_begun or at_end(err))
end

local function report(err)
  io.stdout:flush()
  io.stderr:write(tostring(err), "\n")
end

local function show(ok, ...)
  if not ok then
    return report((...))
  end
  local shown = table.pack(...)
  for i = 1, shown.n do
    shown[i] = inspect(shown[i])
  end
  if shown.n > 0 then
    print(table.concat(shown, "\t"))
  end
end

-- Ctrl-C raises an error in what runs below, and means nothing to the prompt's own steps.
local interruptible = false

local function may_interrupt()
  local may = interruptible
  interruptible = false
  return may
end

local function end_interruptible(...)
  interruptible = false
  return ...
end

local function interruptibly(fn)
  return function()
    interruptible = true
    return end_interruptible(fn())
  end
end

local function evaluate(chunk, handler)
  show(end_interruptible(xpcall(interruptibly(chunk), handler)))
  io.stdout:flush()
end

-- ---- completion --------------------------------------------------------------------------------

-- The names that v.NAME or v:NAME could mean.
local function names_of(v, methods)
  local names = {}
  local function take(t)
    for name, value in pairs(t or {}) do
      if type(name) == "string" and (not methods or type(value) == "function") then
        names[name] = true
      end
    end
  end
  if type(v) == "table" then
    take(v)
    local meta = getmetatable(v)
    local index = type(meta) == "table" and rawget(meta, "__index")
    take(type(index) == "table" and index)
  elseif type(v) == "string" then
    take(string)
  end
  local class = inspect.class(v)
  if class then
    take(class.methods)
    take(not methods and class.getters)
  end
  for _, property in ipairs(not methods and inspect.properties(v) or {}) do
    names[property.name:gsub("-", "_")] = true
  end
  return names
end

-- The value that "a.b.c" names, without calling anything but field access.
local function resolve(path)
  local v = _G
  for name in path:gmatch("[^.:]+") do
    local ok, field = pcall(function() return v[name] end)
    if not ok or field == nil then
      return nil
    end
    v = field
  end
  return v
end

local function quoted_candidates()
  local names = {}
  for _, machine in ipairs(lunik.machines()) do
    for _, object in ipairs(machine:objects()) do
      names[object.id] = true
    end
  end
  for _, type_name in ipairs(lunik.types()) do
    names[type_name] = true
  end
  return names
end

-- For lineedit: the words that could stand for `word`, the last one of `line`. Inside quotes these
-- are the ids of live objects and the names of types.
local function complete(line, word)
  local names, prefix, start
  local before = line:sub(1, #line - #word)
  if before:match("[\"']$") then
    names, prefix, start = quoted_candidates(), "", word
  else
    local path, separator
    path, separator, start = word:match("^(.*)([.:])([%w_]*)$")
    if path then
      names, prefix = names_of(resolve(path), separator == ":"), path .. separator
    else
      names, prefix, start = names_of(_G), "", word
    end
  end
  local words = {}
  for name in pairs(names) do
    if name:sub(1, #start) == start and name ~= "" then
      table.insert(words, prefix .. name)
    end
  end
  table.sort(words)
  return words
end
repl.complete = complete

-- ---- help --------------------------------------------------------------------------------------

local HELP = [[
Lua expressions and statements; the value of an expression is shown.
  m = lunik.machine { board = "pc", memory = "512M", serial = "buffer" }
  m:start()                       machines run while the prompt waits
  m:objects()  m:object("dimm1")  objects and their properties
  m:on("acpi-ost", print)         events
  help(m)  help("pc-dimm")        methods of a thing, properties of a type
  help(lunik)  lunik.types()      the module's functions, all types
  Tab completes names; Ctrl-C interrupts; Ctrl-D leaves.]]

local function help_type(name)
  local info = lunik.type(name)
  local lines = { name .. ": " .. (info.doc or "") }
  for _, p in ipairs(info.props) do
    local kind = tostring(p.kind)
    if p.default ~= nil then
      kind = kind .. " = " .. inspect(p.default)
    end
    table.insert(lines, ("  %-20s %-18s %s"):format(p.name, kind, p.doc or ""))
  end
  return table.concat(lines, "\n")
end

-- The names in each of the tables: {title, table}...
local function help_names(lines, ...)
  local function section(title, t)
    local names = {}
    for name in pairs(t) do
      table.insert(names, name)
    end
    table.sort(names)
    if #names > 0 then
      table.insert(lines, ("  %-10s %s"):format(title, table.concat(names, " ")))
    end
  end
  for _, part in ipairs { ... } do
    section(part[1], part[2])
  end
  return table.concat(lines, "\n")
end

local function help_class(v)
  local class = inspect.class(v)
  return help_names({ tostring(v) }, { "methods:", class.methods }, { "fields:", class.getters })
end

local function help_module()
  local functions, fields = {}, {}
  for name, value in pairs(lunik) do
    (type(value) == "function" and functions or fields)[name] = value
  end
  return help_names({ "lunik " .. lunik.version }, { "functions:", functions },
    { "fields:", fields })
end

local function help(...)
  local v = ...
  if select("#", ...) == 0 then
    print(HELP)
  elseif type(v) == "string" then
    print(help_type(v))
  elseif v == lunik then
    print(help_module())
  elseif inspect.properties(v) then
    print(help_type(v.type))
  elseif inspect.class(v) then
    print(help_class(v))
  else
    print(inspect(v))
  end
end

-- ---- the terminal ------------------------------------------------------------------------------

-- From now on a machine can't have standard input for its console: the prompt reads it. A script
-- that knows better sets lunik.share_terminal.
function repl.take_terminal()
  local methods = core.classes.Machine.methods
  local object_add = methods.object_add
  function methods.object_add(m, type_name, properties)
    if type_name == "chardev-stdio" and not lunik.share_terminal then
      error(lunik.error("busy", "chardev-stdio: the prompt reads standard input (want \"buffer\", "
        .. "\"pty\" or \"unix:PATH\", or lunik.share_terminal = true)"))
    end
    return object_add(m, type_name, properties)
  end
end

-- ---- the loop ----------------------------------------------------------------------------------

-- Reads one chunk, which may take several lines. Returns the function; nil at the end of the
-- input; false when there is nothing to do (interrupted, or a syntax error that has been shown).
local function read_chunk()
  local text = lineedit.read(PROMPT, complete)
  if not text then
    return text
  end
  while true do
    local chunk, err, more = compile(text)
    if not more then
      lineedit.add_history(text)
      if not chunk then
        report(err)
      end
      return chunk or false
    end
    local line = lineedit.read(MORE, complete)
    if line == nil then
      report(err)
    end
    if not line then
      return line
    end
    text = text .. "\n" .. line
  end
end

-- While the prompt waits, what handlers print goes above it.
local function print_above(original)
  return function(...)
    io.stdout:write("\r\27[K")
    original(...)
    io.stdout:flush()
    lineedit.redisplay()
  end
end

local function history_file()
  local home = os.getenv("HOME")
  return os.getenv("LUNIK_HISTORY") or home and home .. "/.lunik_history"
end

-- Runs the prompt until its input ends. on_signals(may_interrupt) chooses what SIGINT does: raise
-- an error in what runs, if may_interrupt() is true; without the function: end the command.
function repl.run(options)
  local on_terminal = host.isatty(0) and host.isatty(1)
  local history = on_terminal and history_file()
  local original_print = print
  _G.lunik, _G.help = lunik, help
  options.on_signals(may_interrupt)
  if on_terminal then
    print(("Lunik %s (%s). help() helps, Ctrl-D leaves."):format(host.version, _VERSION))
  end
  if history then
    lineedit.load_history(history)
  end
  while true do
    if on_terminal then
      _G.print = print_above(original_print)
    end
    local ok, chunk = end_interruptible(pcall(interruptibly(read_chunk)))
    _G.print = original_print
    if not ok or chunk == false then
      if on_terminal then
        print()
      end
    elseif chunk == nil then
      break
    else
      evaluate(chunk, options.handler)
    end
  end
  if history then
    lineedit.save_history(history)
  end
  if on_terminal then
    print()
  end
  lineedit.close()
  options.on_signals()
  return 0
end

return repl
