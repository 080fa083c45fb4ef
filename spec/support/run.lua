-- Runs the C unit tests and the specs, each file in a process of its own, and sums up.
--   lua5.4 spec/support/run.lua [--interpreter=lua5.4] [--report=tap|FILE.xml] [--limit=SECONDS]
--       [--wrapper=COMMAND] [--output] [--jobs=N] [--filter=PATTERN] [--except="WORD ..."] [FILES]
-- FILES are specs (x_spec) and C tests (test_x), by name or path; default: all of them, but for
-- those whose names have one of the words of --except. Files run N at a time; what they print comes
-- in order. A file that has the line "Runs alone: REASON." in a comment runs with no other.
-- With --filter only examples and checks whose names match the Lua pattern are run or shown; of a C
-- test whose file name matches, all are.
local uv = require "luv"
local tests = require "spec.support.files"

local BUILD = os.getenv("LUNIK_BUILD") or "build"

-- os.tmpname() knows no other folder, and sandboxes allow the one for temporary files.
uv.os_setenv("TMPDIR", "/tmp")

-- limit: seconds for a file; wrapper: what to run the tests with; output: what tests print is shown
-- even if they pass.
local options = { interpreter = "lua5.4", limit = 1200, wrapper = "", except = "", jobs = 1,
  files = {} }
for _, word in ipairs(arg) do
  local name, value = word:match("^%-%-(%w+)=(.*)$")
  if name == "interpreter" or name == "report" or name == "wrapper" or name == "filter"
    or name == "except" then
    options[name] = value
  elseif (name == "limit" or name == "jobs") and (math.tointeger(value) or 0) > 0 then
    options[name] = math.tointeger(value)
  elseif word == "--output" then
    options.output = true
  elseif word:sub(1, 1) == "-" then
    io.stderr:write("unrecognized option '", word, "'\n")
    os.exit(2)
  else
    table.insert(options.files, word)
  end
end

local function problem_of(code, signal)
  if signal ~= 0 or code > 128 then
    return ("was killed by signal %d"):format(signal ~= 0 and signal or code - 128)
  elseif code == 124 then
    return ("still ran after %d s"):format(options.limit)
  elseif code ~= 0 then
    return ("ended with exit code %d"):format(code)
  end
end

-- Starts a command. Calls done with the lines of its output, and with a description of a failure or
-- nil, when it has ended and no process has its output open.
local function capture(command, done)
  local pipe, chunks, left, problem = uv.new_pipe(false), {}, 2, nil
  local function finish()
    left = left - 1
    if left == 0 then
      local lines = {}
      for line in table.concat(chunks):gmatch "([^\n]*)\n?" do
        table.insert(lines, line)
      end
      if lines[#lines] == "" then
        table.remove(lines)
      end
      done(lines, problem)
    end
  end
  local process
  process = assert(uv.spawn("sh", {
    args = { "-c", ("exec timeout -k 5 %d %s 2>&1"):format(options.limit, command) },
    stdio = { 0, pipe, 2 },
  }, function(code, signal)
    problem = problem_of(code, signal)
    process:close(finish)
  end))
  pipe:read_start(function(_, data)
    if data then
      table.insert(chunks, data)
    else
      pipe:close(finish)
    end
  end)
end

-- ---- reading results ---------------------------------------------------------------------------

-- "ok NAME", "ok 3 - NAME", "ok 3 - # SKIP NAME", "not ok NAME: details" and, for busted, the
-- details of a failure in comment lines.
local function parse(lines)
  local results, other = {}, {}
  for _, line in ipairs(lines) do
    local verdict, name = line:match("^(ok) (.*)$")
    if not verdict then
      verdict, name = line:match("^(not ok) (.*)$")
    end
    local last = results[#results]
    if verdict then
      name = name:gsub("^%d+ %- ", "")
      local skipped = name:match("^# SKIP ?(.*)$")
      table.insert(results, {
        name = skipped or name,
        status = skipped and "skipped" or verdict == "ok" and "passed" or "failed",
        details = {},
      })
    elseif line:match("^#") and last and last.status == "failed" then
      table.insert(last.details, (line:gsub("^# ?", "")))
    elseif not line:match("^1%.%.%d+$") then
      table.insert(other, line)
    end
  end
  return results, other
end

local function count(results, status)
  local n = 0
  for _, result in ipairs(results) do
    n = n + (result.status == status and 1 or 0)
  end
  return n
end

-- ---- running -----------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function command_for(file)
  local c_test = file:match("([^/]*)%.c$")
  if c_test then
    return options.wrapper .. " " .. BUILD .. "/spec/" .. c_test
  end
  local filter = options.filter and quoted("--filter=" .. options.filter) or ""
  return ("%s %s /usr/bin/busted --ignore-lua --keep-going -o TAP %s %s"):format(options.wrapper,
    options.interpreter, filter, file)
end

local function show(file, results, other, seconds)
  local failed, skipped = count(results, "failed"), count(results, "skipped")
  print(("%-44s %4d passed%s%s  %6.1f s"):format(file, count(results, "passed"),
    failed > 0 and (", %d FAILED"):format(failed) or "",
    skipped > 0 and (", %d skipped"):format(skipped) or "", seconds))
  for _, result in ipairs(results) do
    if result.status == "failed" then
      print("  not ok " .. result.name)
      for _, detail in ipairs(result.details) do
        print("    " .. detail)
      end
    elseif result.status == "skipped" then
      print("  skipped " .. result.name)
    end
  end
  if failed > 0 or options.output then
    for _, line in ipairs(other) do
      print("  | " .. line)
    end
  end
end

local function source_of(file)
  local source = io.open(file)
  local text = source and source:read "a" or ""
  if source then
    source:close()
  end
  return text
end

local function is_c(file) return file:match "%.c$" ~= nil end

-- Whether the filter can match anything in the file. busted knows for specs.
local function may_match(file)
  local filter = options.filter
  return not filter or not is_c(file) or file:find(filter) or source_of(file):find(filter)
end

-- Leaves out the checks of a C test that the filter does not match.
local function matching(file, results)
  if not options.filter or not is_c(file) or file:find(options.filter) then
    return results
  end
  local kept = {}
  for _, result in ipairs(results) do
    if result.name:find(options.filter) then
      table.insert(kept, result)
    end
  end
  return kept
end

-- done gets a table of the file's results.
local function run_file(file, done)
  local start = uv.hrtime()
  capture(command_for(file), function(lines, problem)
    local results, other = parse(lines)
    results = matching(file, results)
    local nothing = #results == 0 and not options.filter
    if problem and count(results, "failed") == 0 or nothing then
      table.insert(results, { name = file, status = "failed",
        details = { problem or "ran no test" } })
    end
    done { file = file, results = results, other = other, seconds = (uv.hrtime() - start) / 1e9 }
  end)
end

-- Runs the files, as many at a time as options.jobs says; each_run gets their results in order.
local function run_files(files, each_run)
  local finished, running, next_file, next_shown, alone = {}, 0, 1, 1, false
  local function go_on()
    while files[next_file] and running < options.jobs and not alone do
      local file, index = files[next_file], next_file
      local wants_alone = source_of(file):find "Runs alone: "
      if wants_alone and running > 0 then
        return
      end
      alone, running, next_file = wants_alone, running + 1, next_file + 1
      run_file(file, function(run)
        finished[index], running, alone = run, running - 1, false
        while finished[next_shown] do
          each_run(finished[next_shown])
          next_shown = next_shown + 1
        end
        go_on()
      end)
    end
  end
  go_on()
  uv.run()
end

-- ---- reports -----------------------------------------------------------------------------------

local function report_tap(runs)
  local n = 0
  for _, run in ipairs(runs) do
    for _, result in ipairs(run.results) do
      n = n + 1
      print(("%s %d - %s: %s%s"):format(result.status == "failed" and "not ok" or "ok", n,
        run.file, result.name, result.status == "skipped" and " # SKIP" or ""))
      for _, detail in ipairs(result.details) do
        print("# " .. detail)
      end
    end
  end
  print("1.." .. n)
end

local function xml(text)
  local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
  return (text:gsub('[&<>"]', entities):gsub("[\0-\8\11\12\14-\31]", "?"))
end

local function report_junit(runs, path)
  local out = assert(io.open(path, "w"))
  out:write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n')
  for _, run in ipairs(runs) do
    out:write(('<testsuite name="%s" tests="%d" failures="%d" skipped="%d" time="%.2f">\n')
      :format(xml(run.file), #run.results, count(run.results, "failed"),
        count(run.results, "skipped"), run.seconds))
    for _, result in ipairs(run.results) do
      out:write(('<testcase classname="%s" name="%s">'):format(xml(run.file),
        xml(result.name)))
      if result.status == "failed" then
        out:write("<failure>", xml(table.concat(result.details, "\n")), "</failure>")
      elseif result.status == "skipped" then
        out:write("<skipped/>")
      end
      out:write("</testcase>\n")
    end
    out:write("</testsuite>\n")
  end
  out:write("</testsuites>\n")
  out:close()
end

-- ---- all of it ---------------------------------------------------------------------------------

local function excepted(file)
  for word in options.except:gmatch "%S+" do
    if file:match("[^/]*$"):find(word, 1, true) then
      return true
    end
  end
  return false
end

local wanted = {}
for _, name in ipairs(options.files) do
  local file, problem = tests.find(name)
  if not file then
    io.stderr:write(problem, "\n")
    os.exit(2)
  end
  table.insert(wanted, file)
end
if #wanted == 0 then
  for _, file in ipairs(tests.all()) do
    if not excepted(file) then
      table.insert(wanted, file)
    end
  end
end

local files = {}
for _, file in ipairs(wanted) do
  if may_match(file) then
    table.insert(files, file)
  end
end

local tap = options.report == "tap"
local total = { passed = 0, failed = 0, skipped = 0 }
local runs = {}
run_files(files, function(run)
  table.insert(runs, run)
  for status in pairs(total) do
    total[status] = total[status] + count(run.results, status)
  end
  if not tap and #run.results > 0 then
    show(run.file, run.results, run.other, run.seconds)
    io.stdout:flush()
  end
end)
if tap then
  report_tap(runs)
elseif options.report then
  report_junit(runs, options.report)
end
if not tap then
  print(("%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
end
os.exit(total.failed == 0 and total.passed + (options.filter and total.skipped or 0) > 0)
