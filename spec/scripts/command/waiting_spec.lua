-- Waits are shown: on a terminal, in one line.
local command = require "spec.support.command"
local core = require "lunik.core"
local lunik = require "lunik"
local terminal = require "spec.support.terminal"
local wait = require "lunik.wait"
local waiting = require "lunik.waiting"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

local MACHINE = [[
local lunik = require "lunik"
local m = lunik.machine { board = "micro", accel = "none", memory = "1M", serial = %q }
m:start()
]]

-- Returns what a script that has a machine shows on a terminal.
local function screen_of(script, serial)
  local path <close> = command.file(MACHINE:format(serial or "buffer") .. script)
  return on_terminal(("%s %s"):format(command.lunik, path), {})
end

describe("a wait on a terminal", function()
  it("is shown with what is waited for, until when, and cleared", function()
    local screen = screen_of [[
      print(pcall(m.wait, m, "acpi-ost", { device = "dimm1", timeout = 2.5 }))
      m:close()]]
    assert.matches("waiting for 'acpi%-ost' with device = dimm1, %d s of 2.5 s\27%[K", screen)
    assert.matches(", %d s of 2.5 s\27%[K\27%[Kfalse", screen)
  end)

  for what, script in pairs {
    ["'login:' on the console, %d s of 2 s"] =
      "pcall(m:console().expect, m:console(), 'login:', { timeout = 2 }) m:close()",
    ["the time to pass, %d s of 1.5 s"] = "lunik.sleep(1.5) m:close()",
    ["end of the coroutine, %d s, and 1 more"] = [[
      lunik.spawn(function() lunik.sleep(0.01) lunik.sleep(1.8) end):wait()
      m:close()]],
    ["machine '%w+' to stop, %d s"] =
      "lunik.spawn(function() for _ = 1, 15 do lunik.sleep(0.1) end m:close() end)",
  } do
    it("names " .. what, function()
      assert.matches("waiting for " .. what, (screen_of(script)))
    end)
  end

  it("is shorter than the terminal is wide", function()
    local path <close> = command.file(MACHINE:format "buffer" .. [[
      pcall(m.wait, m, "acpi-ost", { device = "dimm1", timeout = 1.5 })
      m:close()]])
    local screen = on_terminal(("sh -c 'stty cols 30; exec %s %s'"):format(command.lunik, path), {})
    assert.matches("waiting for 'acpi-ost' with d\27[K", screen, 1, true)
  end)

  it("gives way to what scripts print", function()
    local screen = screen_of [[
      lunik.spawn(function()
        lunik.sleep(1.3)
        print "printed"
        lunik.sleep(1)
        io.write "half a "
        lunik.sleep(1.5)
        io.stdout:write "line\n"
      end)
      lunik.sleep(6)
      m:close()]]
    assert.matches("%d s of [%d.]+ s, and 1 more\27%[K\27%[Kprinted\n", screen)
    assert.matches("half a line\n", screen, 1, true)
    assert.matches("half a line\n[^\n]*waiting for the time to pass, %d s of 6 s", screen)
  end)

  it("is not shown where a guest has the terminal", function()
    assert.not_matches("waiting", (screen_of("lunik.sleep(1.5) print 'over' m:close()", "stdio")))
  end)

  it("is not shown while the prompt reads", function()
    local path <close> = command.file [[
      function nap(seconds) lunik.sleep(seconds) return "rested" end
      lunik.spawn(function() lunik.sleep(1.5) print "task" lunik.sleep(60) end)]]
    local screen = on_terminal(("%s -i %s"):format(command.lunik, path), {
      { "task\n", "nap(1.5)\r" }, { "waiting for the time to pass" }, { "rested", "quit\r" },
    }, { "LUNIK_HISTORY=/dev/null" })
    assert.not_matches("waiting.*task\n", screen)
  end)

  it("is not shown elsewhere", function()
    local path <close> = command.file(MACHINE:format "buffer" .. "lunik.sleep(1.5) print 'over'")
    assert.same({ "over\n", "", 0 }, { command.run(("timeout 5 %s -e 'lunik.sleep(0)' -e "
      .. "'dofile %q' -e 'os.exit(0)'"):format(command.lunik, tostring(path))) })
  end)
end)

describe("the waits for a display", function()
  local shown, hidden

  before_each(function()
    shown, hidden = {}, 0
    waiting.display {
      show = function(first, count) table.insert(shown, ("%s %d"):format(first.what, count)) end,
      hide = function() hidden = hidden + 1 end,
    }
  end)

  after_each(function() waiting.display(nil) end)

  it("are shown from a second on, the oldest first", function()
    lunik.sleep(0.2)
    assert.same({}, shown)
    local second = lunik.spawn(function()
      lunik.sleep(0.1)
      wait.block { what = "more", start = function(wake)
        local timer = core.timer(1.6, function() wake(true) end)
        return function() timer:cancel() end
      end }
    end)
    second:wait()
    assert.equal("end of the coroutine 2", shown[1])
    assert.equal(1, hidden)
  end)

  it("have no timer when nothing is waited for", function()
    lunik.sleep(0)
    assert.is_nil(core.shared.waiting.timer)
    assert.equal(0, core.shared.waiting.waits.count)
  end)

  it("do not hide that nothing is left to wait for", function()
    local ok, err = pcall(wait.block, { what = "nothing", start = function() end })
    assert.is_false(ok)
    assert.matches("nothing is left that could end the wait for nothing", tostring(err))
  end)

  it("end with a coroutine that is cancelled", function()
    local task = lunik.spawn(function() lunik.sleep(1000) end)
    assert.equal(1, core.shared.waiting.waits.count)
    task:cancel()
    assert.equal(0, core.shared.waiting.waits.count)
  end)
end)
