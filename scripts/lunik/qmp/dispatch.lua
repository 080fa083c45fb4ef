--- The table of commands, and how one is called.

local core = require "lunik.core"
local arguments = require "lunik.qmp.arguments"
local failure = require "lunik.qmp.failure"
local json = require "lunik.json"

local dispatch = {}

--- name -> {name=, args=, returns=, run = function(m, args, monitor), oob=, features=}
dispatch.commands = {}

--- The same, by name.
function dispatch.sorted()
  local list = {}
  for _, command in pairs(dispatch.commands) do list[#list + 1] = command end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local loaded = false
local areas = { "machine", "monitor", "object", "device", "memory", "cpu", "chardev", "pci",
  "block", "net", "balloon", "migration", "stats", "dump" }

local function load()
  if loaded then return end
  loaded = true
  for _, area in ipairs(areas) do
    for _, command in ipairs(require("lunik.qmp.commands." .. area)) do
      dispatch.commands[command.name] = command
    end
  end
end

--- The version that QEMU's clients are told, and Lunik's own.
function dispatch.version()
  return { qemu = { major = 7, minor = 2, micro = 0 }, package = "lunik " .. core.version }
end

local function find(name)
  load()
  local command = dispatch.commands[name]
  if not command then
    failure.raise("CommandNotFound", "The command %s has not been found", name)
  end
  return command
end

--- Whether a command may be given with exec-oob; an unknown one is refused later.
function dispatch.is_oob(name)
  load()
  local command = dispatch.commands[name]
  return not command or command.oob
end

--- Fails unless there is such a command and these are its arguments; returns it.
function dispatch.check(name, args)
  local command = find(name)
  arguments.check(args, command.args or {})
  return command
end

--- Carries out a command; monitor: where it came from, nil: a script.
function dispatch.call(m, name, args, monitor)
  local result = dispatch.check(name, args).run(m, args, monitor)
  if result == nil then return setmetatable({}, json.Object) end
  return result
end

return dispatch
