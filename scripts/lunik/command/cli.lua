-- The lunik command: runs the script, waits for its machines or runs the prompt; or runs another
-- command of the table of options.
-- bindings/command/main.c calls main().
local core = require "lunik.core"
local host = require "lunik.host"
local arguments = require "lunik.command.arguments"

local cli = {}

local ENOENT, SIGINT = 2, 2

-- ---- messages ----------------------------------------------------------------------------------

local function complain(message)
  io.stdout:flush()
  io.stderr:write("lunik: ", core.text(message), "\n")
end

local SKIPPED = 77 -- exit status of a test that can't be made here, as test runners have it

-- Errors that are shown without traceback: syntax errors, Ctrl-C.
local Plain = { __tostring = function(err) return err.message end }

local function plain(message)
  return setmetatable({ message = message }, Plain)
end

local function compiled(chunk, err)
  if not chunk then
    error(plain(err))
  end
  return chunk
end

-- Message handler: returns message and traceback, without the command's own frames.
local function with_traceback(err)
  local meta = getmetatable(err)
  if meta == Plain then
    return err.message
  elseif type(err) == "table" and rawget(err, "skipped") then -- by testing.skip()
    return err
  elseif type(err) == "string" or type(err) == "number"
    or type(meta) == "table" and meta.__tostring then
    local text = debug.traceback(core.text(err), 2)
    text = text:gsub("\n%s*%[C%]: in function 'xpcall'\n[^\n]*/lunik/[%a/]+%.lua:.*$", "")
    text = text:gsub("\n[^\n]*/lunik/command/repl%.lua:[^\n]*$", "")
    return (text:gsub("\n[^\n]*/lunik/command/cli%.lua:[^\n]*$", ""))
  end
  return ("(error object is a %s value)"):format(type(err))
end

-- Runs fn(...) and reports an error that it raises. Returns whether there was none, and fn's
-- result; a table if fn was skipped.
local function protected(fn, ...)
  local ok, result = xpcall(fn, with_traceback, ...)
  if not ok and type(result) == "table" then
    io.stderr:write(core.text(result), "\n")
  elseif not ok then
    require("lunik.observe").notify("error", nil, "the script", core.text(result))
    complain(result)
  end
  return ok, result
end

-- ---- the command line --------------------------------------------------------------------------

local bad_usage = arguments.fail
local LOGS = { rejected = true }

-- Returns the set of the names in the lists.
local function parse_logs(lists)
  local logs = {}
  for name in table.concat(lists or {}, ","):gmatch "[^,]+" do
    if not LOGS[name] then bad_usage("-d: '%s' can't be logged (want rejected)", name) end
    logs[name] = true
  end
  return logs
end

local function is_missing(name)
  local file, _, errno = io.open(name)
  if file then file:close() end
  return errno == ENOENT
end

-- Refuses a command that follows options, unless there is a script with that name.
local function check_late(name)
  if arguments.command(name) and is_missing(name) then
    bad_usage("'%s': the command goes first: lunik %s [options]", name, name)
  end
end

-- Refuses a first word that looks like a command's name, unless there is a script with that name.
local function check_first(name)
  local near = #name > 1 and core.suggest(name, arguments.commands())
  if near and is_missing(name) then
    bad_usage("'%s' is neither a file nor a command (did you mean 'lunik %s'?)", name, near)
  end
end

-- Returns the command's options, parsed: by key; script: its index, or nil; steps: {"execute" |
-- "modules", value}...; logs: a set.
local function parse(command, argv, first)
  local options = arguments.parse(command, argv, first)
  if options.rest and argv[first - 1] == command.name then
    arguments.parse_late(command, options, argv)
  end
  options.steps, options.settings = {}, options.settings or {}
  for _, pair in ipairs(options.given) do
    if pair[1] == "execute" or pair[1] == "modules" then table.insert(options.steps, pair) end
  end
  options.logs = parse_logs(options.logs)
  options.script = options.rest
  if options.script == 1 then
    check_first(argv[1])
  elseif options.script and options.script > first then
    check_late(argv[options.script])
  end
  return options
end

-- Makes the global `arg`: the script at 0, its arguments after it, the command and its options at
-- negative indexes.
local function make_arg(argv, script)
  local arg = {}
  for i = 0, #argv do
    arg[i - (script or 0)] = argv[i]
  end
  return arg
end

-- ---- running -----------------------------------------------------------------------------------

local function run_step(step)
  local kind, value = step[1], step[2]
  if kind == "execute" then
    compiled(load(value, "=(command line)"))()
  else
    local global, module = value:match("^([%w_]+)=(.+)$")
    local ok, result = pcall(require, module or value)
    if not ok then
      error(type(result) == "string" and plain(result) or result)
    end
    _G[global or value] = result
  end
end

local function run_script(arg)
  local name = arg[0]
  return compiled(loadfile(name ~= "-" and name or nil))(table.unpack(arg))
end

-- Returns what wait_for_machines() waits for, in words; nil if that is no machine.
local function machines_to_stop(lunik)
  local names = {}
  for _, machine in ipairs(lunik.machines()) do
    local on = machine.state == "running" or machine.state == "suspended"
    if on then names[#names + 1] = machine.name end
  end
  return names[1] and (names[2] and ("%d machines to stop"):format(#names)
    or ("machine '%s' to stop"):format(names[1]))
end

-- Waits until no machine runs any more; returns the last exit code that is not zero.
local function wait_for_machines(lunik)
  local code = 0
  do
    local _ <close> = require("lunik.waiting").note(machines_to_stop(lunik))
    lunik.run()
  end
  for _, machine in ipairs(lunik.machines()) do
    if machine.exit_code ~= 0 then
      code = machine.exit_code
    elseif machine.state == "crashed" then
      code = 1
    end
  end
  return code
end

-- Checks the exit code given to lunik.exit().
local function checked_code(code)
  if type(code) == "boolean" or code == nil then
    return code
  end
  local options = require "lunik.options"
  local n = options.value("exit: code", code, "integer")
  if n < 0 or n > 255 then
    options.fail("invalid", "exit: code: '%d' is out of range (want an integer from 0 to 255)", n)
  end
  return n
end

-- os.exit and lunik.exit close the machines first (lunik.ending). The Lua state can be closed only
-- from the main thread: handlers run on threads of their own, in the middle of the loop.
local function set_exit(lunik)
  local exit = os.exit
  local function close_and_exit(code, close)
    local _, main = coroutine.running()
    require("lunik.command.waiting_line").clear()
    require("lunik.ending").close_machines()
    require("lunik.wait").report_failures()
    require("lunik.observe").notify("exit", code)
    host.detach()
    exit(code, close and main)
  end
  os.exit = close_and_exit -- luacheck: ignore 122
  lunik.exit = function(code)
    local ok, result = pcall(checked_code, code)
    if not ok then
      error(lunik.error(result.code, result.message), 2)
    end
    close_and_exit(result)
  end
end

-- may_interrupt(): whether SIGINT raises an error in the running code. Without this function SIGINT
-- ends the command.
local function set_signals(may_interrupt)
  host.on_signal(function(signal)
    if not may_interrupt or signal ~= SIGINT then
      require("lunik").stop() -- so that closing does not wait for ever for a reader of output
      os.exit(128 + signal)
    elseif may_interrupt() then
      error(plain("interrupted!"))
    end
  end)
end

-- Returns {get = a function that returns the sandbox's policy, or false, by_default = whether it
-- was not asked for}.
local function parse_sandbox(options)
  local wanted = options.no_sandbox and "off" or options.sandbox
  if wanted == "off" then
    return { get = false }
  end
  local sandbox = require "lunik.sandbox"
  if not wanted or wanted == "on" then
    return { get = sandbox.for_script, by_default = not wanted }
  end
  local ok, get = pcall(sandbox.from_list, wanted)
  if not ok then
    bad_usage("%s", get.message)
  end
  return { get = get }
end

local function run_steps(steps)
  for _, step in ipairs(steps) do
    if not protected(run_step, step) then
      return false
    end
  end
  return true
end

-- Returns fn(...); if that finds the command line wrong, reports it and returns false.
local function usage(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then
    return result
  elseif not arguments.is_usage(result) then
    error(result, 0)
  end
  complain(result.message)
  io.stderr:write(("'lunik %s' shows the options\n"):format(cli.help or "--help"))
  return false
end

-- Returns the options of the board's machine.
local function board_options(board, options, arg)
  local read = require("lunik.command.board_file").options
  local ok, result = pcall(read, board, options.settings, arg)
  if not ok then
    bad_usage("%s: %s", arg[0], result.message or result)
  end
  return result
end

-- Calls fn(...) of the library. Its errors are shown without traceback, as no line of a script has
-- caused them.
local function refusable(fn, ...)
  local ok, result = pcall(fn, ...)
  if not ok then
    error(type(result) == "string" and result or plain(tostring(result)), 0)
  end
  return result
end

local function check_board(board)
  refusable(require("lunik.board_loader").load, board)
end

-- Returns the board of --board, as running a board file does.
local function named_board(arg)
  return refusable(require("lunik.board_loader").load, arg[0])
end

-- keep: the serial port's output is kept in memory.
local function start_board(given, prompt, keep)
  local start = require("lunik.command.board_file").start
  local m = refusable(start, given, (prompt or keep) and "buffer" or "stdio")
  if prompt then
    _G.m = m
  end
end

local function refuse_settings(options, arg)
  bad_usage("-o: '%s': %s is not a board file (want one that returns a board)",
    options.settings[1], arg[0])
end

-- Runs the script, and the machine of the board that it may return. Returns 0, or the exit code if
-- that failed.
local function run_main(arg, options, prompt)
  local ok, board = protected(options.board and named_board or run_script, arg)
  if not ok then
    return type(board) == "table" and SKIPPED or 1
  elseif type(board) ~= "table" or not require("lunik.command.board_file").is_board(board) then
    return options.settings[1] and (usage(refuse_settings, options, arg) or 2) or 0
  end
  if not protected(check_board, board) then
    return 1
  end
  local given = usage(board_options, board, options, arg)
  return not given and 2 or protected(start_board, given, prompt, options.json) and 0 or 1
end

-- Begins the report, before anything is run. Returns whether that was possible.
local function begin_report(options, lunik, script)
  return not options.report or protected(refusable, lunik.report, {
    file = options.report, script = script,
  })
end

local function run(argv, options, lunik)
  local arg = make_arg(argv, options.script)
  local nothing_given = not options.script and not options.board and #options.steps == 0
  local prompt = options.interactive or nothing_given and host.isatty(0)
  local repl = prompt and require "lunik.command.repl"
  if nothing_given and not prompt then
    arg[0] = "-"
    options.script = 0
  end
  if options.board then
    if options.script then
      return usage(bad_usage, "'%s': --board takes no script (want -o name=value)",
        argv[options.script]) or 2
    end
    arg = { [0] = options.board }
  end
  _G.arg, _G.lunik = arg, lunik
  if options.json then
    require("lunik.command.json_events").start()
  end
  if not begin_report(options, lunik, arg[0]) then
    return 2
  end
  if prompt then
    repl.take_terminal()
    require("lunik.command.restart").allow(options, arg)
  end
  if options.policy.get then
    require("lunik.sandbox").at_start(options.policy.get, options.policy.by_default)
  end
  if options.transcript then
    require("lunik.command.transcript").start()
  end
  if options.logs.rejected then
    lunik.log_rejected {}
  end
  if options.qmp or options.gdb or options.prompts then
    require("lunik.command.serve").start(options, lunik, complain)
  end
  if options.settings[1] and not options.script and not options.board then
    return usage(bad_usage, "-o: '%s': there is no board file to set it for", options.settings[1])
      or 2
  end
  local code = run_steps(options.steps) and 0 or 1
  if code == 0 and (options.script or options.board) then
    code = run_main(arg, options, prompt)
  end
  if prompt then
    return repl.run { on_signals = set_signals, handler = with_traceback }
  elseif code ~= 0 then
    return code
  end
  local ok = protected(function() code = wait_for_machines(lunik) end)
  return ok and code or 1
end

local function show_version()
  print(("Lunik %s (%s)"):format(host.version, _VERSION))
end

-- Runs a script, a board file or the prompt.
local function run_command(options, argv)
  if options.version then
    show_version()
    if #options.steps == 0 and not options.script and not options.interactive then
      return 0
    end
  end
  if options.warnings then
    warn("@on")
  end
  local lunik = require "lunik"
  options.policy = usage(parse_sandbox, options)
  if not options.policy then
    return 2
  end
  host.attach()
  set_exit(lunik)
  set_signals()
  if host.isatty(2) then
    require("lunik.command.waiting_line").start()
    require("lunik.command.progress").show(lunik, io.stderr)
  end
  local code = run(argv, options, lunik)
  require("lunik.ending").close_machines()
  require("lunik.observe").notify("exit", code)
  return code
end

-- ---- the commands ------------------------------------------------------------------------------

local function show_help(command)
  io.stdout:write(require("lunik.command.help").text(command))
  return 0
end

local function help_of(argv, options)
  local name = argv[options.rest]
  local command = arguments.command(name)
  if not command then
    local near = core.suggest(name, arguments.commands())
    bad_usage("'%s' is not a command%s", name, near and (" (did you mean '%s'?)"):format(near)
      or " (want " .. table.concat(arguments.commands(), ", ") .. ")")
  end
  return command
end

local commands = {}

function commands.run(argv, first, command)
  local options = usage(parse, command, argv, first)
  if not options then
    return 2
  end
  return options.help and show_help(command) or run_command(options, argv)
end

function commands.help(argv, first, command)
  local options = usage(arguments.parse, command, argv, first)
  local shown = options and (options.help and command or usage(help_of, argv, options))
  return shown and show_help(shown) or 2
end

-- Runs a command whose module finds out what to do, then does it.
local function run_module(argv, first, command)
  local options = usage(arguments.parse, command, argv, first)
  if not options then
    return 2
  elseif options.help then
    return show_help(command)
  end
  require "lunik" -- sets where its files are
  local module = require("lunik.command." .. command.name)
  local plan = usage(parse_sandbox, options) and usage(module.prepare, options)
  if not plan then
    return 2
  end
  local ok, code = protected(refusable, module.run, plan)
  return ok and code or 1
end

for _, name in ipairs { "test", "new", "attach", "top" } do commands[name] = run_module end

--- Carries out the command line argv (argv[0] is the command); returns the exit code.
function cli.main(argv)
  local command = arguments.command(argv[1])
  local named = command and argv[1]
  command = command or arguments.command()
  cli.help = named and named ~= "run" and "help " .. named
  return commands[command.name](argv, named and 2 or 1, command)
end

return cli
