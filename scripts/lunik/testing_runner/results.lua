--- The results of a file's tests, read from the output of its process: records (records.lua) of
-- specs, or the lines "ok NAME", "not ok NAME: details" of C tests.
--
-- A run: job, results, other (what the tests printed, in lines), current (the example that runs:
-- name, place, since), waiting ({what, since}), seconds (once it has ended). A result: name, status
-- ("passed", "failed", "skipped"), details (lines), place, seconds, reason (of a skip).

local records = require "lunik.testing_runner.records"

local results = {}

local function lines_of(text, lines)
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- Returns how many of the results have that status.
function results.count(list, status)
  local n = 0
  for _, result in ipairs(list) do n = n + (result.status == status and 1 or 0) end
  return n
end

--- Makes the run of a job; now: seconds.
function results.new(job, now)
  return { job = job, results = {}, other = {}, rest = "", start = now, seconds = 0 }
end

-- ---- records -----------------------------------------------------------------------------------

local kinds = {}

function kinds.start(run, now, name, place)
  run.current = { name = name, place = place, since = now }
end

kinds["end"] = function(run, _, status, name, place, seconds, ...)
  local result = { name = name, status = status, place = place ~= "" and place or nil,
    seconds = tonumber(seconds), details = {} }
  if status == "skipped" then
    result.reason = ...
  elseif status == "failed" then
    result.details[1] = result.place
    for _, text in ipairs { ... } do lines_of(text, result.details) end
  end
  run.current, run.waiting = nil, nil
  table.insert(run.results, result)
end

function kinds.waiting(run, now, what, seconds)
  run.waiting = what ~= "" and { what = what, since = now - (tonumber(seconds) or 0) } or nil
end

-- Where the process was when it was stopped.
function kinds.stopped(run, _, traceback)
  run.stopped = traceback ~= "" and lines_of(traceback, {}) or nil
end

-- ---- C tests -----------------------------------------------------------------------------------

-- Takes a line of a C test; returns whether it is a result.
local function take_check(run, line)
  local verdict, name = line:match "^(ok) (.*)$"
  if not verdict then verdict, name = line:match "^(not ok) (.*)$" end
  if not verdict then return line:find "^1%.%.%d+$" end
  local skipped = name:match "^# SKIP ?(.*)$"
  table.insert(run.results, { name = skipped or name, details = {},
    status = skipped and "skipped" or verdict == "ok" and "passed" or "failed" })
  return true
end

local function take_line(run, line, now)
  if run.job.checks then
    if not take_check(run, line) then table.insert(run.other, line) end
    return
  end
  local text, record = records.parse(line)
  if text ~= "" or not record then table.insert(run.other, text) end
  local kind = record and kinds[record[1]]
  if kind then kind(run, now, table.unpack(record, 2)) end
end

--- Takes output of the process; now: seconds.
function results.take(run, data, now)
  local text = run.rest .. data
  run.rest = text:match "[^\n]*$"
  for line in text:gmatch "([^\n]*)\n" do take_line(run, line, now) end
end

-- ---- the end -----------------------------------------------------------------------------------

-- Adds a failure for a process that did not end as it should: to the example that ran, if there is
-- one.
local function add_problem(run, problem, now)
  local current = run.current
  local details = { current and current.place or nil }
  if current then
    table.insert(details, ("%s in this example, which began %.1f s before"):format(problem,
      now - current.since))
  else
    table.insert(details, problem)
  end
  if run.waiting then
    table.insert(details, ("it was waiting for %s, for %.0f s"):format(run.waiting.what,
      now - run.waiting.since))
  end
  if run.stopped then table.move(run.stopped, 1, #run.stopped, #details + 1, details) end
  table.insert(run.results, { name = current and current.name or run.job.name, status = "failed",
    place = current and current.place, details = details })
end

--- Ends the run; problem: how the process ended, if not well, in words; hard: whether that is a
-- failure even if others explain it.
function results.finish(run, problem, hard, now)
  if run.rest ~= "" then take_line(run, run.rest, now) end
  run.seconds = now - run.start
  local failed = results.count(run.results, "failed")
  if problem and (hard or run.current or failed == 0) then
    add_problem(run, problem, now)
  elseif run.current then
    add_problem(run, "the process ended", now)
  elseif #run.results == 0 and not run.job.may_be_empty then
    add_problem(run, "ran no test", now)
  end
  run.current, run.waiting = nil, nil
end

return results
