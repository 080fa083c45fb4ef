--- Lines at the prompt that are commands of QEMU's monitor: "info mtree -f", "x /4gx 0x1000".

local core = require "lunik.core"
local lunik = require "lunik"
local monitor = require "lunik.hmp.monitor"

local monitor_line = {}

-- Returns the command that the line's first word names, and what follows.
local function command_of(line)
  local name, rest = line:match "^%s*([%w_?-]+)(.*)$"
  local command = name and monitor.commands()[name]
  return command, rest, name
end

local function is_lua(line)
  for _, prefix in ipairs { "return ", "" } do
    local chunk, err = load(prefix .. line, "=stdin")
    if chunk or err:sub(-5) == "<eof>" then return true end
  end
  return false
end

--- Whether the line is a command: its first word names one, and it is no Lua, or only a name that
-- has no value.
function monitor_line.is_command(line)
  local command, rest, name = command_of(line)
  if not command or rest:find "^%s*[=.:(%[,]" then return false end
  if not is_lua(line) then return true end
  return rest:find "^%s*$" and #name > 1 and name == command.name and rawget(_G, name) == nil
end

--- Returns the machine that commands are for: the global m, or else the oldest one.
function monitor_line.machine()
  local m = rawget(_G, "m")
  if core.is_a(m, "lunik.Machine") and m.state ~= "closed" then return m end
  return lunik.machines()[1]
end

--- Runs a command; returns what it prints, without the last end of line.
function monitor_line.run(line)
  local m = monitor_line.machine()
  if not m then
    error(lunik.error("not-found", ("%s: there is no machine (want m = lunik.machine { ... })")
      :format(line:match "%S+")), 0)
  end
  return (m:hmp(line):gsub("\n$", ""))
end

--- Adds the names of commands to a set.
function monitor_line.add_names(names)
  for _, command in ipairs((monitor.commands())) do names[command.name] = true end
end

--- Returns the candidates at the end of a line that can only be a command, and what is typed of
-- them; nil: it can be Lua.
function monitor_line.complete(line)
  local command, rest = command_of(line)
  if not command or not rest:find "^%s" then return nil end
  local name = line:match "^%s*([%w_]+)%s+$"
  if name and rawget(_G, name) ~= nil or not name and is_lua(line) then return nil end
  local ok, hmp = pcall(require, "lunik.hmp.line")
  local names = {}
  if not ok then return names, "", true end
  local list, from = hmp.complete(monitor_line.machine(), line, #line)
  for _, word in ipairs(list) do names[word] = true end
  return names, line:sub(from), true
end

return monitor_line
