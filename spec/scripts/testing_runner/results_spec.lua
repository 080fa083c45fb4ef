-- The results that are read from a test's output, and how they are shown.
local frames = require "lunik.testing_runner.frames"
local progress = require "lunik.testing_runner.progress"
local records = require "lunik.testing_runner.records"
local report = require "lunik.testing_runner.report"
local results = require "lunik.testing_runner.results"

-- Returns the text that fn writes to standard output, by a file in its place.
local function written(fn)
  local stdout, file = io.stdout, assert(io.tmpfile())
  io.stdout = file -- luacheck: ignore 122
  local ok, err = pcall(fn)
  io.stdout = stdout -- luacheck: ignore 122
  assert(ok, err)
  file:seek "set"
  local text = file:read "a"
  file:close()
  return text
end

-- Returns the run of a job that has printed this, which comes in pieces of that size.
local function run_of(job, text, piece)
  local run = results.new(job, 10)
  for i = 1, #text, piece do results.take(run, text:sub(i, i + piece - 1), 12) end
  return run
end

describe("records", function()
  it("carry any text", function()
    local hard = "a\\n\n\tb\30lunik \\"
    local line = written(function() records.write("kind", hard, 5, "") end)
    assert.equal(1, select(2, line:gsub("\n", "")))
    local before, record = records.parse("half a line" .. line:sub(1, -2))
    assert.equal("half a line", before)
    assert.same({ "kind", hard, "5", "" }, record)
    assert.same({ "ok 1 - plain" }, { records.parse "ok 1 - plain" })
  end)
end)

describe("the results of a spec", function()
  local text = written(function()
    records.write("start", "adds", "a_spec.lua:1")
    io.stdout:write "unfinished"
    records.write("end", "passed", "adds", "a_spec.lua:1", 0.5)
    io.stdout:write "ok 2 - no result\n"
    records.write("start", "fails", "a_spec.lua:2")
    records.write("end", "failed", "fails", "a_spec.lua:2", 0, "two\nlines", "more")
    records.write("end", "skipped", "skips", "", 0, "a reason")
    records.write("start", "hangs", "a_spec.lua:3")
    records.write("waiting", "a bus", 4)
  end)

  it("are the same in whatever pieces they come", function()
    for _, piece in ipairs { 1, 7, #text } do
      local run = run_of({ name = "a" }, text, piece)
      assert.same({
        { name = "adds", status = "passed", place = "a_spec.lua:1", seconds = 0.5, details = {} },
        { name = "fails", status = "failed", place = "a_spec.lua:2", seconds = 0.0,
          details = { "a_spec.lua:2", "two", "lines", "more" } },
        { name = "skips", status = "skipped", seconds = 0.0, reason = "a reason", details = {} },
      }, run.results)
      assert.same({ "unfinished", "ok 2 - no result" }, run.other)
      assert.same({ name = "hangs", place = "a_spec.lua:3", since = 12 }, run.current)
    end
  end)

  it("blame the example that ran when the process ended badly", function()
    local run = run_of({ name = "a" }, text, #text)
    results.finish(run, "was killed", true, 15)
    assert.same({ name = "hangs", status = "failed", place = "a_spec.lua:3", details = {
      "a_spec.lua:3", "was killed in this example, which began 3.0 s before",
      "it was waiting for a bus, for 7 s" } }, run.results[4])
    assert.equal(5, run.seconds)
  end)

  it("explain an exit code, or do not", function()
    for failed, more in pairs { [true] = 0, [false] = 1 } do
      local run = results.new({ name = "a" }, 0)
      run.results[1] = { status = failed and "failed" or "passed", details = {} }
      results.finish(run, "ended with exit code 1", false, 1)
      assert.equal(1 + more, #run.results)
    end
  end)

  it("are shown while they come, in a line that fits", function()
    local run = run_of({ name = "spec/a_spec.lua" }, text, #text)
    assert.equal("[2/9] spec/a_spec.lua 5 s: hangs 3 s, waiting for a bus 7 s",
      progress.line({ run }, 15, 2, 9, 100))
    assert.equal("[2/9] spec/a_sp", progress.line({ run }, 15, 2, 9, 16))
    run.current.name = ("ä"):rep(80)
    local line = progress.line({ run }, 15, 2, 9, 60)
    assert.equal(59, utf8.len(line))
  end)
end)

describe("the results of a C test", function()
  it("are its lines", function()
    local run = run_of({ name = "c", checks = true },
      "ok one\nnoise\nnot ok two: got 1, want 2\nok # SKIP no KVM\n1..3\n", 5)
    assert.same({ { name = "one", status = "passed", details = {} },
      { name = "two: got 1, want 2", status = "failed", details = {} },
      { name = "no KVM", status = "skipped", details = {} } }, run.results)
    assert.same({ "noise" }, run.other)
  end)
end)

describe("JUnit", function()
  it("is well-formed, whatever tests print", function()
    local run = results.new({ name = 'a<"&' }, 0)
    run.results = { { name = "n\1\n", status = "failed", details = { "p", "caf\xe9 <&>" } } }
    run.other = { "\27[1m ü" }
    local file = assert(io.tmpfile())
    local close = setmetatable({}, { __index = function(_, name)
      return name == "write" and function(_, ...) return file:write(...) end or function() end
    end })
    report.junit({ run }, close)
    file:seek "set"
    local xml = file:read "a"
    assert.matches('<testsuite name="a&lt;&quot;&amp;" tests="1" failures="1"', xml, 1, true)
    assert.matches('name="n\u{fffd}&#10;"', xml, 1, true)
    assert.matches('<failure message="caf\u{fffd} &lt;&amp;&gt;">', xml, 1, true)
    assert.matches("<system-out>\u{fffd}[1m ü</system-out>", xml, 1, true)
    assert.is_truthy(utf8.len(xml))
  end)
end)

describe("a traceback", function()
  it("is cut to the test's own part", function()
    local text = [[
stack traceback:
	[C]: in function 'error'
	spec/a_spec.lua:3: in upvalue 'helper'
	/x/lunik/testing/plug.lua:3: in function 'plug'
	spec/a_spec.lua:9: in function <spec/a_spec.lua:5>
	[C]: in function 'xpcall'
	/usr/share/lua/5.4/busted/core.lua:178: in field 'safe']]
    assert.equal("stack traceback:\n\tspec/a_spec.lua:3: in upvalue 'helper'\n"
      .. "\tspec/a_spec.lua:9: in function <spec/a_spec.lua:5>", frames(text, 2))
    assert.is_nil(frames(text, 3))
  end)
end)
