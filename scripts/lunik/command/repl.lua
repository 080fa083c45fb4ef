-- The prompt: reads lines while the machines run, evaluates them, shows their values.
local core = require "lunik.core"
local lineedit = require "lunik.lineedit"
local host = require "lunik.host"
local lunik = require "lunik"
local above = require "lunik.command.prompt_output"
local complete = require "lunik.command.complete"
local evaluation = require "lunik.command.evaluation"
local history_file = require "lunik.command.history_file"
local pager = require "lunik.command.pager"
local prompt_globals = require "lunik.command.prompt_globals"
local reference = require "lunik.command.reference"
local sandbox_paths = require "lunik.sandbox_paths"
local terminal = require "lunik.prompt.terminal"

local repl = {}

local PROMPT, MORE = "lunik> ", "    >> "

-- ---- evaluation --------------------------------------------------------------------------------

local function report(err)
  io.stdout:flush()
  local first, rest = evaluation.error_text(err):match "^([^\n]*)(.*)$"
  io.stderr:write(pager.paint(2, "31", first), rest, "\n")
end

local function show(ok, ...)
  local text
  if ok then
    text = evaluation.shown(...)
  else
    report((...))
  end
  if text then pager.print(text) end
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

-- ---- the terminal ------------------------------------------------------------------------------

local function on_terminal()
  return host.isatty(0) and host.isatty(1)
end

-- The main prompt's terminal, for those who show views or hand keys on.
local function set_terminal()
  terminal.set_main {
    interactive = on_terminal(),
    write = function(text)
      io.stdout:write(text)
      io.stdout:flush()
    end,
    page = pager.print,
    clear = function() io.stdout:write "\27[H\27[J" end,
    keys = lineedit.keys, stop_keys = lineedit.end_keys,
  }
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

-- Reads lines until the chunk that begins with text is complete.
local function read_rest(text, newline)
  while true do
    local chunk, err, more = evaluation.compile(text)
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
  local chunk = evaluation.command(text)
  if not chunk then
    return read_rest(text, newline)
  end
  add_history(text)
  if chunk ~= evaluation.quit then
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
  prompt_globals.offer()
  if reference.folder() then
    sandbox_paths.name("read", reference.folder())
  end
  options.on_signals(may_interrupt)
  if on_terminal() then
    print(("Lunik %s (%s). help helps, quit or Ctrl-D leaves."):format(host.version, _VERSION))
    read = read_beside_handlers
    if history_file() then
      lineedit.open_history(history_file())
      sandbox_paths.name("write", history_file()) -- opened again when another prompt replaces it
    end
  end
  if on_terminal() then
    prompt_globals.list_machines()
  end
  set_terminal()
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
