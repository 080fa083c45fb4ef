--- The human monitor: commands as people type them in QEMU's monitor, answered with text.
--
-- A command is a table: name; alias, another name; params, shown by help after it; help, one line;
-- run = function(monitor, args), which takes its arguments to the end, then prints with
-- monitor:print() or raises an error. Without params there are no arguments.

local arguments = require "lunik.hmp.arguments"
local options = require "lunik.options"

local Monitor = {}
Monitor.__index = Monitor

local monitor = {}

-- Lists of commands, in the order of help; loaded when the first monitor is made.
local MODULES = { "control", "objects", "memory" }
local INFO_MODULES = { "info_machine", "info_memory", "info_cpu", "info_devices", "info_tree" }

local commands, info -- lists that also have each command by its names

local function load(modules)
  local all = {}
  for _, name in ipairs(modules) do
    for _, command in ipairs(require("lunik.hmp." .. name)) do
      all[#all + 1] = command
      for _, key in ipairs { command.name, command.alias } do all[key] = command end
    end
  end
  table.sort(all, function(a, b) return a.name < b.name end)
  return all
end

-- ---- printing ----------------------------------------------------------------------------------

--- Prints a line.
function Monitor:print(format, ...)
  self.lines[#self.lines + 1] = select("#", ...) > 0 and format:format(...) or format
end

--- Returns the vCPU that commands are about.
function Monitor:vcpu()
  return self.machine:cpu(self.cpu)
end

-- ---- help --------------------------------------------------------------------------------------

local function help_line(prefix, command)
  local name = prefix .. command.name .. (command.alias and "|" .. command.alias or "")
  return ("%s %s -- %s"):format(name, command.params or "", command.help)
end

local function help(self, args)
  local name = args:word()
  local sub = name == "info" and args:word()
  local list, prefix = commands, ""
  if name == "info" and not sub then
    for _, command in ipairs(info) do self:print(help_line("info ", command)) end
    return
  elseif sub then
    list, prefix, name = info, "info ", sub
  end
  if name and not list[name] then
    self:print("unknown command: '%s%s'", prefix, name)
    return
  end
  for _, command in ipairs(name and { list[name] } or list) do
    self:print(help_line(prefix, command))
  end
end

local HELP = {
  name = "help", alias = "?", params = "[cmd]", help = "show the help", run = help,
}

local INFO = {
  name = "info", params = "[subcommand]", help = "show various information about the system state",
}

function INFO.run(self, args)
  local name = args:word()
  local command = name and info[name]
  if not name then
    help(self, arguments.new "info")
  elseif not command then
    self:print("unknown command: 'info %s'", name)
  else
    if not command.params then args:finish() end
    command.run(self, args)
  end
end

-- ---- running -----------------------------------------------------------------------------------

local function load_all()
  if commands then return end
  info = load(INFO_MODULES)
  commands = load(MODULES)
  for _, command in ipairs { HELP, INFO } do
    commands[#commands + 1], commands[command.name] = command, command
  end
  commands["?"] = HELP
  table.sort(commands, function(a, b) return a.name < b.name end)
end

-- Registers of the vCPU for expressions: "rip" or "eip", "cs", ...
local function registers(self)
  return function(name)
    local long = name:gsub("^e(%l%l)$", "r%1"):gsub("^eflags$", "rflags")
    local ok, value = pcall(function() return self:vcpu():reg(long) end)
    if ok then return name:find "^e%l%l$" and value & 0xffffffff or value end
    options.fail("not-found", "'$%s' is not a register, or there is no vCPU", name)
  end
end

local function run(self, line)
  -- x/10i and p/x: a format follows the name without a space.
  local name, text = line:match "^%s*([%w_?-]+)(.*)$"
  local command = name and commands[name]
  if not command then
    self:print("unknown command: '%s'", line:match "^%s*(%S*)")
    return
  end
  local args = arguments.new(text, registers(self))
  if not command.params then args:finish() end
  command.run(self, args)
end

--- Runs a command line; returns what it prints: lines, each with its end. An error is printed as
-- "Error: ...". cpu: index of the vCPU that it is about (nil: the one selected).
function Monitor:run(line, cpu)
  if line:find "^%s*$" then return "" end
  local outer, selected = self.lines, self.cpu
  self.lines, self.cpu = {}, cpu or selected
  local ok, err = pcall(run, self, line)
  if cpu then self.cpu = selected end
  if not ok then
    local message = type(err) == "table" and err.message or tostring(err)
    self:print("Error: %s", message)
  end
  local text = #self.lines > 0 and table.concat(self.lines, "\n") .. "\n" or ""
  self.lines = outer
  return text
end

--- Returns a monitor of a machine.
function monitor.new(m)
  load_all()
  return setmetatable({ machine = m, cpu = 0 }, Monitor)
end

--- Returns the lists of commands and of what `info` shows.
function monitor.commands()
  load_all()
  return commands, info
end

return monitor
