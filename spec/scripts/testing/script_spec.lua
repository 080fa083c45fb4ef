-- The kit in a script, without busted: <close> variables end what it has made.
local command = require "spec.support.command"

local function run(text)
  return command.script('local testing = require "lunik.testing"\n' .. text)
end

describe("in a script the kit", function()
  it("can be used by several coroutines at once", function()
    assert.same({ "2 running\n320\n320\n", "", 0 }, { run [[
      local running = 0
      local function life()
        local t <close> = testing.machine {}
        running = running + 1
        if running == 2 then print "2 running" end
        t:plug { size = "256M" }
        t:check()
        local total = lunik.size "1M" + t.guest:total() >> 20
        t:unplug "dimm1"
        return total
      end
      local tasks = { lunik.spawn(life), lunik.spawn(life) }
      for _, task in ipairs(tasks) do print(task:wait { timeout = 20 }) end
    ]] })
  end)

  it("skips what can't be done here, which is no failure", function()
    local path <close> = command.file('require "lunik.testing".skip "no such host"', ".lua")
    local out, err, code = command.run(("%s run %s"):format(command.lunik, path))
    assert.same({ "", path .. ":1: skipped: no such host\n", 77 }, { out, err, code })
  end)

  it("removes files of DIMMs at the end of the scope", function()
    assert.same({ "true\tfalse\n", "", 0 }, { run [[
      local function exists(path)
        local file = io.open(path)
        return file ~= nil and file:close()
      end
      local path, before
      do
        local t <close> = testing.machine {}
        t:plug { backend = "file", size = "16M", share = true }
        path = t.m:object("dimm1-mem").mem_path
        before = exists(path)
      end
      print(before, exists(path))
    ]] })
  end)

  it("shows what a failure shows when an error ends the scope", function()
    local out, err, code = run [[
      local t <close> = testing.machine {}
      t:plug { size = "32M" }
      print "so far"
      error("no further", 0)
    ]]
    assert.same({ "so far\n", 1 }, { out, code })
    assert.matches("machine 'pc', scripted guest, running\n  the console's last lines\n.*"
      .. "device%-added dimm1.*dimm1%-mem\n.*no further", err)
  end)

  it("shows nothing of an error that was caught inside the scope", function()
    assert.same({ "busy\n", "", 0 }, { run [[
      local t <close> = testing.machine {}
      t:plug { size = "32M" }
      t.guest:refuse { eject = true }
      local request = t.m:device_del "dimm1"
      print(select(2, pcall(request.wait, request, { timeout = 10 })).code)
    ]] })
  end)
end)
