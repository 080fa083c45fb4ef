--- lunik-qemu: builds the machine of QEMU's command line, and runs it.
-- bindings/command/main.c calls main().

local core = require "lunik.core"
local host = require "lunik.host"
require "lunik"
local actions = require "lunik.qmp.actions"
local board = require "lunik.qemu.board"
local command_line = require "lunik.qemu.command_line"
local ending = require "lunik.ending"
local event = require "lunik.event"
local sandbox = require "lunik.sandbox"

local main = {}

local TERMINATED = { [2] = true, [15] = true } -- SIGINT, SIGTERM

-- ---- messages ----------------------------------------------------------------------------------

local program, timestamp = "lunik-qemu", false

local function complain(format, ...)
  local time = timestamp and os.date "!%Y-%m-%dT%H:%M:%S.000000Z " or ""
  io.stdout:flush()
  io.stderr:write(time, program, ": ", format:format(...), "\n")
end

-- ---- the end -----------------------------------------------------------------------------------

local pidfile

local function leave(code)
  ending.close_machines()
  require("lunik.observe").notify("exit", code)
  if pidfile then os.remove(pidfile) end
  host.detach()
  os.exit(code)
end

-- Ends the process from a handler of the loop, after what is to be done now.
local function leave_soon(m)
  event.state(m).quit_reason = "host-qmp-quit"
  core.timer(0, function() leave(0) end)
end

local function write_pidfile(path)
  local file, err = io.open(path, "w")
  if not file then command_line.fail("-pidfile %s: %s", path, err) end
  file:write(core.pid(), "\n")
  file:close()
  pidfile = path
end

-- A signal that arrives while handlers run waits for them.
local function set_signals()
  host.on_signal(function(signal)
    if not TERMINATED[signal] then return end
    for _, m in ipairs(core.machines()) do event.state(m).quit_reason = "host-signal" end
    complain("terminating on signal %d", signal)
    require("lunik").stop() -- so that closing does not wait for ever for a reader of output
    leave(0)
  end)
end

-- ---- monitors ----------------------------------------------------------------------------------

local function add_monitor(m, mode, id)
  local on_quit = function() leave_soon(m) end
  if mode == "control" then
    require("lunik.qmp.server").new { machine = m, chardev = id, on_quit = on_quit }
  elseif mode == "readline" then
    require("lunik.hmp.terminal").new(m, id, on_quit)
  else
    command_line.fail("-mon: mode: '%s' is not supported (want control or readline)", mode)
  end
end

local function add_monitors(m, plan)
  for i, item in ipairs(plan.monitors) do
    local id = board.short_chardev(m, item, ("compat_monitor%d"):format(i - 1))
    if id then command_line.checked(item.where, add_monitor, m, item.more, id) end
  end
  for _, item in ipairs(plan.mons) do
    command_line.checked(item.where, add_monitor, m, item.given.mode or "readline",
      item.given.chardev)
  end
end

-- ---- running -----------------------------------------------------------------------------------

local function set_sandbox(plan)
  if plan.sandbox == false then return end
  local policy = sandbox.parse("sandbox", { allow = { "files", "listen", "sockets" } })
  sandbox.at_start(function() return sandbox.for_script(policy) end, plan.sandbox == nil)
end

-- Ends the process when the machine has ended, unless it is to stay then.
local function watch(m, plan)
  actions.set(m, plan.actions)
  local function stays() return actions.of(m).shutdown == "pause" end
  m:on("crashed", function(ev)
    complain("the machine has crashed: %s", tostring(ev.message))
    if not stays() then core.timer(0, function() leave(1) end) end
  end)
  m:on("shutdown", function()
    if not stays() then core.timer(0, function() leave(m.exit_code) end) end
  end)
end

local function build(plan)
  local m = board.build(plan)
  if plan.emulated and not plan.no_board then
    complain("warning: -accel tcg: Lunik emulates no processors, so the guest will not run "
      .. "(want -accel kvm)")
  end
  watch(m, plan)
  add_monitors(m, plan)
  set_sandbox(plan)
  if plan.pidfile then write_pidfile(plan.pidfile) end
  if plan.daemonize then host.daemon_ready() end
  if not plan.stopped and not plan.no_board then m:start() end
end

-- Runs the loop until a handler ends the process.
local function stay()
  core.timer(1e9, function() end)
  while true do require("lunik").run() end
end

-- Whether an argument asks for a list; shows it.
local function shows_help(words)
  local help = require "lunik.qemu.help"
  for i = 1, #words - 1 do
    local text = help.of(words[i]:match "^%-%-?(.*)$", words[i + 1])
    if text then
      io.stdout:write(text)
      return true
    end
  end
end

local function run(words)
  if shows_help(words) then return 0 end
  local plan = command_line.parse(words)
  timestamp = plan.timestamp
  if plan.help or plan.version then
    local help = require "lunik.qemu.help"
    io.stdout:write(plan.help and help.options(program) or help.version())
    return 0
  end
  if plan.daemonize then host.daemonize() end
  host.attach()
  set_signals()
  build(plan)
  stay()
end

--- Carries out the command line argv (argv[0] is the command); returns the exit code.
function main.main(argv)
  program = argv[0]:match "[^/]*$"
  local ok, result = xpcall(run, function(err)
    if command_line.is_usage(err) then return err end
    local text = core.text(type(err) == "table" and err.message or err)
    return type(err) == "table" and err.code and text or debug.traceback(text, 2)
  end, argv)
  if ok then return result end
  complain("%s", tostring(result))
  ending.close_machines()
  if pidfile then os.remove(pidfile) end
  return 1
end

return main
