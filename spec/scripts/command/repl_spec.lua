local command = require "spec.support.command"
local terminal = require "spec.support.terminal"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

local build, run = command.build, command.run

-- Returns the prompt's answers to these lines from a pipe.
local function ask(lines, options)
  return run(("%s/lunik -i %s"):format(build, options or ""), lines)
end

-- The prompt on a terminal, with a person who types: see terminal.run.
local function type_in(steps, history)
  return on_terminal(build .. "/lunik", steps,
    { "NO_COLOR=1", "LUNIK_HISTORY=" .. (history or "/dev/null") })
end

local MACHINE = "m = lunik.machine { board = 'micro', accel = 'none', memory = '1M' }\n"

describe("the prompt", function()
  it("loses no line where memory or watches are short", function()
    local script <close> = command.file([[
      local lineedit = require "lunik.lineedit"
      require "lunik"
      local faults = require "faults" -- which changes what is loaded
      -- a line for which there was no memory is there already when the next one is read
      local calls = { "malloc", "uv_poll_init", "epoll_ctl", "realloc", "strndup", "none" }
      local lines, failed, n = {}, { none = true }, 0
      repeat
        n = n + 1
        local call = calls[n % #calls + 1]
        faults.arm { at = 1, only = call }
        local ok, line = pcall(lineedit.read, "> ")
        if select(2, faults.disarm()) then
          assert(not ok and line.code, tostring(line))
          failed[call] = true
        else
          assert(ok, line)
          lines[#lines + 1] = line
        end
      until ok and not line
      for _, call in ipairs(calls) do assert(failed[call], call) end
      print(table.concat(lines, " "))
    ]], ".lua")
    local lines = "(for i in $(seq 40); do echo $i; sleep 0.02; done)"
    local out, err, code = run(("%s | %s %s"):format(lines, command.lunik, script))
    local want = {}
    for i = 1, 40 do want[i] = i end
    assert.same({ table.concat(want, " ") .. "\n", "", 0 }, { out, err, code })
  end)

  it("shows values and runs statements", function()
    assert.equal("2\n", ask "1 + 1\n")
    assert.equal("1\t\"two\"\tnil\n", ask "1, 'two', nil\n")
    assert.equal("", ask "x = 1\n")
    assert.equal("{ 1, 2, [1.5] = \"x\", a = { b = true } }\n",
      ask "{1, 2, a = {b = true}, [1.5] = 'x'}\n")
    assert.equal("42\n", (ask "41 + 1"), "a last line without its end")
  end)

  it("goes on reading where a chunk is not complete", function()
    assert.equal("1\n2\n", ask "for i = 1, 2 do\nprint(i)\nend\n")
    assert.equal("3\n", ask "1 +\n2\n")
  end)

  it("says what is missing where the input ends in a chunk", function()
    local out, err = ask "1\nfor i = 1, 2 do\n"
    assert.equal("1\n", out)
    assert.matches("stdin:1: 'end' expected near <eof>", err, 1, true)
  end)

  it("reports errors and goes on", function()
    local out, err, code = ask "error('boom')\nx = = 1\nlunik.machine { bord = 1 }\n5\n"
    assert.same({ "5\n", 0 }, { out, code })
    assert.matches("^stdin:1: boom\n", err)
    assert.not_matches("traceback", err, 1, true)
    assert.matches("unexpected symbol near '='", err, 1, true)
    assert.matches("did you mean 'board'?", err, 1, true)
    assert.not_matches("repl.lua", err, 1, true)
  end)

  it("shows how an error came about, in what was typed", function()
    local _, err = ask "function f() error('boom') end\nfunction g() f() end\nx = 1 g()\n"
    assert.equal("stdin:1: boom\nstack traceback:\n\t[C]: in function 'error'\n"
      .. "\tstdin:1: in function 'f'\n\tstdin:1: in function 'g'\n\tstdin:1: in main chunk\n", err)
    _, err = ask(MACHINE .. "m:wait('x')\n")
    assert.equal("stdin:1: nothing is left that could end the wait for 'x': no machine is running "
      .. "and no timer is set\n", err)
    _, err = ask(MACHINE .. "function f() m:wait('x') return 1 end\nf()\n")
    assert.not_matches("%.lua:", err)
    assert.matches("\tstdin:1: in function 'f'\n", err, 1, true)
  end)

  it("shows where an error of the library came from, and every value of a line", function()
    for _, line in ipairs { "m:wait()", "m:irq(5):set()",
      "lunik.machine { accel = 'none', memory = 0 }", "lunik.sleep 'a'",
      "m:console():expect '('", "1, m:wait()" } do
      local _, err = ask(MACHINE:gsub("}", ", serial = 'buffer' }") .. line .. "\n")
      assert.matches("^stdin:1: [^\n]+%(want [^\n]+%)\n$", err)
    end
    assert.equal("nil\tnil\n", ask "nil, nil\n")
    assert.equal("3\n", ask "select('#', table.unpack({}, 1, 3)) -- a comment\n")
    assert.equal("5\n", ask "prompt = 5\nprompt\n")
  end)

  it("offers the machines that a script has kept to itself", function()
    local script <close> = command.file([[
      local m = lunik.machine { board = "micro", accel = "none", memory = "1M", name = "first" }
      local other = lunik.machine { board = "micro", accel = "none", memory = "1M", name = "2nd" }
      m:object_add("memory-backend-ram", { id = "mem1", size = "1M" })
    ]], ".lua")
    local function say(lines) return (ask(lines, tostring(script))) end
    assert.equal("\"first\"\n", say "machines[1].name\n")
    assert.equal("true\ttrue\n",
      say "machines.first == machines[1], machines['2nd'] == machines[2]\n")
    assert.equal("2\tnil\tnil\n", say "#machines, machines[3], machines.third\n")
    assert.equal("1M\n", say "print(machines.first:object 'mem1'.size == 1 << 20 and '1M')\n")
    assert.equal("machines[1]  machine 'first' (created)\nmachines[2]  machine '2nd' (created)\n",
      say "machines\n")
    assert.equal("1\tfirst\n2\t2nd\n", say "for i, m in ipairs(machines) do print(i, m.name) end\n")
    assert.equal("no machines\n", ask "machines\n")
    assert.equal("5\n", ask("machines\n", "-e 'machines = 5'"))
    local _, err = ask("machines[1] = nil\n", tostring(script))
    assert.matches("machines can't be set", err, 1, true)
  end)

  it("has the same global lunik as scripts", function()
    assert.equal("true\n", (ask("kept == lunik\n", "-e 'kept = lunik'")))
    assert.equal("true\n", (ask "lunik == require 'lunik'\n"))
  end)

  for line, name in pairs {
    ["m:mtreee()"] = "mtree", ["lunik.mashine {}"] = "machine", ["prnt(1)"] = "print",
  } do
    it("has a guess what was meant by " .. line, function()
      local _, err = ask(MACHINE .. line .. "\n")
      assert.matches(("stdin:1: [^\n]* %%(did you mean '%s'%%?%%)\n$"):format(name), err)
    end)
  end

  it("takes a method without arguments for a mistake, not for a beginning", function()
    local out, err = ask(MACHINE .. "m:pause\n1\n")
    assert.equal("1\n", out)
    assert.matches("stdin:1: function arguments expected near <eof>\n", err, 1, true)
  end)

  it("shows a text of several lines as it is", function()
    assert.equal("one\ntwo\n", ask "'one\\r\\ntwo\\r\\n'\n")
    assert.equal("\"one\\n\"\n", ask "'one\\n'\n")
    assert.matches("^address%-space: memory\n  0", (ask(MACHINE .. "m:mtree()\n")))
    for _, order in ipairs { "\\27[31m", "\\8", "\\xc2\\x9b", "\\xff" } do
      assert.matches("^\"1\\n", (ask("'1\\n" .. order .. "x'\n")))
    end
  end)

  it("is left with a word, and helped", function()
    for _, word in ipairs { "quit", " exit ", "quit()" } do
      assert.same({ "1\n", "", 0 }, { ask("1\n" .. word .. "\n2\n") })
    end
    assert.matches("Ctrl%-D leaves", (ask "help\n"))
    assert.equal(ask "help\n", (ask "?\n"))
    assert.equal("5\n6\n", (ask "quit = 5\nquit\n6\n"))
  end)

  it("shows objects with their properties", function()
    local out = ask(MACHINE .. "m:object_add('memory-backend-ram', { id = 'mem1', size = '2M' })\n")
    assert.matches("object 'mem1' (memory-backend-ram) {", out, 1, true)
    assert.matches("size = 2M", out, 1, true)
    assert.matches("iobase = 0x3f8, irq = 4", (ask(MACHINE .. "m:object('serial0')\n")), 1, true)
  end)

  it("shows numbers as people write them", function()
    assert.equal("{ addr = 0x1000, count = 4096, rip = 0xfff0, size = 4K }\n",
      (ask "{ addr = 4096, size = 4096, count = 4096, rip = 0xfff0 }\n"))
    local out = ask(MACHINE:gsub("micro", "pc"):gsub("'1M'", "'16M', maxmem = '1G', slots = 1")
      .. "_ = m:device_add('pc-dimm', { memdev = m:object_add('memory-backend-ram', "
      .. "{ id = 'mem1', size = '16M' }) })\nm:memory_devices()[1].data\n")
    assert.matches("addr = 0x100000000,", out, 1, true)
    assert.matches("size = 16M,", out, 1, true)
    assert.equal("0000000000001000  68 69 00 ff " .. (" "):rep(38) .. "|hi..|\n",
      (ask "hexdump('hi\\0\\255', 0x1000)\n"))
    assert.matches("^(%x+)  30 .-|0123456789abcdef|\n00000010  %x", (ask
      "hexdump('0123456789abcdefg')\n"):gsub("00000000(%x%x%x%x%x%x%x%x)", "%1"))
  end)

  it("helps with functions, events, boards and commands by name or value", function()
    for line, want in pairs {
      ["help(m.wait)"] = "Machine:wait(events, filter) -> lunik.Event\n",
      ["help(lunik.sleep)"] = "lunik.sleep(seconds)\n",
      ["help 'acpi-ost'"] = "lunik.event.acpi-ost, a lunik.Event\n",
      ["help 'device_add'"] = "Machine:device_add(driver, properties) -> lunik.Object\n",
      ["help device_add"] = "add device, like -device", ["help pc-dimm"] = "pc-dimm: ",
      ["help m.wait"] = "Machine:wait(", ["help info"] = "info ",
      ["help 'micro'"] = "board 'micro': ", ["help 'Vcpu'"] = "methods:",
      ["help(lunik.machine)"] = "maxmem", ["help(m:console().expect)"] = "Console:expect(",
    } do
      local out, err = ask(MACHINE:gsub("}", ", serial = 'buffer' }") .. line .. "\n")
      assert.matches(want, out, 1, true, line)
      assert.equal("", err)
      for text in out:gmatch "[^\n]+" do assert.is_true(#text < 100, text) end
    end
    local _, err = ask "help 'divice_add'\n"
    assert.matches("nothing is known about 'divice_add' (did you mean 'device_add'?)", err, 1, true)
  end)

  it("helps in the sandbox as well", function()
    assert.matches("lunik.sleep(seconds)\n", (ask(MACHINE .. "m:start()\nhelp(lunik.sleep)\n",
      "--sandbox=on")), 1, true)
  end)

  it("runs commands of the monitor for m", function()
    assert.equal("VM status: paused (prelaunch)\n", (ask(MACHINE .. "info status\n")))
    assert.equal("0x5\n", (ask(MACHINE .. "p/x 2 + 3\n")))
    assert.matches("0000000000000010: 0x0+ 0x0+\n", (ask(MACHINE .. "xp /2gx 0x10\n")))
    local out = ask(MACHINE .. "object_add memory-backend-ram,id=m1,size=1M\nm:object('m1').size\n")
    assert.equal("1048576\n", out)
    local _, err = ask "info status\n"
    assert.matches("info: there is no machine (want m = lunik.machine", err, 1, true)
    assert.equal("5\nnil\n", (ask(MACHINE .. "stop = 5\nstop\nx\n")), "names that are Lua")
  end)

  it("runs a script or a board again", function()
    local script <close> = command.file("count = (count or 0) + 1\nlunik.device { name = 'again', "
      .. "properties = { size = { kind = 'size', default = count << 20 } } }\n", ".lua")
    assert.equal("2\n2097152\n", (ask("reload()\ncount\nlunik.type('again').props[1].default\n",
      tostring(script))))
    local _, err = ask "reload()\n"
    assert.matches("no script has been run", err, 1, true)
    local board <close> = command.file("return dofile 'scripts/boards/micro.lua'", ".lua")
    local out, errors = ask("old = m\nreload() ~= old\nold.state, m.state, #machines\n",
      "-o accel=none -o memory=1M " .. board)
    assert.same({ 'true\n"closed"\t"running"\t1\n', "" }, { out, errors })
  end)

  it("shows a value again and again", function()
    assert.equal("1\n2\n3\n", (ask("n = 0\nwatch(0, function() n = n + 1 "
      .. "if n == 4 then lunik.exit(0) end return n end)\n")))
    assert.matches("^VM status: [^\n]+\nVM status: ", (ask(MACHINE .. "_ = lunik.spawn(function() "
      .. "lunik.sleep(0.3) lunik.exit(0) end)\nwatch(0.1, 'info status')\n")))
    local _, err = ask "watch(1, 5)\n"
    assert.matches("watch: function: '5' is not a function", err, 1, true)
  end)

  it("shows what the library hands out by its name, not by its insides", function()
    assert.equal("coroutine (waiting)\n", (ask "lunik.spawn(lunik.sleep, 1)\n"))
    assert.equal("coroutine (failed)\n", (ask "lunik.spawn(error, 1)\n"))
    assert.matches("^lunik%.Subscription: 0x%x+\n$", (ask(MACHINE .. "m:on('x', print)\n")))
  end)

  it("helps", function()
    assert.matches("Ctrl%-D leaves", (ask "help()\n"))
    local dimm = ask("help('pc-dimm')\n"):gsub("%s+", " ")
    assert.matches("memdev link The .*%(required; of type memory%-backend%)", dimm)
    assert.matches("iobase +integer = 0x3f8", (ask "help('serial16550')\n"))
    assert.matches("methods: .*device_add", (ask(MACHINE .. "help(m)\n")))
    for line in ask(MACHINE .. "help(m)\n"):gmatch "[^\n]+" do assert.is_true(#line < 80, line) end
    assert.matches("functions: .*machine .*spawn%s.*\n *fields: .*SIZE_MAX", (ask "help(lunik)\n"))
    assert.matches("methods: +cancel wait\n", (ask "help(lunik.spawn(lunik.sleep, 1))\n"))
    local _, err = ask "help('pc-dim')\n"
    assert.matches("did you mean 'pc-dimm'?", err, 1, true)
  end)

  it("lets machines run while it waits for input", function()
    local path = os.tmpname()
    os.remove(path)
    finally(function() os.remove(path) end)
    local begin <close> = command.file(MACHINE .. ("m:start() lunik.spawn(function() "
      .. "for i = 1, 4 do ticks = i lunik.sleep(0.05) end io.open('%s', 'w'):close() end)\n")
      :format(path))
    local out = run(("{ cat %s; for _ in $(seq 400); do [ -e %s ] && break; sleep 0.05; done; "
      .. "echo ticks; } | %s/lunik -i"):format(begin, path, build))
    assert.equal("4\n", out)
  end)

  it("keeps standard input to itself", function()
    local stdio = MACHINE:gsub("}", ", serial = 'stdio' }")
    local _, err = ask(stdio)
    assert.matches("the prompt reads standard input", err, 1, true)
    assert.equal("\"created\"\n", ask("lunik.share_terminal = true\n" .. stdio .. "m.state\n"))
  end)

  it("comes after a script that fails, too", function()
    local out, err = ask("1\n", "-e 'error(\"x\")'")
    assert.equal("1\n", out)
    assert.matches("(command line):1: x", err, 1, true)
  end)

  it("ends with the code of os.exit", function()
    assert.equal(4, select(3, ask "os.exit(4)\n"))
  end)
end)

local PROMPT = "lunik> "

describe("the prompt on a terminal", function()
  it("greets, edits lines and leaves at Ctrl-D", function()
    local out, code = type_in {
      { PROMPT, "1 + 2\n" }, { "\n3\n" }, { PROMPT, "print('ax\127b')\n" }, { "\nab\n" },
      { PROMPT, "\4" },
    }
    assert.equal(0, code)
    assert.matches("help helps", out, 1, true)
  end)

  it("says which machines a script has left", function()
    local script <close> = command.file("local m = lunik.machine { board = 'micro', "
      .. "accel = 'none', memory = '1M', name = 'mine' }", ".lua")
    local out = on_terminal(("%s/lunik -i %s"):format(build, script),
      { { PROMPT, "machines.mine.name\n" }, { '\n"mine"\n' }, { PROMPT, "\4" } },
      { "LUNIK_HISTORY=/dev/null" })
    assert.matches("leaves%.\r?\nmachines%[1%]  machine 'mine' %(created%)\r?\n", out)
  end)

  it("shows long texts page by page, and colours only there", function()
    local steps = {
      { PROMPT, "lunik.spawn(function() lunik.sleep(0.01) os.execute 'stty cols 80 rows 10' "
        .. "print 's\\x65t' end)\n" },
      { "set\n" }, { PROMPT, "help()\n" }, { "more: Enter; q ends", "\n" },
      { "more: Enter; q ends", "q\n" }, { PROMPT, "x = = 1\n" }, { "near '='" },
      { PROMPT, "('a\\n'):rep(9)\n" }, { PROMPT, "\4" },
    }
    local out = on_terminal(build .. "/lunik", steps,
      { "TERM=xterm", "NO_COLOR=", "LUNIK_HISTORY=/dev/null" })
    assert.matches("\27[31mstdin:1: unexpected symbol near '='\27[0m\n", out, 1, true)
    assert.not_matches("Tab completes", out, 1, true)
    assert.matches("Tab completes", (ask "help()\n"), 1, true)
    assert.equal("", (ask("x = = 1\n", "2>&1 | grep -c '\27' | grep -v 0")))
  end)

  it("has the guest's console until a key is typed", function()
    local script <close> = command.file([[
      m = lunik.machine { board = "micro", accel = "none", memory = "1M", serial = "buffer" }
      lunik.spawn(function()
        for c in ("typed?"):gmatch "." do m:outb(0x3f8, c:byte()) end
        local text = "<"
        while not text:find "\3" do
          lunik.sleep(0.01)
          while m:inb(0x3fd) & 1 == 1 do text = text .. string.char(m:inb(0x3f8)) end
        end
        for c in (text:gsub("%c", "~") .. ">"):gmatch "." do m:outb(0x3f8, c:byte()) end
      end)
    ]], ".lua")
    for _, leave in ipairs { "\29", "\1c" } do
      on_terminal(("%s/lunik -i %s"):format(build, script), {
        { PROMPT, "m:console():attach()\n" }, { "typed?", "ab\1h" },
        { "Ctrl-a b: break", "\1\1\3" },
        { "<ab~~>", leave }, { PROMPT, "m:console():read():gsub('%c', '')\n" },
        { '"typed?<ab~~>"' }, { PROMPT, "\4" },
      }, { "LUNIK_HISTORY=/dev/null" })
    end
    local _, err = ask(MACHINE:gsub("}", ", serial = 'buffer' }") .. "m:console():attach()\n")
    assert.matches("attach: there is no terminal", err, 1, true)
  end)

  it("completes a name with hyphens, and no call's result", function()
    local out = type_in {
      { PROMPT, "lunik.type('pc-di\t" }, { "mm", "').name\n" }, { '\n"pc-dimm"\n' },
      { PROMPT, MACHINE }, { PROMPT, "m:object('serial0').\t" }, { "').", "irq\n" }, { "\n4\n" },
      { PROMPT, "lunik.types():un\t" }, { ":un", "\3" }, { PROMPT, "\4" },
    }
    assert.not_matches("collectgarbage", out, 1, true)
    assert.not_matches("unpack", out, 1, true)
  end)

  it("completes names", function()
    type_in {
      { PROMPT, "string.reve\t" }, { "rse", "('reverse')\n" }, { '\n"esrever"\n' },
      { PROMPT, "\4" },
    }
  end)

  it("is interrupted by Ctrl-C, at the prompt and in a chunk", function()
    local _, code = type_in {
      { PROMPT, "nonsense" }, { "nonsense", "\3" },
      { PROMPT, "print('be' .. 'gun') while true do os.time() end\n" }, { "begun", "\3" },
      { "interrupted!\n" }, { PROMPT, "6 * 7\n" }, { "\n42\n" }, { PROMPT, "\4" },
    }
    assert.equal(0, code)
  end)

  it("goes on when all descriptors are in use", function()
    local shell = ("sh -c 'ulimit -n 64; exec %s/lunik'"):format(build)
    local output, code = on_terminal(shell, {
      { "lunik> ", "f = {} repeat x = io.open '/dev/null' f[#f + 1] = x until not x\n" },
      { "lunik> ", "#f .. '+'\n" },
      { "+", "f = nil collectgarbage()\n" },
      { "lunik> ", "quit\n" },
    }, { "LUNIK_HISTORY=/dev/null" })
    assert.equal(0, code, output)
  end)

  it("follows the terminal's size", function()
    local long = ("x"):rep(100)
    type_in {
      { PROMPT, "lunik.spawn(function() lunik.sleep(0.01) os.execute 'stty cols 200 rows 24' "
        .. "print 'wi\\x64e' end)\n" },
      { "wide\n" }, { PROMPT, "#'" .. long .. "'" }, { long .. "'", "\n" }, { "\n100\n" },
      { PROMPT, "\4" },
    }
  end)

  it("goes on where it was after Ctrl-Z", function()
    local _, code = on_terminal(terminal.SHELL, {
      { "bash-", build .. "/lunik\n" }, { PROMPT, "x = 'abc" }, { "x = 'abc", "\26" },
      { "Stopped" }, { "bash-", "fg\n" }, { PROMPT .. "x = 'abc", "'\n" }, { PROMPT, "x\n" },
      { '\n"abc"\n' }, { PROMPT, "\4" }, { "bash-", "exit 7\n" },
    }, { "LUNIK_HISTORY=/dev/null" })
    assert.equal(7, code)
  end)

  -- After these steps: so many words are typed and given up, and the prompt still answers.
  local function survives_interrupts(steps, count)
    for i = 1, count do
      table.insert(steps, { PROMPT, "word" .. i })
      table.insert(steps, { "word" .. i, "\3" })
    end
    table.insert(steps, { PROMPT, "'s' .. 'till'\n" })
    table.insert(steps, { '"still"\n', "\4" })
    assert.equal(0, (select(2, type_in(steps))))
  end

  it("is interrupted by Ctrl-C in the sandbox, too", function()
    local steps = { { PROMPT, MACHINE }, { PROMPT, "m:start()\n" }, { "(running)" } }
    survives_interrupts(steps, 3)
  end)

  it("is not ended by one Ctrl-C after the other", function()
    survives_interrupts({}, 50)
  end)

  it("gives up what is not complete at Ctrl-D", function()
    local out = type_in {
      { PROMPT, "function f()\n" }, { ">> ", "\4" }, { "'end' expected" }, { PROMPT, "6 * 7\n" },
      { "\n42\n" }, { PROMPT, "quit\n" },
    }
    assert.matches(">> \nstdin:1: 'end' expected near <eof>\nlunik> ", out, 1, true)
  end)

  it("has no empty line after a mistake", function()
    local out = type_in { { PROMPT, "x = = 1\n" }, { "near '='" }, { PROMPT, "\4" } }
    assert.matches("near '='\nlunik> ", out, 1, true)
  end)

  it("puts what happens meanwhile above the line", function()
    type_in {
      { PROMPT, "lunik.spawn(function() lunik.sleep(0.01) error 'bo\\x6fm' end)\n" },
      { "boom" }, { PROMPT, "6 * 7\n" }, { "\n42\n" }, { PROMPT, "\4" },
    }
  end)

  it("puts what a guest says above the line, in whole lines", function()
    local out = type_in {
      { PROMPT, "function f(print, write) for _, s in ipairs { 'o', 'ne\\ntw', 'o\\nthree' } do "
        .. "lunik.sleep(0.01) write(s) end print('do' .. 'ne') end\n" },
      { PROMPT, "lunik.spawn(f, print, io.write)\n" },
      { "done\n" }, { PROMPT, "6 * 7\n" }, { "\nthree42\n" }, { PROMPT, "\4" },
    }
    assert.matches("lunik> .?.?.?one\n.?.?.?lunik> .?.?.?two\n", out)
  end)

  it("offers nothing for an indentation, which may be pasted", function()
    local out = type_in {
      { PROMPT, "if true then\n\t\tprint(7 * 6)\nend\n" }, { "\n42\n" }, { PROMPT, "\4" },
    }
    assert.not_matches("collectgarbage", out, 1, true)
  end)

  it("keeps the history when it ends in another way", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    type_in({ { PROMPT, "7 * 7\n" }, { "\n49\n" }, { PROMPT, "os.exit(0)\n" } }, path)
    type_in({ { PROMPT, "\16\16" }, { "7 * 7", "\n" }, { "\n49\n" }, { PROMPT, "\4" } }, path)
    local out = type_in({ { PROMPT, "1\n" }, { PROMPT, "2\n" }, { PROMPT, "\4" } }, "/no/such/file")
    local _, count = out:gsub("the history can't be saved to '/no/such/file': no such file", "")
    assert.equal(1, count)
  end)

  it("keeps a history", function()
    local path = os.tmpname()
    os.remove(path)
    finally(function() os.remove(path) end)
    type_in({ { PROMPT, "7 * 7\n" }, { "\n49\n" }, { PROMPT, "\4" } }, path)
    type_in({ { PROMPT, "\16" }, { "7 * 7", "\n" }, { "\n49\n" }, { PROMPT, "\4" } }, path)
  end)
end)

describe("the prompt's history", function()
  local FORMAT = "_HiStOrY_V2_\n"

  local function entries(first, last)
    local lines = {}
    for i = first, last do
      table.insert(lines, ("old%d\n"):format(i))
    end
    return table.concat(lines)
  end

  it("outlives a terminal that is closed", function()
    for _ = 1, 3 do
      local path <close> = command.file(FORMAT .. entries(1, 3))
      local out = type_in({
        { PROMPT, "'pid ' .. io.open('/proc/self/stat'):read('n')\n" }, { '"pid ' },
        { PROMPT, terminal.HANGUP },
      }, path)
      -- it may end a moment later than its terminal
      run(("while kill -0 %s; do sleep 0.01; done"):format(out:match '"pid (%d+)"'))
      assert.matches("^" .. FORMAT .. entries(1, 3) .. "'pid[^\n]*\n$", command.read(path))
    end
  end)

  it("is shared by prompts that run at the same time", function()
    local path <close> = command.file("")
    local _, code = on_terminal(terminal.SHELL, {
      { "bash-", build .. "/lunik\n" }, { PROMPT, "'a1'\n" }, { '"a1"\n' }, { PROMPT, "\26" },
      { "Stopped" }, { "bash-", build .. "/lunik\n" }, { PROMPT, "'b1'\n" }, { '"b1"\n' },
      { PROMPT, "\4" }, { "bash-", "fg\n" }, { PROMPT, "'a2'\n" }, { '"a2"\n' },
      { PROMPT, "\4" }, { "bash-", "exit 7\n" },
    }, { "NO_COLOR=1", "LUNIK_HISTORY=" .. path })
    assert.equal(7, code)
    assert.equal(FORMAT .. "'a1'\n'b1'\n'a2'\n", command.read(path))
  end)

  it("is as it was where nothing can be written", function()
    local path <close> = command.file(FORMAT .. entries(1, 3))
    local out = on_terminal(("bash -c \"trap '' XFSZ; ulimit -f 0; exec %s/lunik\""):format(build),
      { { PROMPT, "1\n" }, { "can't be saved" }, { PROMPT, "\4" } },
      { "NO_COLOR=1", "LUNIK_HISTORY=" .. path })
    assert.matches("saved to '" .. path .. "': file too large\n", out)
    assert.equal(FORMAT .. entries(1, 3), command.read(path))
  end)

  it("is not written to a file of another kind", function()
    local path <close> = command.file("all I know\n")
    local out = type_in({ { PROMPT, "1\n" }, { "can't be saved" }, { PROMPT, "\4" } }, path)
    assert.matches("saved to '" .. path .. "': it is another kind of file", out, 1, true)
    assert.equal("all I know\n", command.read(path))
  end)

  it("begins on a line of its own where the last one was cut short", function()
    local path <close> = command.file(FORMAT .. "old1\nol")
    type_in({ { PROMPT, "1\n" }, { "\n1\n" }, { PROMPT, "\4" } }, path)
    assert.equal(FORMAT .. "old1\nol\n1\n", command.read(path))
  end)

  it("takes bytes of any kind, and chunks of several lines", function()
    local path <close> = command.file("")
    local typed = "'\\\\u{e4}ä',\n"
    type_in({ { PROMPT, typed }, { ">> ", "2\n" }, { "\t2\n" }, { PROMPT, "\4" } }, path)
    type_in({ { PROMPT, "\16" }, { typed .. "2", "\n" }, { "\t2\n" }, { PROMPT, "\4" } }, path)
  end)

  it("does not grow for ever when other prompts add to it", function()
    local path <close> = command.file("")
    local _, code = on_terminal(terminal.SHELL, {
      { "bash-", build .. "/lunik\n" }, { PROMPT, "'a1'\n" }, { '"a1"\n' }, { PROMPT, "\26" },
      { "Stopped" }, { "bash-", ("seq -f old%%g 3000 >>%s; %s/lunik\n"):format(path, build) },
      { PROMPT, "'b1'\n" }, { '"b1"\n' }, { PROMPT, "\4" },
      { "bash-", "fg\n" }, { PROMPT, "'a2'\n" }, { '"a2"\n' }, { PROMPT, "\4" },
      { "bash-", "exit 7\n" },
    }, { "NO_COLOR=1", "LUNIK_HISTORY=" .. path })
    assert.equal(7, code)
    assert.equal(FORMAT .. entries(2001, 3000) .. "'b1'\n'a2'\n", command.read(path))
    local left = run(("ls %s.*"):format(path))
    assert.equal("", left)
  end)
end)

describe("completion", function()
  local script = [[
    local complete = require "lunik.command.complete"
    print(table.concat(complete(arg[1], arg[2]), " "))
  ]]
  local function complete(line, word, setup)
    local path <close> = command.file((setup or "") .. script)
    return (run(("%s/lunik %s '%s' '%s'"):format(build, path, line, word)))
  end

  it("knows globals, fields and methods", function()
    assert.equal("string.rep string.reverse\n", complete("x = string.re", "string.re"))
    assert.equal("setmetatable\n", complete("setm", "setm"))
    assert.equal("m:device_add m:device_del\n", complete("m:device_", "m:device_", MACHINE:gsub(
      "^m", "lunik = require 'lunik' m")))
    assert.equal("o.share\n", complete("o.sha", "o.sha", "lunik = require 'lunik' " .. MACHINE
      .. "o = m:object_add('memory-backend-ram', { id = 'mem1', size = '1M' })\n"))
    assert.equal("\n", complete("nothing.x", "nothing.x"))
    assert.equal("s..string.reverse\n", complete("x = s..string.reve", "s..string.reve"))
  end)

  local MEMORY = MACHINE .. "m:object_add('memory-backend-ram', { id = 'mem-1', size = '1M' })\n"

  for line, word in pairs {
    ["m:cpus():re"] = ":re", ["t[1].re"] = ".re",
    ["(\"x\"):re"] = ":re", ["f{}.re"] = ".re", ["f()re"] = "re",
    ["x = 1.re"] = "1.re", ["m:re.re"] = "m:re.re", ["local re"] = "re", ["function re"] = "re",
    ["for re"] = "re", ["-- re"] = "re", ["x = [[re"] = "re", ["string:re"] = "string:re",
    ["m:on(\"pc-"] = "", ["m:on(\"pc_"] = "pc_", ["m:device_add(\"mem"] = "mem",
    ["m:device_del(\"mem"] = "mem", ["print(\"mem"] = "mem", ["x = \"pc-d"] = "d",
    ["m:device_add(\"pc-dimm\", { size = \"me"] = "me", ["end.re"] = "end.re",
    ["m:wait(\"acpi-ost\", { device = \"mem\" }).re"] = ".re",
  } do
    it("offers nothing for " .. line, function()
      assert.equal("\n", complete(line, word, MEMORY))
    end)
  end

  it("offers only what can be written as a name", function()
    local setup = "t = { ['a b'] = 1, ['end'] = 2, ['a-c'] = 3, abc = 4 }\n"
    assert.equal("t.abc\n", complete("t.a", "t.a", setup))
    assert.equal("\n", complete("t.e", "t.e", setup))
  end)

  it("fits what a call or a field takes", function()
    assert.equal("acpi-ost\n", complete("m:on(\"acpi-", "acpi-", MEMORY))
    assert.equal("ost\n", complete("m:wait(\"acpi-o", "o", MEMORY))
    assert.equal("memory-backend-file memory-backend-memfd memory-backend-ram\n",
      complete("m:object_add(\"memory-", "memory-", MEMORY))
    assert.equal("1\n", complete("m:device_add(\"pc-dimm\", { memdev = \"mem-", "", MEMORY))
    assert.equal("pc-dimm\n", complete("help \"pc-d", "pc-d", MEMORY))
    assert.equal("mem-1\n", complete("x = m:object(\"\\\"\") m:object(\"me", "me", MEMORY))
  end)

  for line, want in pairs {
    ["m:device_add(\"pc-dimm\", { mem"] = "memdev",
    ["m:device_add(\"pc-dimm\", { memdev = \"x\", mem"] = "",
    ["m:device_add(\"pc-dimm\", { id = \"d,}\", memdev = \""] = "mem-1",
    ["m:device_add(\"pc-dimm\", { memdev = "] = "\"mem-1\"",
    ["m:object_add(\"memory-backend-ram\", { policy = \"b"] = "bind",
    ["m:object_add(\"memory-backend-ram\", { share = "] = "false true",
    ["lunik.machine { boa"] = "board", ["lunik.machine { board = \"mi"] = "micro",
    ["lunik.machine { accel = \""] = "kvm none",
    ["lunik.machine { kernel = \"scripts/boa"] = "boards/",
    ["m:cpu(0):re"] = ":reg :regs", ["m:cpu(0):reg(\"r1"] = "r10 r11 r12 r13 r14 r15",
    ["m:object(\"mem-1\").ali"] = ".alive", ["m:mtree { fl"] = "flat",
    ["m:sample { \"dirty"] = "dirty rate", ["lunik.plot { format = \"s"] = "svg",
    ["devi"] = "device_add device_del", ["x = devi"] = "", ["info mem"] = "memdev memory-devices "
      .. "memory_size_summary", ["device_add pc-d"] = "dimm",
    ["device_add pc-dimm,memde"] = "memdev=",
    ["device_add pc-dimm,id=d1,memdev="] = "mem-1", ["object_del me"] = "mem-1",
    ["dofile \"scripts/boards/mi"] = "micro.lua",
  } do
    it("fits " .. line, function()
      local word = line:match "[^ \t\"(){},;=/-]*$"
      local out = complete(line, word, "lunik = require 'lunik' " .. MEMORY)
      assert.equal(want .. "\n", out)
    end)
  end

  it("knows the ids of objects and the names of types inside quotes", function()
    assert.equal("pc-dimm\n", complete("m:device_add(\"pc-d", "pc-d"))
    assert.equal("mem1\n", complete("m:object_del(\"mem1", "mem1", "lunik = require 'lunik' "
      .. MACHINE .. "m:object_add('memory-backend-ram', { id = 'mem1', size = '1M' })\n"))
  end)
end)
