--- Lines at the prompt that are commands of QEMU's monitor: "info mtree -f", "x /4gx 0x1000".

local core = require "lunik.core"
local lunik = require "lunik"
local hmp_line = require "lunik.hmp.line"
local monitor = require "lunik.hmp.monitor"

local monitor_line = {}

local function has_value(name) return rawget(_G, name) ~= nil end

--- Whether the line is a command; a letter alone is not, it is more often a variable.
function monitor_line.is_command(line)
  return not line:find "^%s*%a%s*$" and hmp_line.is_command(line, has_value)
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

--- Returns the candidates at the end of a line that is a command, and what is typed of them; nil:
-- it is none, or still its first word.
function monitor_line.complete(line)
  if not line:find "^%s*[%a?][%w_/-]*%s" or not monitor_line.is_command(line) then return nil end
  local list, from = hmp_line.complete(monitor_line.machine(), line)
  local names = {}
  for _, word in ipairs(list) do names[word] = true end
  return names, line:sub(from), true
end

return monitor_line
