--- Shows the results of tests: lines for people, TAP, JUnit.

local markup = require "lunik.markup"
local results = require "lunik.testing_runner.results"

local report = {}

local count = results.count

-- ---- lines -------------------------------------------------------------------------------------

local function show_result(result)
  if result.status == "failed" then
    print("  not ok " .. result.name)
    for _, detail in ipairs(result.details) do print("    " .. detail) end
  elseif result.status == "skipped" then
    print("  skipped " .. result.name .. (result.reason and ": " .. result.reason or ""))
  end
end

--- Prints the results of a run; output: also shows what the tests printed if all have passed.
function report.show(run, output)
  local failed, skipped = count(run.results, "failed"), count(run.results, "skipped")
  print(("%-44s %4d passed%s%s  %6.1f s"):format(run.job.name, count(run.results, "passed"),
    failed > 0 and (", %d FAILED"):format(failed) or "",
    skipped > 0 and (", %d skipped"):format(skipped) or "", run.seconds))
  for _, result in ipairs(run.results) do show_result(result) end
  if failed > 0 or output then
    for _, line in ipairs(run.other) do print("  | " .. line) end
  end
  io.stdout:flush()
end

--- Returns how many results of all runs have each status.
function report.total(runs)
  local total = { passed = 0, failed = 0, skipped = 0 }
  for _, run in ipairs(runs) do
    for status in pairs(total) do total[status] = total[status] + count(run.results, status) end
  end
  return total
end

function report.summary(total)
  print(("%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
end

-- ---- TAP ---------------------------------------------------------------------------------------

--- Prints the results of all runs in the Test Anything Protocol.
function report.tap(runs)
  local n = 0
  for _, run in ipairs(runs) do
    for _, result in ipairs(run.results) do
      n = n + 1
      local skip = result.status == "skipped"
        and " # SKIP" .. (result.reason and " " .. result.reason or "") or ""
      local name = ("%s: %s"):format(run.job.name, result.name):gsub("[\n#]", " ")
      print(("%s %d - %s%s"):format(result.status == "failed" and "not ok" or "ok", n, name, skip))
      for _, detail in ipairs(result.details) do print("# " .. detail) end
    end
  end
  print("1.." .. n)
end

-- ---- JUnit -------------------------------------------------------------------------------------

local attribute, xml = markup.attribute, markup.text

local function write_case(out, run, result)
  out:write(('<testcase classname="%s" name="%s" time="%.3f">'):format(attribute(run.job.name),
    attribute(result.name), result.seconds or 0))
  if result.status == "failed" then
    out:write(('<failure message="%s">'):format(attribute(result.details[2]
      or result.details[1] or "failed")), xml(table.concat(result.details, "\n")), "</failure>")
  elseif result.status == "skipped" then
    out:write(('<skipped message="%s"/>'):format(attribute(result.reason or "")))
  end
  out:write("</testcase>\n")
end

--- Writes the results of all runs to an open file, in the form that CI systems read.
function report.junit(runs, out)
  out:write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n')
  for _, run in ipairs(runs) do
    local list = run.results
    out:write(('<testsuite name="%s" tests="%d" failures="%d" skipped="%d" time="%.2f">\n')
      :format(attribute(run.job.name), #list, count(list, "failed"), count(list, "skipped"),
        run.seconds))
    for _, result in ipairs(list) do write_case(out, run, result) end
    if run.other[1] then
      out:write("<system-out>", xml(table.concat(run.other, "\n")), "</system-out>\n")
    end
    out:write("</testsuite>\n")
  end
  out:write("</testsuites>\n")
  out:close()
end

return report
