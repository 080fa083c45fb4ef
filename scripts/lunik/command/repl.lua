-- The prompt: reads lines while the machines run, evaluates them, shows their values.
local core = require "lunik.core"
local lineedit = require "lunik.lineedit"
local host = require "lunik.host"
local lunik = require "lunik"
local above = require "lunik.command.prompt_output"
local complete = require "lunik.command.complete"
local inspect = require "lunik.inspect"
local mistake = require "lunik.command.prompt_error"
local sandbox_paths = require "lunik.sandbox_paths"
local type_text = require "lunik.type_text"

local repl = {}

local PROMPT, MORE, WIDTH = "lunik> ", "    >> ", 79

-- ---- evaluation --------------------------------------------------------------------------------

-- Whether a syntax error is that the text is incomplete. A method without arguments is not counted:
-- arguments do not go on a line of their own.
local function at_end(err)
  return err:sub(-5) == "<eof>" and not err:find("function arguments expected", 1, true)
end

-- Compiles an expression or else a statement. Returns the function, or nil, the error, and whether
-- more text could complete it.
local function compile(text)
  local chunk, err = load("return " .. text, "=stdin")
  if chunk then
    -- Avoids a tail call, after which errors would lack the typed line.
    return load("local __line <close> = nil return " .. text, "=stdin")
  end
  local expression_begun = at_end(err)
  chunk, err = load(text, "=stdin")
  return chunk, err, err and (expression_begun or at_end(err))
end

local function report(err)
  io.stdout:flush()
  io.stderr:write(mistake(core.text(err)), "\n")
end

-- Whether the text is valid UTF-8 without control characters.
local function is_plain(text)
  return utf8.len(text) and not text:find "[^%C\t\n]" and not text:find "\xc2[\x80-\x9f]"
end

-- Shows a text of several lines as it is, any other value by inspect().
local function show_value(v)
  local text = type(v) == "string" and v:gsub("\r\n", "\n"):gsub("\n$", "")
  return text and text:find("\n", 1, true) and is_plain(text) and text or inspect(v)
end

local function show(ok, ...)
  if not ok then
    return report((...))
  end
  local shown = table.pack(...)
  for i = 1, shown.n do
    shown[i] = show_value(shown[i])
  end
  if shown.n > 0 then
    print(table.concat(shown, "\t"))
  end
end

-- Ctrl-C raises an error in functions wrapped by interruptibly(); elsewhere in the prompt it is
-- ignored.
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

-- ---- help --------------------------------------------------------------------------------------

local HELP = [[
Lua expressions and statements; the value of an expression is shown.
  m = lunik.machine { board = "pc", memory = "512M", serial = "buffer" }
  m:start()                       machines run while the prompt waits
  m:objects()  m:object("dimm1")  objects and their properties
  m:on("acpi-ost", print)         events
  m:mtree()  m:memory_map()       what is where
  machines  machines[1]           all machines, also those that are local to a script
  help(m)  help("pc-dimm")        methods of a value, properties of a type
  help(lunik)  lunik.types()      the module's functions, all types
Names keep their values from line to line unless they are local.
Tab completes names; Ctrl-C interrupts; quit or Ctrl-D leaves.]]

local function help_type(name)
  return type_text.help(lunik.type(name), WIDTH)
end

-- Lists the names in each of the tables, given as {title, table}; no line is longer than WIDTH.
local function help_names(lines, ...)
  local function section(title, t)
    local names = {}
    for name in pairs(t) do
      table.insert(names, name)
    end
    table.sort(names)
    local line = ("  %-10s"):format(title)
    for _, name in ipairs(names) do
      if #line + 1 + #name > WIDTH then
        table.insert(lines, line)
        line = ("  %-10s"):format ""
      end
      line = line .. " " .. name
    end
    if #names > 0 then
      table.insert(lines, line)
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

-- ---- machines ----------------------------------------------------------------------------------

-- Returns the open machines by number and by name.
local function current()
  local all = lunik.machines()
  for _, machine in ipairs(lunik.machines()) do
    all[machine.name] = all[machine.name] or machine
  end
  return all
end

-- The global `machines`, which also reaches machines in local variables of a script.
local machines = setmetatable({}, {
  __index = function(_, key) return current()[key] end,
  __newindex = function() error("machines can't be set (want m = lunik.machine{...})", 2) end,
  __len = function() return #lunik.machines() end,
  __pairs = function() return pairs(current()) end,
  __tostring = function()
    local lines = {}
    for i, machine in ipairs(lunik.machines()) do
      lines[i] = ("machines[%d]  %s"):format(i, machine)
    end
    return lines[1] and table.concat(lines, "\n") or "no machines"
  end,
})

-- Sets the global, unless that name is taken; say: lists the machines that a script has made.
local function offer_machines(say)
  if rawget(_G, "machines") == nil then
    _G.machines = machines
  end
  if say and _G.machines == machines and #machines > 0 then
    print(machines)
  end
end

-- ---- the terminal ------------------------------------------------------------------------------

local function on_terminal()
  return host.isatty(0) and host.isatty(1)
end

-- Refuses standard input as a machine's console from now on, since the prompt reads it. A script
-- can set lunik.share_terminal to allow it.
function repl.take_terminal()
  if on_terminal() then
    above.begin()
  end
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

-- ---- history -----------------------------------------------------------------------------------

local function history_file()
  local home = os.getenv("HOME")
  return os.getenv("LUNIK_HISTORY") or home and home .. "/.lunik_history"
end

local unsaved = false

-- Each entry is saved at once: the terminal may be closed, or the process killed, at any time.
local function add_history(text)
  local trouble = lineedit.add_history(text)
  if trouble and not unsaved then
    unsaved = true
    report(("lunik: the history can't be saved to '%s': %s"):format(history_file(), trouble))
  end
end

-- ---- the loop ----------------------------------------------------------------------------------

-- Commands: words that are alone on a line, unless they are globals that the user has set.
local words = { help = help, ["?"] = help, quit = function() end, exit = function() end }

local function command(text)
  local word = text:match "^%s*([%l?]+)%s*$" or text:match "^%s*(%l+)%(%)%s*$"
  local global = rawget(_G, word)
  return (global == nil or global == help) and words[word] or nil
end

-- Reads lines until the chunk that begins with text is complete.
local function read_rest(text, newline)
  while true do
    local chunk, err, more = compile(text)
    if not more then
      add_history(text)
      if not chunk then
        report(err)
      end
      return chunk or false
    end
    local line = lineedit.read(MORE, complete)
    if not line then
      newline()
      if line == nil then
        report(err)
      end
      return false
    end
    text = text .. "\n" .. line
  end
end

-- Reads one chunk, which may take several lines. Returns the function; nil at the end of the
-- input; false when there is nothing to do (interrupted, or a syntax error that has been shown).
-- newline() ends a line that the user has not ended.
local function read_chunk(newline)
  local text = lineedit.read(PROMPT, complete)
  if not text then
    newline()
    return text
  end
  local chunk = command(text)
  if not chunk then
    return read_rest(text, newline)
  end
  add_history(text)
  if chunk == help then
    return chunk
  end
end

local function end_line()
  io.stdout:write("\n")
end

-- Reads a chunk from a terminal, as read_chunk() does, while handlers may print.
local function read_beside_handlers()
  local ok, chunk = end_interruptible(above.call(interruptibly(function()
    return read_chunk(end_line)
  end)))
  if ok then
    return chunk
  end
  end_line()
  if core.text(chunk) ~= "interrupted!" then
    report(chunk)
  end
  return false
end

local function read_from_pipe()
  return read_chunk(function() end)
end

-- Runs the prompt until its input ends. on_signals(may_interrupt) sets the effect of SIGINT: it
-- raises an error in the running code if may_interrupt() is true; without that function it ends the
-- command.
function repl.run(options)
  local read = read_from_pipe
  _G.help = help
  options.on_signals(may_interrupt)
  if on_terminal() then
    print(("Lunik %s (%s). help helps, quit or Ctrl-D leaves."):format(host.version, _VERSION))
    read = read_beside_handlers
    if history_file() then
      lineedit.open_history(history_file())
      sandbox_paths.name("write", history_file()) -- opened again when another prompt replaces it
    end
  end
  offer_machines(on_terminal())
  while true do
    local chunk = read()
    if chunk == nil then
      break
    elseif chunk then
      evaluate(chunk, options.handler)
    end
  end
  lineedit.close()
  options.on_signals()
  return 0
end

return repl
