-- What a person reads when an example fails: runs a spec that is wrong on purpose in a process of
-- its own, and compares busted's report.
local command = require "spec.support.command"

local HEAD = 'local lunik = require "lunik"\nlocal testing = require "lunik.testing"\n'

-- Runs an example (its first line is line 4 of the file, spec.lua) and returns what busted reports
-- of it, with the events' times as T, and how many seconds it took.
local function report(example, env)
  local source = HEAD .. 'it("is wrong", function()\n' .. example .. "\nend)\n"
  local path <close> = command.file(source, "_spec.lua")
  local out = command.run(("%s %s /usr/bin/busted --ignore-lua %s"):format(env or "",
    command.interpreter, path))
  local seconds, text = out:match " : (%d+%.?%d*) seconds(.*)$"
  text = text:gsub(tostring(path):gsub("%p", "%%%0"), "spec.lua")
  text = text:gsub("\n +%d+%.%d+ s  ", "\n T s  ")
  return out:match "\n(%d+ success.-) : " .. text, tonumber(seconds)
end

local MAP = [[
  memory map
    0000000000000000-000000000009ffff (prio 0, ram): pc.ram
    00000000000c0000-00000000000fffff (prio 0, ram): pc.ram @00000000000c0000
    0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000
    00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic
]]

local FAILED = "0 successes / 1 failure / 0 errors / 0 pending\n\nFailure -> spec.lua @ 3\n"
  .. "is wrong\n"

describe("a failure", function()
  it("shows console, events, memory map and the last flight, once", function()
    local text, flight = report([[
      local t = testing.machine {}
      t:plug { size = "32M" }
      assert.equal(1, t.m:memory_devices()[1].data.slot)
    ]]):match "^(.*)  the last flight\n(.*)$"
    assert.equal(FAILED .. [[
spec.lua:6: Expected objects to be equal.
Passed in:
(number) 0
Expected:
(number) 1
machine 'pc', scripted guest, running
  the console's last lines
    hotplug: 4 slots
    hotplug: slot 0 added 0x100000000 size 0x2000000 node 0
    hotplug: slot 0 tested 16 pages ok
    hotplug: slot 0 accepted
  events
 T s  started
 T s  device-added dimm1 driver=pc-dimm
 T s  acpi-ost dimm1 slot=0 slot_type=DIMM source=1 status=0
]] .. MAP .. [[
    0000000100000000-0000000101ffffff (prio 0, ram): dimm1-mem
]], text)
    assert.matches("^    plug of dimm1 %(pc%-dimm%) by spec.lua:5: accepted after [^\n]*\n"
      .. ".*device_add pc%-dimm id=dimm1 .*_OST source 0x1, status 0x0 for slot 0\n", flight)
    assert.not_matches("console's last lines", flight, 1, true)
  end)

  it("shows the ends of a long flight", function()
    local flight = report([[
      local t = testing.machine {}
      local lines = {}
      for i = 1, 100 do lines[i] = "step " .. i end
      t.recorder = { last = function() return table.concat(lines, "\n") end }
      error "enough"]]):match "  the last flight\n(.*)$"
    assert.matches("^    step 1\n.*    step 15\n    ... 60 more lines\n    step 76\n.*step 100\n$",
      flight)
  end)

  it("of a check has every difference", function()
    local text = report [[
      local t = testing.machine {}
      t:plug {}
      t.m:object_add("memory-backend-ram", { id = "m", size = "16M" })
      t.m:device_add("pc-dimm", { id = "other", memdev = "m" })
      t.m:wait("acpi-ost", { device = "other", timeout = 5 })
      t:check()]]
    assert.matches([[
spec.lua:9: check: the machine lists other (slot 1, 0x108000000, 16M), which is not plugged
  the map shows other at 0x108000000, 16M, which is not plugged
  144M of the machine's memory slots are used, not 128M
  the guest uses slot 1 (0x108000000, 16M), which is empty
  the guest counts 212607K of memory, not 65151K and 128M of DIMMs
machine 'pc', scripted guest, running
]], text, 1, true)
  end)

  it("of a check has what is missing, and what the journal has", function()
    local text = report [[
      local t = testing.machine {}
      t:plug {}
      t.m:on("reset", function() error "oops" end)
      t.m:reset()
      t.m:device_del "dimm1"
      t.m:wait("device-deleted", { timeout = 5 })
      t:check()]]
    for _, line in ipairs { "the machine does not list dimm1", "the map does not show dimm1",
      "the guest does not use dimm1 (slot 0)", "the journal has: machine 'pc': error" } do
      assert.matches(line, text, 1, true)
    end
  end)

  it("of a time-out says what was waited for, and what came instead", function()
    assert.matches("spec.lua:5: waited 0.1 s for the guest's answer to dimm1; instead came: "
      .. "device-added dimm1 driver=pc-dimm\n", report [[
      local t = testing.machine { timeout = 0.1, cold = {} }
      t.guest.guest.base = 0 t:plug {}]], 1, true)
    assert.matches("spec.lua:6: waited 0.1 s for event 2, acpi-ost device=dimm1 status=1; instead "
      .. "came: acpi-ost dimm1 slot=0 slot_type=DIMM source=1 status=0\n", report [[
      local t = testing.machine { timeout = 0.1 }
      t:plug {}
      t.journal:expect { "device-added dimm1", { "acpi-ost", device = "dimm1", status = 1 } }]], 1,
      true)
    assert.matches("spec.lua:5: waited 0.1 s for 'login' on the console; instead came: "
      .. "'hotplug: 4 slots\\n'\n", report [[
      local t = testing.machine {}
      t.console:expect("login", { timeout = 0.1 })]], 1, true)
    assert.matches("spec.lua:4: waited 0.1 s for rain; at last it raised: spec.lua:4: dry\n",
      report [[testing.eventually(function() error "dry" end, { timeout = 0.1, what = "rain" })]],
      1, true)
  end)

  it("comes at once when the console prints what it must not", function()
    local text, seconds = report [[
      local t = testing.machine { fail_on = { "tested %d+" } }
      t:plug {}
      t.console:expect "never"]]
    assert.matches("spec.lua:5: the console printed 'hotplug: slot 0 tested 16 pages ok', which "
      .. "matches 'tested %d+', while waiting for the guest's answer to dimm1\n", text, 1, true)
    assert.is_true(seconds < 10)
  end)

  it("of a machine that has crashed shows why", function()
    local text = report [[
      local t = testing.machine {}
      t.m:emit("crashed", { message = "a triple fault", dump = "rip=0x1000" })
      t.console:expect("never", { timeout = 0.1 })]]
    assert.matches("  the crash\n    a triple fault\n    rip=0x1000\n", text, 1, true)
  end)

  it("comes at once when the machine is closed", function()
    assert.matches("spec.lua:6: the machine was closed while waiting for 'x' on the console\n",
      report [[
      local t = testing.machine {}
      lunik.spawn(function() lunik.sleep(0.01) t.m:close() end)
      t.console:expect "x"]], 1, true)
  end)

  it("of an answer says what the guest did", function()
    assert.matches("spec.lua:6: plug: the guest has refused dimm1 (_OST source 0x1, status 0x1), "
      .. "which was to be accepted\n", report [[
      local t = testing.machine {}
      t.guest:refuse { insert = true }
      t:plug {}]], 1, true)
    assert.matches("spec.lua:7: unplug: dimm1 is refused (_OST source 0x3, status 0x80), and was "
      .. "to be ejected\n", report [[
      local t = testing.machine {}
      t:plug {}
      t.guest:refuse { eject = true }
      t:unplug "dimm1"]], 1, true)
  end)

  it("of events says which one must not come", function()
    assert.matches("spec.lua:6: acpi-ost must not come, but did: acpi-ost dimm1 slot=0 ", report [[
      local t = testing.machine {}
      t:plug {}
      t.journal:none { "error", "acpi-ost" }]], 1, true)
    assert.matches("spec.lua:6: event 1, acpi-ost device=dimm1: instead came started\n",
      report [[
      local t = testing.machine {}
      t:plug {}
      t.journal:expect({ "acpi-ost dimm1" }, { exactly = true })]], 1, true)
  end)
end)

describe("refused", function()
  it("fails if there is no error, or another one", function()
    assert.matches("spec.lua:5: refused: no error was raised\n", report [[
      local t = testing.machine {}
      t:refused { function() end }]], 1, true)
    assert.matches("spec.lua:5: refused: the error's code is 'invalid', not 'busy': "
      .. "spec.lua:5: memory-backend-memfd: size: 0 is out of range", report [[
      local t = testing.machine {}
      t:refused { code = "busy", function() t:plug { size = 0 } end }]], 1, true)
    assert.matches("spec.lua:4: refused: the message does not say 'blue': ", report [[
      testing.refused { words = { "slots", "blue" },
        function() lunik.machine { accel = "none", slots = 1 } end }]], 1, true)
  end)

  it("fails if something has changed", function()
    local text = report [[
      local t = testing.machine {}
      t:refused { function() t.m:object("pc.ram").merge = false error("no") end }]]
    assert.matches("refused: 'spec.lua:5: no' has changed the machine:\n"
      .. "  gone: /objects/pc.ram: merge = true\n  new:  /objects/pc.ram: merge = false\n", text, 1,
      true)
  end)

  it("fails if something is left behind", function()
    local text = report [[
      testing.refused { function() LEFT = io.open "/dev/null" error("no") end }]]
    assert.matches("refused: 'spec.lua:4: no' leaves behind file descriptors: %d+, not %d+\n", text)
  end)
end)

describe("the end of an example", function()
  it("fails if something is left behind, with the example's line", function()
    assert.matches("Failure %-> spec.lua @ 3\nis wrong\nspec.lua:3: the example leaves behind "
      .. "file descriptors: %d+, not %d+; machines: 1, not 0\n", (report [[
      MACHINE = lunik.machine { board = "micro", accel = "none", memory = "16M" }]]))
  end)

  it("fails if there were errors that nothing has looked at", function()
    local example = [[
      local t = testing.machine {}
      t.m:on("reset", function() error "oops" end)
      t.m:reset()
      %s]]
    assert.matches("Failure -> spec.lua @ 3\nis wrong\nspec.lua:3: at the end: the journal has: "
      .. "machine 'pc': error", report(example:format ""), 1, true)
    for _, look in ipairs { 't.journal:expect { "error" }', "t:pardon()" } do
      assert.matches("1 success ", (report(example:format(look))))
    end
  end)

  it("removes machines, files and directories, also of an example that fails", function()
    local text = report [[
      local t, file, folder = testing.machine {}, testing.file "text", testing.directory()
      t:plug { backend = "file" }
      local path = t.m:object("dimm1-mem").mem_path
      assert(io.open(folder .. "/inside", "w")):close()
      error(("%s %s %s"):format(file, folder, path))]]
    local paths = { text:match "spec.lua:8: (%S+) (%S+) (%S+)\n" }
    assert.equal(3, #paths)
    for _, path in ipairs(paths) do
      assert.is_nil(io.open(path), path)
    end
  end)
end)

describe("patience", function()
  local EXAMPLE = "testing.eventually(function() end, { what = 'nothing', timeout = 2 })"

  it("makes all time-outs longer", function()
    local text, seconds = report(EXAMPLE, "LUNIK_PATIENCE=0.05")
    assert.matches("waited 0.1 s for nothing; at last it returned nil\n", text, 1, true)
    assert.is_true(seconds >= 0.1)
  end)

  it("is refused where it is no factor", function()
    for _, given in ipairs { "0", "-1", "inf", "long" } do
      local out = command.run(("LUNIK_PATIENCE=%s %s -e 'require [[lunik.testing]]' 2>&1"):format(
        given, command.interpreter))
      assert.matches(("LUNIK_PATIENCE is '%s' (want a factor above 0"):format(given), out, 1, true)
    end
  end)
end)

describe("a skipped example", function()
  it("has its reason, and no details", function()
    local text = report [[
      local t = testing.machine {}
      testing.skip "the moon is full"]]
    assert.equal("0 successes / 0 failures / 0 errors / 1 pending\n\nPending -> spec.lua @ 5\n"
      .. "is wrong\nspec.lua:5: the moon is full\n", text)
  end)

  it("has no guest that can do it", function()
    local text = report [[
      local linux = setmetatable({ name = "odd", fill = false },
        { __index = require "lunik.testing.guests.scripted" })
      linux.unavailable = function() return "out of order" end
      testing.machine { guest = linux }]]
    assert.matches("spec.lua:7: the odd guest: out of order\n", text, 1, true)
  end)
end)
