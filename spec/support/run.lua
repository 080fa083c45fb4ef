-- Runs the C unit tests and the specs, each file in a process of its own, and sums up.
--   lua5.4 spec/support/run.lua [--interpreter=lua5.4] [--report=tap|FILE.xml] [--limit=SECONDS]
--       [--wrapper=COMMAND] [--output] [FILES]
-- FILES are specs (spec/x_spec.lua) and C tests (spec/c/test_x.c); default: all of them.
local BUILD = os.getenv("LUNIK_BUILD") or "build"

-- limit: seconds for a file; wrapper: what to run the tests with; output: what tests print is shown
-- even if they pass.
local options = { interpreter = "lua5.4", limit = 1200, wrapper = "", files = {} }
for _, word in ipairs(arg) do
  local name, value = word:match("^%-%-(%w+)=(.*)$")
  if name == "interpreter" or name == "report" or name == "wrapper" then
    options[name] = value
  elseif name == "limit" and tonumber(value) then
    options.limit = tonumber(value)
  elseif word == "--output" then
    options.output = true
  elseif word:sub(1, 1) == "-" then
    io.stderr:write("unrecognized option '", word, "'\n")
    os.exit(2)
  else
    table.insert(options.files, word)
  end
end

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    table.insert(lines, line)
  end
  pipe:close()
  return lines
end

-- Runs a command; its output's lines, and what was wrong with its end, or nil.
local function capture(command)
  local pipe = assert(io.popen(("timeout -k 5 %d %s 2>&1"):format(options.limit, command)))
  local lines = {}
  for line in pipe:lines() do
    table.insert(lines, line)
  end
  local ok, how, code = pipe:close()
  if ok then
    return lines
  elseif code == 124 then
    return lines, ("still ran after %d s"):format(options.limit)
  elseif how == "signal" or code > 128 then
    return lines, ("was killed by signal %d"):format(how == "signal" and code or code - 128)
  end
  return lines, ("ended with exit code %d"):format(code)
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

local function command_for(file)
  local c_test = file:match("^spec/c/(.*)%.c$")
  if c_test then
    return options.wrapper .. " " .. BUILD .. "/spec/" .. c_test
  end
  return ("%s %s /usr/bin/busted --ignore-lua --keep-going -o TAP %s"):format(options.wrapper,
    options.interpreter, file)
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

local function now()
  local file = io.open("/proc/uptime")
  local seconds = file:read("n")
  file:close()
  return seconds
end

local function run_file(file)
  local start = now()
  local lines, problem = capture(command_for(file))
  local results, other = parse(lines)
  if problem and count(results, "failed") == 0 or #results == 0 then
    table.insert(results, { name = file, status = "failed",
      details = { problem or "ran no test" } })
  end
  return { file = file, results = results, other = other, seconds = now() - start }
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

if #options.files == 0 then
  options.files = lines_of("ls spec/c/test_*.c spec/*_spec.lua 2>/dev/null")
end

local tap = options.report == "tap"
local total = { passed = 0, failed = 0, skipped = 0 }
local runs = {}
for _, file in ipairs(options.files) do
  local run = run_file(file)
  table.insert(runs, run)
  for status in pairs(total) do
    total[status] = total[status] + count(run.results, status)
  end
  if not tap then
    show(run.file, run.results, run.other, run.seconds)
    io.stdout:flush()
  end
end
if tap then
  report_tap(runs)
elseif options.report then
  report_junit(runs, options.report)
end
if not tap then
  print(("%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
end
os.exit(total.failed == 0 and total.passed > 0)
