--- Globals of prompts besides those of scripts: help, hexdump, machines, reload, watch.

local core = require "lunik.core"
local lunik = require "lunik"
local evaluation = require "lunik.command.evaluation"
local monitor_line = require "lunik.command.monitor_line"
local options = require "lunik.options"
local terminal = require "lunik.prompt.terminal"

local prompt_globals = {}

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

--- Prints the machines that a script has made, if there are some.
function prompt_globals.list_machines()
  if _G.machines == machines and #machines > 0 then print(machines) end
end

-- ---- memory ------------------------------------------------------------------------------------

local PER_LINE = 16

local function hex_line(data, at, address)
  local part = data:sub(at, at + PER_LINE - 1)
  local hex = part:gsub(".", function(c) return ("%02x "):format(c:byte()) end)
  hex = hex:sub(1, 24) .. " " .. hex:sub(25)
  return ("%016x  %-49s |%s|"):format(address + at - 1, hex, (part:gsub("[^\32-\126]", ".")))
end

--- Prints bytes in hexadecimal and as text; address: what the first one is shown as.
local function hexdump(data, address)
  if type(data) ~= "string" then options.value("hexdump: data", data, "string") end
  address = options.value("hexdump: address", address or 0, "address")
  for at = 1, #data, PER_LINE do print(hex_line(data, at, address)) end
end

-- ---- views -------------------------------------------------------------------------------------

local function show_view(fn)
  local text
  if type(fn) == "string" then
    text = monitor_line.run(fn)
  else
    text = evaluation.shown(fn())
  end
  local t = terminal.current()
  if t and t.interactive then t.clear() end
  if text then print(text) end
end

--- Shows what fn returns, or what a command of the monitor prints, every so many seconds.
local function watch(seconds, fn)
  options.value("watch: seconds", seconds, "seconds")
  if type(fn) ~= "string" then options.value("watch: function", fn, "function") end
  while true do
    show_view(fn)
    lunik.sleep(math.max(seconds, 0.05))
  end
end

-- ---- scripts -----------------------------------------------------------------------------------

local started = {} -- what set_started() has been given

-- Returns what a script returns, run anew.
local function run_again(path)
  options.value("reload: path", path, "string")
  local chunk, err = loadfile(path)
  if not chunk then options.fail("invalid", "reload: %s", core.text(err)) end
  return chunk(table.unpack(rawget(_G, "arg") or {}))
end

-- Runs the script again, or another one; makes the machine of a board anew. Returns what the script
-- returns, or the machine.
local function reload(path)
  path = path or started.script
  if not path and not started.board then
    options.fail("state", "reload: no script has been run (want reload \"FILE\")")
  end
  local result
  if path then
    result = run_again(path)
  else
    result = require("lunik.board_loader").load(started.board)
  end
  if started.start_board and started.is_board(result) then return started.start_board(result) end
  if result ~= nil then return result end
end

--- Sets what reload() starts again: script (a path) or board (a name); and what it does with a
-- board: is_board(value), start_board(board), which replaces m.
function prompt_globals.set_started(what) started = what end

--- Sets the globals, as far as the script has not taken their names.
function prompt_globals.offer()
  _G.help = evaluation.help
  local globals = { machines = machines, hexdump = hexdump, watch = watch, reload = reload }
  for name, value in pairs(globals) do
    if rawget(_G, name) == nil then _G[name] = value end
  end
end

return prompt_globals
