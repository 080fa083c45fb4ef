local command = require "spec.support.command"
local terminal = require "spec.support.terminal"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

local lunik, run = command.lunik, command.run

-- Runs the command with these arguments (shell text); its output, errors and exit code.
local function lunik_run(arguments, input)
  return run(lunik .. " " .. arguments, input)
end

local BOARD = "require'lunik'.machine { board = 'micro', accel = 'none', memory = '1M' }"

describe("the lunik command", function()
  it("executes statements, scripts and standard input", function()
    assert.equal("1\n", lunik_run [[-e 'print(1)']])
    assert.equal("2\t3\n", lunik_run [[-e 'x = 2' -e 'print(x, 3)']])
    assert.equal("piped\n", lunik_run("", "print('piped')"))
    assert.equal("- a\n", lunik_run("- a", "print(arg[0], ...)"):gsub("\t", " "))
    assert.equal("6.0\n", lunik_run [[-l m=math -e 'print(m.sqrt(36))']])
    assert.equal("function\n", lunik_run [[-l lunik -e 'print(type(lunik.machine))']])
    assert.equal("Lua warning: yes\n", select(2, lunik_run [[-W -e 'warn("yes")']]))
  end)

  it("works with standard files closed", function()
    local script = "local m = " .. BOARD .. "; m:start(); m:shutdown(); m:close()"
    for _, closed in ipairs { "<&-", ">&-", "2>&-", "<&- >&- 2>&-" } do
      local _, _, code = lunik_run(("-e \"%s\" %s"):format(script, closed))
      assert.equal(0, code, closed)
    end
  end)

  -- A guest, played by the script, that says which characters it gets.
  local ECHO = [[
    local lunik = require "lunik"
    local m = lunik.machine { board = "micro", accel = "none", memory = "1M",
      serial = { "chardev-stdio", { signal = %s } } }
    m:start()
    print "ready"
    while true do
      if m:inb(0x3fd) & 1 == 1 then print("guest: " .. m:inb(0x3f8)) end
      lunik.sleep(0.01)
    end
  ]]

  for signal, steps in pairs {
    ["true"] = { { "ready", "a" }, { "guest: 97\n", "\3" } },
    ["false"] = { { "ready", "\3" }, { "guest: 3\n", "\28" }, { "guest: 28\n", "\26" },
      { "guest: 26\n", "\29" } },
  } do
    it("is interrupted on a guest's terminal, signal = " .. signal, function()
      local path <close> = command.file(ECHO:format(signal))
      local _, code = on_terminal(("%s %s"):format(lunik, path), steps)
      assert.equal(130, code)
    end)
  end

  it("goes on with a guest's terminal after Ctrl-Z", function()
    local path <close> = command.file(ECHO:format "true")
    local _, code = on_terminal(terminal.SHELL, {
      { "bash-", lunik .. " " .. path .. "\n" }, { "ready", "a" }, { "guest: 97\n", "\26" },
      { "Stopped" }, { "bash-", "fg\n" }, { path .. "\n", "b" }, { "guest: 98\n", "\3" },
      { "bash-", "exit $?\n" },
    })
    assert.equal(130, code)
  end)

  it("shows how far a preallocation is, on a terminal only", function()
    if terminal.missing() then pending(terminal.missing()) end
    local script = "local m = " .. BOARD
      .. "; m:object_add('memory-backend-ram', { id = 'big', size = '64M', prealloc = true })"
    local path <close> = command.file(script)
    local shown = run(("script -qec '%s %s' /dev/null"):format(lunik, path))
    assert.matches("big %[#+%] 100%% of 64 MiB", shown)
    assert.same({ "", "", 0 }, { lunik_run(tostring(path)) })
  end)

  it("gives the script its arguments in arg and ...", function()
    local path <close> = command.file("print(arg[0], #arg, arg[1], arg[2], arg[-1], ...)")
    assert.equal(("%s\t2\t-x\ty\t--\t-x\ty\n"):format(path), lunik_run("-- " .. path .. " -x y"))
  end)

  it("shows help and version", function()
    assert.matches("^usage: lunik ", (lunik_run "--help"))
    assert.matches("^usage: lunik ", (lunik_run "-h"))
    assert.matches("^Lunik %d+%.%d+%.%d+ %(Lua 5%.4%)\n$", (lunik_run "--version"))
    assert.equal(lunik_run "-v", lunik_run "--version")
  end)

  it("shows the help of each command, of lines that fit", function()
    local commands = dofile "scripts/lunik/command/options_table.lua".commands
    assert.equal(lunik_run "--help", lunik_run "help")
    for _, described in ipairs(commands) do
      local help = lunik_run("help " .. described.name)
      assert.equal(help, (lunik_run(described.name .. " --help")))
      assert.matches("\n  %-h %-%-help +show this text\n", help)
      assert.matches("\n  " .. described.name .. " +" .. described.summary .. "\n",
        (lunik_run "help"))
      for line in help:gmatch "[^\n]+" do assert.is_true(#line < 80, line) end
    end
  end)

  -- Runs the command, as $LUNIK, in a new folder in which there is a script of that name.
  local function next_to(name, line)
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    command.write(folder .. "/" .. name, "print('script', ...)")
    local out = run(("cd %s && LUNIK=$OLDPWD/%s; case %s in /*) LUNIK=%s ;; esac; $LUNIK %s")
      :format(folder, lunik, lunik, lunik, line))
    os.execute("rm -r " .. folder)
    return out
  end

  it("runs a script whose name is a command's by its path, or after run", function()
    for _, line in ipairs { "./help x", "run help x", "-W help x" } do
      assert.equal("script\tx\n", next_to("help", line))
    end
  end)

  it("runs a script whose name is close to a command's", function()
    assert.equal("script\tx\n", next_to("tset", "tset x"))
  end)

  it("takes for a script what follows run, or is close to no command's name", function()
    for _, arguments in ipairs { "run tset", "some/tset", "ping" } do
      assert.matches("lunik: cannot open [%l/]+: No such file", select(2, lunik_run(arguments)))
    end
  end)

  for arguments, message in pairs {
    ["-z"] = "unrecognized option '-z'",
    ["--hlep"] = "unrecognized option '--hlep' (did you mean '--help'?)\n'lunik --help' shows",
    ["--no-sandbox=1"] = "'--no-sandbox' takes no value",
    ["help --hlep"] = "unrecognized option '--hlep' (did you mean '--help'?)\n'lunik help help'",
    ["help rum"] = "'rum' is not a command (did you mean 'run'?)",
    ["help 42"] = "'42' is not a command (want run, ",
    ["tset --junit x"] = "'tset' is neither a file nor a command (did you mean 'lunik test'?)\n"
      .. "'lunik --help' shows",
    ["nwe"] = "'nwe' is neither a file nor a command (did you mean 'lunik new'?)",
    ["-W help"] = "'help': the command goes first: lunik help [options]",
    ["-e"] = "'-e' needs an argument",
    ["-l"] = "'-l' needs an argument",
  } do
    it("refuses " .. arguments, function()
      local out, err, code = lunik_run(arguments)
      assert.same({ "", 2 }, { out, code })
      assert.matches("lunik: " .. message, err, 1, true)
    end)
  end

  for script, message in pairs {
    ["error('boom')"] = "lunik: (command line):1: boom\nstack traceback:\n",
    ["x = "] = "lunik: (command line):1: unexpected symbol near <eof>\n",
    ["error({})"] = "lunik: (error object is a table value)\n",
    ["error(setmetatable({}, {__tostring = function() return 'text' end}))"] = "lunik: text\n",
    ["require 'lunik'.machine { bord = 'pc' }"] = "did you mean 'board'?",
  } do
    it("reports " .. script, function()
      local out, err, code = lunik_run(("-e %q"):format(script))
      assert.same({ "", 1 }, { out, code })
      assert.matches(message, err, 1, true)
      assert.not_matches("cli.lua", err, 1, true)
    end)
  end

  it("names the script that it can't open", function()
    local _, err, code = lunik_run "/nonexistent.lua"
    assert.equal(1, code)
    assert.matches("/nonexistent.lua", err, 1, true)
  end)

  it("ends with the code of os.exit and lunik.exit", function()
    assert.equal(7, select(3, lunik_run [[-e 'os.exit(7)']]))
    assert.equal(0, select(3, lunik_run [[-e 'os.exit(true, true)']]))
    assert.equal(1, select(3, lunik_run [[-e 'os.exit(false)']]))
    assert.equal(9, select(3, lunik_run [[-e 'require"lunik".exit(9)']]))
  end)

  it("takes exit codes that a process can have", function()
    for _, bad in ipairs { "300", "-1", "1.5", "{}" } do
      local _, err, code = lunik_run(("-e 'require\"lunik\".exit(%s)'"):format(bad))
      assert.equal(1, code)
      assert.matches("^lunik: %(command line%):1: exit: code: ", err)
    end
  end)

  it("shows its version before it does the rest", function()
    local out, _, code = lunik_run [[-v -e 'print(1)']]
    assert.equal(0, code)
    assert.matches("^Lunik [%d.]+ %(Lua 5.4%)\n1\n$", out)
  end)

  it("names a module that it can't find", function()
    local _, err, code = lunik_run "-l nosuch"
    assert.equal(1, code)
    assert.matches("^lunik: module 'nosuch' not found:", err)
  end)

  it("stays until the machines have stopped, and ends with their code", function()
    local script = ("lunik = require 'lunik' m = %s m:start() "
      .. "lunik.spawn(function() lunik.sleep(0.05) print('out') m:outb(0xf4, 3) end) print('in')")
      :format(BOARD)
    local out, err, code = lunik_run(("-e %q"):format(script))
    assert.same({ "in\nout\n", "", 7 }, { out, err, code })
  end)

  it("closes machines when the script exits from a handler", function()
    local script = ("lunik = require 'lunik' m = %s m:start() "
      .. "m:on('shutdown', function() os.exit(5) end) m:outb(0xf4, 0)"):format(BOARD)
    local _, err, code = lunik_run(("-e %q"):format(script))
    assert.same({ "", 5 }, { err, code })
  end)

  for signal, code in pairs { INT = 130, TERM = 143 } do
    for what, script in pairs {
      -- With a call in the loop: ThreadSanitizer delivers signals at calls only.
      ["a script"] = "print('up') io.stdout:flush() while true do os.time() end",
      ["the loop"] = "m = " .. BOARD .. " m:start() print('up') io.stdout:flush()",
      ["a wait"] = "m = " .. BOARD .. " m:start() print('up') io.stdout:flush() m:wait('paused')",
    } do
      it(("ends %s at SIG%s"):format(what, signal), function()
        local out <close> = command.file("")
        -- A shell's background commands ignore SIGINT unless told otherwise.
        local _, err, status = run(([[
          env --default-signal=INT %s -e "%s" >%s & pid=$!
          until grep -q up %s; do kill -0 $pid || break; sleep 0.01; done
          kill -%s $pid; wait $pid]]):format(lunik, script, out, out, signal))
        assert.same({ "", code }, { err, status })
      end)
    end
  end

  it("is a Lua interpreter that runs busted", function()
    local path <close> = command.file("describe('x', function() it('y', function() end) end)",
      "_spec.lua")
    local out, _, code = lunik_run("/usr/bin/busted --ignore-lua -o TAP " .. path)
    assert.same({ "ok 1 - x y\n1..1\n", 0 }, { out, code })
  end)
end)

describe("a board file", function()
  -- The micro board, on which the script plays a guest that prints a text and ends the machine.
  local FILE = [[
    local lunik = require "lunik"
    local micro = dofile "scripts/boards/micro.lua"
    return {
      options = {
        text = "up\n", code = { kind = "count", default = 0 }, loud = false, bytes = "4K",
        factor = 1.5, list = { kind = "table", default = {} }, fn = { kind = "function" },
      },
      build = micro.build,
      finish = function(m, opt)
        m:on("started", function()
          local text = opt.loud and opt.text:upper() or opt.text
          text = text .. ("%d %s %d\n"):format(opt.bytes, opt.factor, #opt.list)
          for c in text:gmatch "." do m:outb(0x3f8, c:byte()) end
          m:outb(0xf4, opt.code)
        end)
      end,
    }
  ]]
  local NONE = "-o accel=none -o memory=1M "

  it("is built, started and has its serial port on the terminal", function()
    local path <close> = command.file(FILE, ".lua")
    assert.same({ "up\n4096 1.5 0\n", "", 1 }, { lunik_run(NONE .. path) })
    assert.same({ "up\n4096 1.5 0\n", "", 1 }, { lunik_run(NONE .. "-", FILE) })
  end)

  it("has its options before it and after it", function()
    local path <close> = command.file(FILE, ".lua")
    assert.same({ "A=B1048576 2 2\n", "", 7 }, { lunik_run(NONE .. "-o factor=1 -ofactor=2 " .. path
      .. " -o text=a=b -o loud=yes -ocode=3 -o bytes=1M -o 'list={1,{}}'") })
  end)

  it("reads the terminal for the guest", function()
    local path <close> = command.file([[
      local micro = dofile "scripts/boards/micro.lua"
      return { build = micro.build, finish = function(m)
        require("lunik").spawn(function()
          for c in ("ready"):gmatch "." do m:outb(0x3f8, c:byte()) end
          while m:inb(0x3fd) & 1 == 0 do require("lunik").sleep(0.01) end
          m:outb(0xf4, m:inb(0x3f8))
        end)
      end }]], ".lua")
    local _, code = on_terminal(("%s %s%s"):format(lunik, NONE, path), { { "ready", "\9" } })
    assert.equal(9 * 2 + 1, code)
  end)

  it("leaves the terminal to the prompt, which has the machine", function()
    local path <close> = command.file(FILE:gsub("m:outb%(0xf4[^\n]*", ""), ".lua")
    local out, err, code = run(("%s -i %s %s"):format(lunik, NONE, path),
      "m.state\nm:console():expect('up.*%d\\n', { timeout = 20 })\n")
    assert.same({ '"running"\nup\n4096 1.5 0\n', "", 0 }, { out, err, code })
  end)

  it("keeps the serial port where its own default says", function()
    local board = FILE:gsub("options = {", "%0 serial = 'null',")
    assert.same({ "", "", 1 }, { lunik_run(NONE .. "-", board) })
    assert.same({ "up\n4096 1.5 0\n", "", 1 }, { lunik_run(NONE .. "-o serial=stdio -", board) })
  end)

  for arguments, message in pairs {
    ["-o memroy=1G -"] = "-: -o: 'memroy' is not an option (did you mean 'memory'?)",
    ["- -o txt=1"] = "-: -o: 'txt' is not an option (did you mean 'text'?)",
    ["-o loud -"] = "-: -o: 'loud' is not a setting (want name=value)",
    ["-o =1 -"] = "-: -o: '=1' is not a setting (want name=value)",
    ["-o loud=perhaps -"] = "-: -o: loud: 'perhaps' is not a boolean (want true or false)",
    ["-o cpus=1.5 -"] = "-: -o: cpus: '1.5' is not an integer (want an integer)",
    ["-o code=-1 -"] = "-: -o: code: '-1' is negative (want 0 or more)",
    ["-o memory=4Q -"] = "-: -o: memory: '4Q' is not a size (want e.g. 512M, 4G)",
    ["-o list=os.exit() -"] = "-: -o: list: 'os.exit()' is not a table (want a table)",
    ["-o fn=print -"] = "-: -o: 'print' is not possible on the command line (want a script that",
    ["-o board=pc -"] = "-: -o: board: is the file that the command runs",
    ["- fast"] = "-: 'fast': a board file takes no arguments (want -o name=value)",
    ["- -o"] = "-: '-o' needs an argument",
    ["-o x=1 -e 'print(1)'"] = "-o: 'x=1': there is no board file to set it for",
    ["-o x=1 -o"] = "'-o' needs an argument",
  } do
    it("is not run with " .. arguments, function()
      local out, err, code = lunik_run(arguments:gsub("[()]", "\\%0"), FILE)
      assert.same({ "", 2 }, { out, code })
      assert.matches("lunik: " .. message, err, 1, true)
    end)
  end

  it("that is none takes no options", function()
    local out, err, code = lunik_run("-o x=1 -", "print 'here' return { x = 2 }")
    assert.same({ "here\n", 2 }, { out, code })
    assert.matches("lunik: -o: 'x=1': - is not a board file (want one that returns a board)\n", err,
      1, true)
    assert.same({ "here\n", "", 0 }, { lunik_run("- -o x=1", "print 'here' return { x = 2 }") })
  end)

  it("with a fault in it is reported, and nothing runs", function()
    for board, message in pairs {
      ["return { finish = print }"] = "machine: board: has no build function",
      ["return { build = 1 }"] = "machine: board: build: '1' is not a function (want a function)",
      ["return { build = function() error 'boom' end }"] = "stdin:1: boom\nstack traceback:\n",
      ["return { build = function(m) m:object_add('x') end }"] = "stdin:1: 'x' is not a known type",
    } do
      local out, err, code = lunik_run(NONE .. "-", board)
      assert.same({ "", 1 }, { out, code })
      assert.matches("lunik: " .. message, err, 1, true)
    end
  end)

  it("of the boards that ship boots a guest", function()
    if not command.kvm() then
      return pending("no /dev/kvm")
    end
    local kernel = command.build .. "/guests/small.elf"
    for _, board in ipairs { "pc", "micro" } do
      local _, code = on_terminal(("%s -o kernel=%s -o memory=64M scripts/boards/%s.lua")
        :format(lunik, kernel, board), { { "guest: ready", "exit 3\r" }, { "ok exit 3" } })
      assert.equal(7, code)
    end
  end)
end)

describe("an example", function()
  it("shows memory hotplug: the demo", function()
    local out, err, code = lunik_run "run --transcript scripts/examples/demo.lua"
    assert.same({ "", 0 }, { err, code })
    for _, text in ipairs { "dimm1 is accepted", "dimm1 is ejected", "exit code 0" } do
      assert.matches(text, out, 1, true)
    end
    assert.not_matches("\27", out, 1, true)
    local answers = 0
    local two_lines = "([%d.]+) s  guest  [^\n]*\n +([%d.]+) s  lunik  the guest answers"
    for said, answered in out:gmatch(two_lines) do
      answers = answers + 1
      assert.is_true(tonumber(said) <= tonumber(answered))
    end
    assert.is_true(answers > 0)
  end)

  it("has a transcript of every machine, in order with what the script prints", function()
    local script <close> = command.file [[
      local function make(name)
        local m = lunik.machine { name = name, accel = "none", maxmem = "1G", slots = 1 }
        m:start()
        m:object_add("memory-backend-ram", { id = "mem", size = "128M", reserve = "off" })
        return m
      end
      print "one"
      local one = make "one"
      pcall(one.device_add, one, "pc-dimm", { id = "d", memdev = "none" })
      print "two"
      local two = make "two"
      two:outw(0x604, 1 << 10 | 1 << 13) -- sleep type 1
      two:wakeup()
      two:device_add("pc-dimm", { id = "d", memdev = "mem" })
      two:shutdown(7)
      two:close()
      one:close()]]
    local out, err, code = lunik_run("run --transcript " .. script)
    assert.same({ "", 0 }, { err, code })
    local at = 1
    for _, text in ipairs { "one\n", "lunik  start", "device_add pc-dimm id=d memdev=none",
      "d is failed after ", "pc-dimm: memdev: there is no object 'none'", "\ntwo\n", "two: start",
      "two: the machine is suspended", "two: the machine is awake",
      "two: d is in slot 0 at 0x100000000", "two: the guest is asked to take d",
      "two: the machine is shut down (host-quit, exit code 7)" } do
      local _, stop = out:find(text, at, true)
      assert.is_not_nil(stop, text .. " is not after " .. out:sub(at))
      at = stop
    end
  end)

  it("may be asked for after the script, if the command's name comes first", function()
    local script <close> = command.file 'print(table.concat(arg, " "))'
    local report <close> = command.file ""
    local names = { SCRIPT = tostring(script), FILE = tostring(report) }
    local function printed(words)
      local out, err, code = lunik_run((words:gsub("%u+", names)))
      assert.same({ "", 0 }, { err, code }, words)
      return out
    end
    assert.equal("a b\n", printed "run SCRIPT a --transcript b --report FILE")
    assert.matches("<!DOCTYPE html>", io.open(tostring(report)):read "a", 1, true)
    assert.equal("a --transcript\n", printed "run --report=FILE SCRIPT a -- --transcript")
    assert.equal("a --transcript\n", printed "SCRIPT a --transcript")
    local out, err, code = lunik_run("run " .. tostring(script) .. " --report")
    assert.same({ "", 2 }, { out, code })
    assert.matches("'--report' needs an argument", err, 1, true)
  end)
end)
