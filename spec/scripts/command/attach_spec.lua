local command = require "spec.support.command"
local terminal = require "spec.support.terminal"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

local build, run = command.build, command.run

local MACHINE = [[
m = lunik.machine { board = "pc", accel = "none", memory = "64M", slots = 2, maxmem = "1G",
  serial = "buffer", name = "served" }
m:object_add("memory-backend-ram", { id = "mem1", size = "16M" })
]]

-- Returns the shell's line that runs a process with a prompt at a socket, as `$S`, until the
-- commands have ended, and the file with the process's output.
local function served(commands, script)
  local folder = os.tmpname()
  os.remove(folder)
  local path = folder .. ".lua"
  command.write(path, MACHINE .. (script or "") .. "\nlunik.sleep(60)\n")
  finally(function()
    os.remove(path)
    os.remove(folder .. ".out")
  end)
  return ("S=%s.sock; %s/lunik --prompt unix:$S %s >%s.out 2>&1 & P=$!; "):format(folder, build,
    path, folder) .. ("for _ in $(seq 400); do [ -S $S ] && break; sleep 0.02; done; %s; R=$?; "
    .. "kill $P; wait $P; (exit $R)"):format(commands), folder .. ".out"
end

-- Returns what a client prints whose input has these lines.
local function ask(lines, script)
  local text <close> = command.file(lines)
  return run((served(("%s/lunik attach $S <%s"):format(build, text), script)))
end

describe("lunik attach", function()
  it("evaluates lines in the other process", function()
    assert.same({ "machine 'served' (created)\n3\n", "", 0 }, { ask "m\n1 +\n2\n" })
    assert.equal("hello\t1\nab\n", (ask "print('hello', 1)\nlocal _ = io.write('a', 'b\\n')\n"))
    assert.equal("VM status: paused (prelaunch)\n", (ask "info status\n"))
    assert.equal("5\n", (ask "lunik.sleep(0.05) return 5\n"))
    assert.equal("\0\27\xff", (ask "local _ = io.write('\\0\\27\\xff')\n"))
  end)

  it("reports errors and goes on", function()
    local out, err, code = ask "error 'boom'\nx = = 1\nm:wait(5)\n6\n"
    assert.same({ "6\n", 0 }, { out, code })
    assert.matches("stdin:1: boom\n", err, 1, true)
    assert.matches("unexpected symbol near '='", err, 1, true)
    assert.not_matches("session.lua", err, 1, true)
  end)

  it("gets what its own handlers print, and the process's stays there", function()
    local lines <close> = command.file("m:on('mine', print)\nm:emit 'mine'\nlunik.sleep(0.05)\n")
    local line, log = served(("%s/lunik attach $S <%s"):format(build, lines),
      "m:on('mine', function() print 'server' end)")
    local out = run(line)
    assert.matches("machine 'served': mine\n", out, 1, true)
    assert.not_matches("server", out, 1, true)
    assert.equal("server\n", command.read(log))
  end)

  it("leaves with quit, and the process goes on", function()
    local one <close> = command.file("x = 41\nquit\nx = 0\n")
    local two <close> = command.file("x + 1\n")
    local attach = ("%s/lunik attach $S <%%s; "):format(build)
    assert.equal("42\n", (run((served(attach:format(one) .. attach:format(two) .. ":")))))
  end)

  it("is interrupted when its client goes, which harms nothing", function()
    local lines <close> = command.file "m\n"
    local line = served(([[
      ( echo 'while true do print(("x"):rep(1000)) lunik.sleep(0) end'; sleep 5 ) |
      timeout -s KILL 1 %s/lunik attach $S | head -c 100 >/dev/null; %s/lunik attach $S <%s]])
      :format(build, build, lines))
    assert.equal("machine 'served' (created)\n", (run(line)))
  end)

  it("serves several clients at once", function()
    local line = served(([[( echo 'lunik.sleep(0.3) return "slow"'; sleep 1 ) | %s/lunik attach $S &
      echo '"quick"' | %s/lunik attach $S; sleep 1]]):format(build, build))
    assert.equal('"quick"\n"slow"\n', (run(line)))
  end)

  it("names what is wrong with the command line, or the socket", function()
    local _, err, code = run(build .. "/lunik attach")
    assert.same({ "lunik: no path is given (want the PATH of a prompt's socket)\n"
      .. "'lunik help attach' shows the options\n", 2 }, { err, code })
    _, err, code = run(build .. "/lunik attach /nowhere/x.sock")
    assert.same({ "lunik: can't connect to '/nowhere/x.sock': no such file or directory\n", 1 },
      { err, code })
    _, err, code = run(build .. "/lunik --prompt /nowhere/x.sock -e 'x = 1'")
    assert.same({ "lunik: --prompt: prompt: can't listen at '/nowhere/x.sock': no such file or "
      .. "directory\n", 2 }, { err, code })
  end)
end)

describe("a prompt's socket", function()
  it("is for its user only", function()
    assert.equal("600 socket\n", (run((served "stat -c '%a %F' $S"))))
  end)

  it("is that also in the sandbox", function()
    if command.interpreter ~= "lua5.4" then return pending "a sanitizer can't be sandboxed" end
    assert.equal("600 socket\n", (run((served("for _ in $(seq 400); do [ -S $S.2 ] && break; "
      .. "sleep 0.02; done; stat -c '%a %F' $S.2; rm -f $S.2", [[
        m:start()
        assert(lunik.sandbox())
        second = lunik.prompt { path = arg[0]:gsub("lua$", "sock.2") }
      ]])))))
  end)

  it("goes with the process, and replaces one that was left behind", function()
    local line = served(("test -S $S && cp -a $S $S.left 2>/dev/null; kill -9 $P; "
      .. "%s/lunik -e 'p = lunik.prompt { path = arg[-1] or \"'$S'\" }'; test -e $S; echo $?")
      :format(build))
    assert.equal("1\n", (run(line)))
  end)

  it("drops clients that send something else", function()
    local lunik = command.lunik
    for _, bytes in ipairs { "GET / HTTP/1.0\\r\\n\\r\\n", "line 99999999\\n", "line -1\\n",
      "\\0\\255", "nothing 3\\nabc", "line 4\\nquit" } do
      local line = served(("%s -e 's = require(\"lunik.core\").local_connect(arg[1]) "
        .. "s:read(function(t) if not t then ended = true lunik.stop() end end) "
        .. "s:write(\"%s\") lunik.run() print(ended)' /dev/null $S"):format(lunik, bytes))
      assert.equal("true\n", (run(line)), bytes)
    end
  end)
end)

describe("lunik top", function()
  it("shows machines and what is plugged", function()
    local lines <close> = command.file "m:device_add('pc-dimm', { memdev = 'mem1', id = 'd1' })\n"
    local out, _, code = run((served(("%s/lunik attach $S <%s >/dev/null; "
      .. "%s/lunik top -n 2 -d 0.1 $S"):format(build, lines, build))))
    assert.equal(0, code)
    assert.matches("machine +state +vCPUs +exits/s +dirty MiB/s +plugged\nserved +created ", out)
    assert.matches("served +created +0 +0 +0%.0 +16M\n", out)
    assert.matches("\nmachine 'served': device-added { device = \"d1\"", out, 1, true)
  end)

  it("wants numbers", function()
    local _, err, code = run(build .. "/lunik top -d x /tmp/s")
    assert.same({ "lunik: 'x' is not a number (want at least 0.1)\n"
      .. "'lunik help top' shows the options\n", 2 }, { err, code })
  end)
end)

describe("an attached prompt on a terminal", function()
  -- A shell on a terminal, with a process that serves a prompt.
  local function converse(steps, script)
    local all = { { "bash-", served("true", script):gsub("true; R=.*$", "") .. "\n" },
      { "bash-", "clear; " .. build .. "/lunik attach $S\n" } }
    for _, step in ipairs(steps) do all[#all + 1] = step end
    all[#all + 1] = { "bash-", "kill $P; exit 7\n" }
    local out, code = on_terminal(terminal.SHELL, all, { "LUNIK_HISTORY=/dev/null", "NO_COLOR=1" })
    assert.equal(7, code)
    return out
  end

  it("edits and completes lines, and is interrupted", function()
    converse {
      { "lunik> ", "m:object_del(\"me\t" }, { "m1", "\")\n" },
      { "lunik> ", "m:hotplugg\t" }, { "able_cpus", "\3" },
      { "lunik> ", "lunik.sleep(99)\n" }, { "lunik.sleep(99)", "\3" }, { "interrupted!", nil },
      { "lunik> ", "for i = 1, 2 do\n" }, { ">> ", "\4" }, { "lunik> ", "6 * 7\n" }, { "\n42\n" },
      { "lunik> ", "\4" },
    }
  end)

  it("has the guest's console until Ctrl-]", function()
    converse({
      { "lunik> ", "m:console():attach()\n" }, { "comes back]" }, { "typed?", "yes\1\1" },
      { "<yes\1>", "\29" }, { "lunik> ", "6 * 7\n" }, { "\n42\n" },
      { "lunik> ", "\4" },
    }, [[
      lunik.spawn(function()
        for c in ("typed?"):gmatch "." do m:outb(0x3f8, c:byte()) end
        local text = "<"
        while not text:find "\1" do
          lunik.sleep(0.01)
          while m:inb(0x3fd) & 1 == 1 do text = text .. string.char(m:inb(0x3f8)) end
        end
        for c in (text .. ">"):gmatch "." do m:outb(0x3f8, c:byte()) end
      end)
    ]])
  end)
end)
