-- lunik.report{}, lunik run --report, lunik test --report: what a page is about.
local command = require "spec.support.command"
local core = require "lunik.core"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local pages = require "spec.support.pages"

local SCENARIO = [[
  local m <close> = lunik.machine { name = "vm1", accel = "none", memory = "64M", maxmem = "1G",
    slots = 4, serial = "buffer" }
  m:start()
  require("lunik.guest").attach(m, {})
  m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
  m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
  m:wait("acpi-ost", { device = "dimm1", timeout = 20 })
  for c in ("guest \27[31mred\n"):gmatch "." do m:outb(0x3f8, c:byte()) end
  print("plugged", 1)
  io.stdout:write("done\n")
]]

local function names(list, key)
  local out = {}
  for i, item in ipairs(list) do out[i] = item[key] end
  return out
end

local function find(list, key, value)
  for _, item in ipairs(list) do
    if item[key] == value then return item end
  end
end

describe("a page about a run", function()
  after_each(function()
    local current = require("lunik.report").current()
    if current then current:finish() end
    machines.close_all()
  end)

  describe("of the command", function()
    it("has the machine, its options, devices, memory maps, events, output and flights", function()
      local page <close>, out, err, code = pages.run(SCENARIO, "one two")
      assert.same({ "plugged\t1\ndone\n", "", 0 }, { out, err, code })
      local data = pages.data(page)
      assert.same({ code = 0, outcome = "passed", text = "The script ended without an error." },
        data.result)
      assert.same({ "one", "two" }, data.arguments)
      local m = data.machines[1]
      assert.same({ "vm1", "none", "pc", "running" }, { m.name, m.accel, m.board, m.state })
      assert.same({ "maxmem", '"1G"' }, find(m.options, 1, "maxmem"))
      assert.same({ "size", "128M" }, find(find(m.objects, 1, "dimm1")[4], 1, "size"))
      local before = find(m.maps.before, "name", "memory")
      local after = find(m.maps.after, "name", "memory")
      assert.is_nil(find(before.rows, 4, "mem1"))
      assert.same({ "0000000100000000", "128M", "ram", "mem1", { "slot 0: dimm1" }, 27 },
        find(after.rows, 4, "mem1"))
      assert.matches('device = "dimm1"', find(data.events, 3, "acpi-ost")[4], 1, true)
      assert.equal("guest \27[31mred\n", find(data.consoles, "machine", 0).chunks[1][2])
      local printed = {}
      for i, chunk in ipairs(find(data.consoles, "name", "script").chunks) do
        printed[i] = chunk[2]
      end
      assert.equal("plugged\t1\ndone\n", table.concat(printed))
      local flight = find(data.flights.list, 3, "dimm1")
      assert.same({ "plug", "pc-dimm", "accepted" }, { flight[2], flight[4], flight[8] })
      assert.is_true(flight[6] > 0 and flight[7] > flight[6] and flight[7] < data.duration)
      assert.is_true(#flight[11] > 5)
    end)

    it("has what guests print wherever it goes", function()
      local page <close>, out = pages.run [[
        local lunik = require "lunik"
        local m = lunik.machine { board = "pc", accel = "none", memory = "16M", serial = "stdio" }
        local function guest(port, text)
          for byte in text:gmatch "." do m:outb(port, byte:byte()) end
        end
        guest(0x3f8, "to the terminal\n")
        m:chardev("null", "late")
        m:device_add("serial16550", { iobase = 0x2f8, irq = 3, chardev = "late" })
        guest(0x2f8, "nowhere\n")
      ]]
      assert.equal("to the terminal\n", out)
      local data = pages.data(page)
      for name, text in pairs { ["serial-chardev"] = "to the terminal\n", late = "nowhere\n" } do
        local found = find(data.consoles, "name", "pc: " .. name)
        assert.same({ text, 0 }, { found.chunks[1][2], found.lost })
      end
    end)

    it("says why the script failed, and has a machine that was closed", function()
      local page <close>, _, err, code = pages.run(SCENARIO .. [[
        m:close()
        error "never </script> mind"
      ]])
      assert.equal(1, code)
      assert.matches("never </script> mind", err, 1, true)
      local data = pages.data(page)
      assert.same({ "failed", 1 }, { data.result.outcome, data.result.code })
      assert.equal("the script", data.errors[1].source)
      assert.matches(": never </script> mind$", data.errors[1].message)
      assert.matches("^stack traceback:", data.errors[1].traceback)
      assert.is_truthy(data.machines[1].closed)
      assert.is_truthy(find(data.machines[1].objects, 1, "dimm1"))
    end)

    it("has errors of handlers, which do not end the run", function()
      local page <close>, _, err, code = pages.run [[
        local m = lunik.machine { accel = "none", memory = "16M", board = "micro" }
        m:on("started", function() error "oops" end)
        m:start()
        lunik.sleep(0.01)
        m:shutdown()
      ]]
      assert.equal(0, code)
      assert.matches("oops", err)
      local failed = pages.data(page).errors[1]
      assert.matches("oops$", failed.message)
      assert.equal("machine 'micro': a handler of 'started'", failed.source)
    end)

    it("is written when the script leaves by an exit code or a signal", function()
      local page <close>, _, _, code = pages.run "lunik.exit(3)"
      assert.equal(3, code)
      assert.same({ code = 3, outcome = "failed", text = "The run ended with exit code 3." },
        pages.data(page).result)
      local stopped <close>, _, _, status = pages.run([[
        local m = lunik.machine { name = "asleep", accel = "none", memory = "16M" }
        m:start()
        lunik.sleep(100)
      ]], "", "timeout -s TERM 2")
      assert.is_true(status == 124 or status == 143)
      local data = pages.data(stopped)
      assert.same({ "interrupted", 143 }, { data.result.outcome, data.result.code })
      assert.equal("asleep", data.machines[1].name)
    end)

    it("is written from inside the sandbox", function()
      if core.sanitized() then return pending "sanitizers need what the sandbox forbids" end
      local page <close>, _, err, code = pages.run(SCENARIO)
      assert.same({ "", 0 }, { err, code })
      local script <close> = command.file(SCENARIO)
      local _, said, strict = command.run(("%s run --sandbox=none --report %s %s"):format(
        command.lunik, page, script))
      assert.same({ "", 0 }, { said, strict })
      assert.equal("passed", pages.data(page).result.outcome)
    end)

    it("refuses a file that can't be written before it runs anything", function()
      local script <close> = command.file 'print "ran"'
      local out, err, code = command.run(("%s run --report /nowhere/page.html %s"):format(
        command.lunik, script))
      assert.same({ "", 2 }, { out, code })
      assert.equal("lunik: report: file: /nowhere/page.html: no such file or directory\n", err)
    end)

    it("says so if the run was killed", function()
      local page <close> = pages.run [[
        local id = io.open "/proc/self/stat":read "n"
        lunik.sandbox(false)
        os.execute(("kill -9 %d"):format(id))
      ]]
      assert.matches("was killed: this page is written at its end", command.read(page))
    end)
  end)

  describe("of lunik.report", function()
    local path

    before_each(function() path = os.tmpname() end)
    after_each(function() os.remove(path) end)

    it("has notes and examples", function()
      local report = lunik.report { file = path, title = "<b>x</b>", script = "a/b.lua",
        arguments = {} }
      report:note "half </script>"
      report:test { name = "one", outcome = "passed", seconds = 0.5 }
      report:test { name = "two", outcome = "failed", message = "no", traceback = "stack" }
      report:finish { code = 1 }
      report:finish {}
      assert.is_true(report.finished)
      local data = pages.data(path)
      assert.same({ -1, "note", "half </script>" }, { table.unpack(data.events[1], 2, 4) })
      assert.same({ "one", "two" }, names(data.tests, "name"))
      assert.equal("1 of 2 examples failed.", data.result.text)
      assert.matches("<title>&lt;b&gt;x&lt;/b&gt;</title>", command.read(path), 1, true)
    end)

    it("has failed when its scope is left by an error", function()
      assert.has_error(function()
        local _ <close> = lunik.report { file = path }
        error("gone wrong", 0)
      end)
      local data = pages.data(path)
      assert.same({ "failed", "gone wrong" }, { data.result.outcome, data.errors[1].message })
    end)

    it("keeps no more than it is told, and says how much is missing", function()
      local report = lunik.report { file = path, events = 10, machines = 2, flights = 3, steps = 20,
        console = "8K", title = "small" }
      for i = 1, 4 do
        local m = machines.none { name = "m" .. i, serial = nil }
        for _ = 1, 30 do m:emit("tick", {}) end
        lunik.sleep(0)
        m:close()
      end
      for _ = 1, 2000 do io.write "" end
      for i = 1, 2000 do require("lunik.observe").notify("printed", ("%d\n"):format(i)) end
      report:finish()
      local data = pages.data(path)
      assert.equal(10, #data.events)
      assert.is_true(data.eventsLost >= 110)
      assert.same({ 2, 2 }, { #data.machines, data.machinesLost })
      local script = find(data.consoles, "name", "script")
      assert.is_true(script.lost > 0)
    end)

    it("leaves the way things are printed as it was", function()
      local print_was, write_was = print, io.write
      local report = lunik.report { file = path }
      assert.not_equal(print_was, print)
      report:finish()
      assert.equal(print_was, print)
      assert.equal(write_was, io.write)
    end)

    it("does not take part in what handlers do", function()
      local report = lunik.report { file = path }
      local m = machines.none {}
      local text = machines.stderr(function()
        m:emit("error", { source = "a test", message = "nobody listens" })
        lunik.sleep(0)
      end)
      report:finish()
      assert.matches("nobody listens", text)
    end)

    it("refuses wrong options", function()
      for message, options in pairs {
        ["report: file: is missing (want a file's name)"] = {},
        ["report: 'files' is not an option (did you mean 'file'?)"] = { files = "x" },
        ["report: events: '-1' is negative (want 0 or more)"] = { file = path, events = -1 },
        ["report: flights: '1000000' is too many (want up to 100000)"] = { file = path,
          flights = 1000000 },
      } do
        assert.equal(message, machines.raised(lunik.report, options).message)
      end
      local report = lunik.report { file = path }
      assert.matches("test: outcome: 'fine' is not a valid choice",
        machines.raised(report.test, report, { name = "x", outcome = "fine" }).message)
    end)
  end)

  describe("of specs", function()
    local top

    setup(function()
      top = command.run "mktemp -d":gsub("\n", "")
      command.run(("mkdir %s/spec"):format(top))
      command.write(top .. "/spec/a_spec.lua", [[
        describe("a", function()
          it("passes", function()
            local m <close> = require "lunik".machine { accel = "none", memory = "16M" }
          end)
          it("fails", function() assert.equal("<b>", 2) end)
          it("waits", function() pending "no reason" end)
        end)
      ]])
      command.write(top .. "/spec/b_spec.lua", 'it("is fine", function() end)')
    end)

    teardown(function() os.execute(("rm -rf '%s'"):format(top)) end)

    local function test(arguments)
      local lunik_command = command.run(("readlink -f %s"):format(command.lunik)):gsub("\n", "")
      return command.run(("cd %s && %s test %s"):format(top, lunik_command, arguments))
    end

    it("is made for each file, with an index", function()
      local _, _, code = test "--report pages/of/today"
      assert.equal(1, code)
      local data = pages.data(top .. "/pages/of/today/spec-a_spec.html")
      assert.same({ "a passes", "a fails", "a waits" }, names(data.tests, "name"))
      assert.same({ "passed", "failed", "skipped" }, names(data.tests, "outcome"))
      assert.same({ "failed", "a_spec.lua", "spec/a_spec.lua" }, { data.result.outcome, data.title,
        data.script })
      assert.equal(1, #data.machines)
      local index = command.read(top .. "/pages/of/today/index.html")
      assert.matches('<a href="spec-b_spec.html">spec/b_spec.lua</a>', index, 1, true)
      assert.matches("2 passed, 1 failed, 1 skipped", index, 1, true)
    end)

    it("is one file for one spec", function()
      local _, _, code = test "--report b.html b_spec"
      assert.equal(0, code)
      assert.equal("passed", pages.data(top .. "/b.html").result.outcome)
      local _, err, refused = test "--report all.html"
      assert.equal(2, refused)
      assert.matches("'all.html' is one page, but there are 2 files to run", err, 1, true)
    end)
  end)
end)
