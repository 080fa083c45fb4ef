--- Evaluates what is typed at a prompt: Lua, words such as "quit", commands of QEMU's monitor.

local core = require "lunik.core"
local help_text = require "lunik.command.help_text"
local inspect = require "lunik.inspect"
local lua_line = require "lunik.command.lua_line"
local monitor_line = require "lunik.command.monitor_line"
local terminal = require "lunik.prompt.terminal"

local evaluation = {}

-- ---- chunks ------------------------------------------------------------------------------------

-- Whether a syntax error is that the text is incomplete. A method without arguments is not counted:
-- arguments do not go on a line of their own.
local function at_end(err)
  return err:sub(-5) == "<eof>" and not err:find("function arguments expected", 1, true)
end

--- Compiles an expression or else a statement. Returns the function, or nil, the error, and whether
-- more text could complete it.
function evaluation.compile(text, env)
  env = env or _G
  local chunk, err = load("return " .. text, "=stdin", "t", env)
  if chunk then
    -- Avoids a tail call, after which errors would lack the typed line.
    return load("local __line <close> = nil return " .. text, "=stdin", "t", env)
  end
  local expression_begun = at_end(err)
  chunk, err = load(text, "=stdin", "t", env)
  return chunk, err, err and (expression_begun or at_end(err))
end

-- ---- words -------------------------------------------------------------------------------------

-- Shows a text that may be long.
local function page(text)
  local t = terminal.current();
  (t and t.page or print)(text)
end

local function quit() end
evaluation.quit = quit

local words = { help = "help", ["?"] = "help", quit = quit, exit = quit }

-- Returns the function of "help WORD", which is no Lua.
local function help_about(word)
  return function()
    local value = not help_text.knows(word) and lua_line.resolve(word)
    _G.help(value or word)
  end
end

--- Returns the function of a line that is a command: words that are alone on a line, unless they
-- are globals that the user has set, and commands of the monitor; nil: it is Lua.
function evaluation.command(text)
  local word = text:match "^%s*([%l?]+)%s*$" or text:match "^%s*(%l+)%(%)%s*$"
  local global = rawget(_G, word)
  if word and words[word] and (global == nil or word == "help" and global == evaluation.help) then
    return words[word] == "help" and evaluation.help or words[word]
  end
  local subject = text:match "^%s*help%s+([%a_][%w_.:-]*)%s*$"
  if subject and global == nil then return help_about(subject) end
  if monitor_line.is_command(text) then
    return function()
      local answer = monitor_line.run(text)
      if answer ~= "" then page(answer) end
    end
  end
end

-- ---- values ------------------------------------------------------------------------------------

-- Whether the text is valid UTF-8 without control characters.
local function is_plain(text)
  return utf8.len(text) and not text:find "[^%C\t\n]" and not text:find "\xc2[\x80-\x9f]"
end

-- Shows a text of several lines as it is, any other value by inspect.readable().
local function show_value(v)
  local text = type(v) == "string" and v:gsub("\r\n", "\n"):gsub("\n$", "")
  return text and text:find("\n", 1, true) and is_plain(text) and text or inspect.readable(v)
end

--- Returns the text that shows values, or nil if there are none.
function evaluation.shown(...)
  local shown = table.pack(...)
  for i = 1, shown.n do shown[i] = show_value(shown[i]) end
  return shown.n > 0 and table.concat(shown, "\t") or nil
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
  help(m)  help(m.wait)           methods of a value, what a function does
  help "pc-dimm"  help "acpi-ost" types, events, boards, classes, functions by name
  help(lunik)  lunik.types()      the module's functions, all types
  m:console():attach()            the guest's console; Ctrl-] comes back
  hexdump(m:read(0x1000, 64), 0x1000)
  watch(1, fn)  watch(1, "info status")   shows a value every second until Ctrl-C
  reload()                        runs the script or the board file again
Commands of QEMU's monitor, for the machine m: info mtree -f, device_add pc-dimm,...,
x /4gx 0x1000; help info lists what info shows.
Names keep their values from line to line unless they are local.
Tab completes names; Ctrl-R searches the history; Ctrl-C interrupts; quit or Ctrl-D leaves.]]

--- help(), help(value), help "name"
function evaluation.help(...)
  local v = ...
  if select("#", ...) == 0 then
    page(HELP)
  elseif type(v) == "string" then
    page(help_text.of_name(v))
  else
    page(help_text.of_value(v))
  end
end

--- Returns the text of an error, for people.
function evaluation.error_text(err)
  return require "lunik.command.prompt_error"(core.text(err))
end

return evaluation
