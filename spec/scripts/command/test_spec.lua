-- lunik test: spec files in processes of their own.
local command = require "spec.support.command"
local terminal = require "spec.support.terminal"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

local MACHINE = [[
local lunik = require "lunik"
local function machine()
  local m = lunik.machine { board = "micro", accel = "none", memory = "1M" }
  m:start()
  return m
end
]]

local FILES = {
  ["spec/good_spec.lua"] = [[
    describe("a thing", function()
      it("passes", function() print "said" end)
      it("is skipped", function() pending "no such host" end)
    end)]],
  ["spec/bad_spec.lua"] = [[
    describe("a thing", function()
      it("fails", function() print "seen"; assert.equal(1, 2) end)
      it("passes as well", function() end)
    end)]],
  ["spec/deep/sandboxed_spec.lua"] = MACHINE .. [[
    it("is in the sandbox", function()
      local m <close> = machine()
      assert.equal(os.getenv "SANITIZED" == "true", lunik.sandbox() == nil)
    end)]],
  ["spec/helper.lua"] = "error 'run'",
}

local SLEEP = MACHINE .. [[
  it("sleeps", function()
    local m <close> = machine()
    lunik.sleep(1000)
  end)]]

describe("lunik test", function()
  local folder, lunik

  -- Makes a project of these files: path = text.
  local function project(files)
    for path, text in pairs(files) do
      os.execute(("mkdir -p '%s/%s'"):format(folder, path:match "^(.*)/" or "."))
      command.write(folder .. "/" .. path, text)
    end
  end

  -- Runs the command in the project: output, errors, exit code.
  local function test(arguments)
    return command.run(("cd %s && SANITIZED=%s %s test %s"):format(folder,
      command.interpreter ~= "lua5.4", lunik, arguments or ""))
  end

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    lunik = command.run("realpath " .. command.lunik):gsub("\n", "")
  end)

  after_each(function() os.execute("rm -rf " .. folder) end)

  it("runs each spec file in the sandbox and sums up", function()
    project(FILES)
    local out, err, code = test()
    assert.same({ "", 1 }, { err, code })
    assert.matches("^spec/bad_spec.lua +1 passed, 1 FAILED +%d+%.%d s\n"
      .. "  not ok a thing fails\n    spec/bad_spec.lua:2\n", out)
    assert.matches("\n  | seen\n", out)
    assert.matches("\nspec/deep/sandboxed_spec.lua +1 passed +%d+%.%d s\n", out)
    assert.matches("\nspec/good_spec.lua +1 passed, 1 skipped +%d+%.%d s\n"
      .. "  skipped a thing is skipped: no such host\n3 passed, 1 failed, 1 skipped\n$", out)
    assert.not_matches("\27", out)
  end)

  it("runs the files, and the examples, that it is asked for", function()
    project(FILES)
    assert.matches("\n1 passed, 0 failed, 1 skipped\n$", (test "good_spec"))
    assert.matches("\n2 passed, 1 failed, 1 skipped\n$",
      (test "spec/good_spec.lua ./spec/bad_spec.lua"))
    assert.matches("^spec/deep/sandboxed_spec.lua [^\n]*\n1 passed,", (test "spec/deep/"))
    local out, _, code = test "'passes$' --jobs 2"
    assert.equal(0, code)
    assert.matches("^spec/good_spec.lua +1 passed +%d+%.%d s\n1 passed, 0 failed, 0 skipped\n$",
      out)
    assert.matches("  | said\n", (test "good_spec --output"))
  end)

  it("reads .busted", function()
    project { ["checks/one.lua"] = "it('runs', function() end)", ["checks/two.lua"] = "error '2'",
      [".busted"] = [[return {
        _all = { ROOT = { "checks" }, pattern = "." }, default = { ["exclude-pattern"] = "two" } }
      ]] }
    assert.matches("^checks/one.lua +1 passed[^\n]*\n1 passed, 0 failed, 0 skipped\n$", (test()))
    project { [".busted"] = "return 5" }
    assert.matches("lunik: .busted: returns no table\n", select(2, test()), 1, true)
  end)

  for arguments, message in pairs {
    ["-j 0"] = "-j: '0' is not a number (want an integer from 1 to 1000000)",
    ["--limit=soon"] = "--limit: 'soon' is not a number",
    ["--jnit x"] = "unrecognized option '--jnit' (did you mean '--junit'?)",
    ["--sandbox=nothing"] = "--sandbox: allow: 'nothing'",
    ["spec/none_spec.lua"] = "there is no file or folder 'spec/none_spec.lua'",
    ["'a['"] = "'a[' is neither a file nor a pattern: ",
    ["--junit /nonexistent/x"] = "--junit: /nonexistent/x: No such file or directory",
  } do
    it("refuses " .. arguments, function()
      project(FILES)
      local out, err, code = test(arguments)
      assert.same({ "", 2 }, { out, code })
      assert.matches("lunik: " .. message, err, 1, true)
      assert.matches("\n'lunik help test' shows the options\n", err, 1, true)
    end)
  end

  it("fails if nothing ran", function()
    project(FILES)
    local _, err, code = test "'no such example'"
    assert.same({ "lunik: no example's name matches 'no such example'\n", 1 }, { err, code })
    project { ["empty/a_spec.lua"] = "" }
    local out
    out, _, code = test "empty"
    assert.equal(1, code)
    assert.matches("not ok empty/a_spec.lua\n    ran no test\n", out, 1, true)
    assert.equal(2, select(3, command.run(("cd /proc/self && %s test"):format(lunik))))
  end)

  it("names the example in which a file crashed, and what was printed", function()
    project { ["spec/crash_spec.lua"] = [[
      it("passes", function() end)
      it("crashes", function()
        print "before"
        io.stdout:flush()
        os.execute "kill -KILL $PPID"
      end)
      it("does not run", function() end)]] }
    local out, _, code = test()
    assert.equal(1, code)
    assert.matches("  not ok crashes\n    spec/crash_spec.lua:2\n    was killed by signal 9 "
      .. "(SIGKILL) in this example, which began", out, 1, true)
    assert.matches("  | before\n1 passed, 1 failed, 0 skipped\n", out, 1, true)
  end)

  it("counts an exit in an example as a failure, whatever its code", function()
    project { ["spec/exit_spec.lua"] = "it('exits', function() os.exit(0) end)" }
    local out, _, code = test()
    assert.equal(1, code)
    assert.matches("not ok exits\n    spec/exit_spec.lua:1\n    the process ended in this example",
      out, 1, true)
  end)

  it("ends a file at the time limit and says where it was", function()
    project { ["spec/slow_spec.lua"] = SLEEP, ["spec/busy_spec.lua"] = [[
      it("is busy", function()
        local function turn() while true do end end
        turn()
      end)]] }
    local out, _, code = test "--limit 3 -j 2"
    assert.equal(1, code)
    assert.matches("not ok sleeps\n    spec/slow_spec.lua:7\n    still ran after 3 s in this "
      .. "example, which began %d%.%d s before\n", out)
    assert.matches("\n    it was waiting for the time to pass, for %d s\n", out)
    assert.matches("\n%s+spec/slow_spec.lua:9: in function", out)
    assert.matches("\n%s+spec/busy_spec.lua:2: in %a+ 'turn'\n", out)
    assert.matches("\n0 passed, 2 failed, 0 skipped\n", out, 1, true)
  end)

  it("ends processes that a file has left", function()
    project { ["spec/leaves_spec.lua"] = [[
      it("leaves one", function() os.execute "sleep 1000 & echo $! >left" end)]] }
    local out, _, code = test()
    assert.same({ 0, true }, { code, out:find "1 passed, 0 failed" ~= nil })
    local left = command.read(folder .. "/left"):gsub("\n", "")
    assert.equal("", (command.run(("cat /proc/%s/cmdline | tr -d '\\0'"):format(left))))
  end)

  it("writes JUnit and TAP", function()
    project(FILES)
    local out, _, code = test "--tap --junit out.xml good_spec bad_spec"
    assert.equal(1, code)
    assert.matches("^ok 1 %- spec/good_spec.lua: a thing passes\n"
      .. "ok 2 %- spec/good_spec.lua: a thing is skipped # SKIP no such host\n"
      .. "not ok 3 %- spec/bad_spec.lua: a thing fails\n# spec/bad_spec.lua:2\n", out)
    assert.matches("\n1..4\n$", out)
    local xml = command.read(folder .. "/out.xml")
    assert.matches('<testsuite name="spec/good_spec.lua" tests="2" failures="0" skipped="1"', xml,
      1, true)
    assert.matches('<skipped message="no such host"/>', xml, 1, true)
    assert.matches('<failure message="spec/bad_spec.lua:2: Expected objects to be equal.', xml, 1,
      true)
    assert.matches("<system-out>said</system-out>", xml, 1, true)
  end)

  it("shows on a terminal what runs, and what it waits for", function()
    project { ["spec/slow_spec.lua"] = SLEEP }
    local screen = on_terminal(("sh -c 'cd %s && exec %s test'"):format(folder, lunik), {
      { "[0/1] spec/slow_spec.lua 1 s" }, { " s: sleeps " }, { ", waiting for the time to pass ",
        "\3" },
    })
    assert.matches("\27%[K[^\n]*\n?spec/slow_spec.lua +0 passed, 1 FAILED", screen)
  end)

  -- Waits until no process of the project's is left.
  local function none_left()
    for _ = 1, 100 do
      local left = command.run(("grep -lzF PWD=%s /proc/[0-9]*/environ 2>/dev/null"):format(folder))
      if left == "" then return true end
      os.execute "sleep 0.1"
    end
  end

  it("ends all that runs at Ctrl-C", function()
    project { ["spec/a_spec.lua"] = SLEEP, ["spec/b_spec.lua"] = SLEEP,
      ["spec/c_spec.lua"] = SLEEP }
    local screen, code = on_terminal(("sh -c 'cd %s && exec %s test -j 2'"):format(folder, lunik), {
      { "[0/3] spec/a_spec.lua" }, { " s: sleeps ", "\3" }, { "was interrupted in this example" },
    })
    assert.equal(130, code)
    assert.not_matches("c_spec", screen)
    assert.matches("0 passed, 2 failed, 0 skipped", screen)
    assert.is_true(none_left())
  end)

  it("leaves no processes when it is killed", function()
    project { ["spec/a_spec.lua"] = SLEEP:gsub("lunik.sleep", "io.open('begun', 'w'):close() %0") }
    command.run(("cd %s && (%s test & pid=$!; until [ -e begun ]; do sleep 0.1; done; "
      .. "kill -9 $pid)"):format(folder, lunik))
    assert.is_true(none_left())
  end)
end)
