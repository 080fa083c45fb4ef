-- Runs the C unit tests and the specs, each file in a process of its own, and sums up. What is
-- special here: C tests, other interpreters, wrappers such as valgrind, and files to leave out; the
-- rest is that of `lunik test` (scripts/lunik/testing_runner/).
--   lua5.4 spec/support/run.lua [--interpreter=lua5.4] [--report=tap|FILE.xml] [--limit=SECONDS]
--       [--wrapper=COMMAND] [--output] [--jobs=N] [--filter=PATTERN] [--except="WORD ..."] [FILES]
-- FILES are specs (x_spec) and C tests (test_x), by name or path; default: all of them, but for
-- those whose paths below spec/ have one of the words of --except. Files run N at a time, those
-- that took long the last time first. A file that has the line "Runs alone: REASON." in a comment
-- runs with no other.
-- With --filter only examples and checks whose names match the Lua pattern are run or shown; of a C
-- test whose file name matches, all are.
local uv = require "luv"
local durations = require "spec.support.durations"
local tests = require "spec.support.files"
local engine = require "lunik.testing_runner.engine"
local progress = require "lunik.testing_runner.progress"
local report = require "lunik.testing_runner.report"

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

-- ---- jobs --------------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function command_for(file)
  local c_test = file:match("([^/]*)%.c$")
  if c_test then
    return options.wrapper .. " " .. BUILD .. "/spec/" .. c_test
  end
  local filter = options.filter and quoted("--filter=" .. options.filter) or ""
  return ("%s %s scripts/lunik/testing_runner/busted.lua --ignore-lua --keep-going "
    .. "-o lunik.testing_runner.output %s %s"):format(options.wrapper, options.interpreter, filter,
    file)
end

local function source_of(file)
  local source <close> = io.open(file)
  return source and source:read "a" or ""
end

local function is_c(file) return file:match "%.c$" ~= nil end

-- Whether the filter can match anything in the file. busted knows for specs.
local function may_match(file)
  local filter = options.filter
  return not filter or not is_c(file) or file:find(filter) or source_of(file):find(filter)
end

local function job_for(file)
  return {
    name = file, limit = options.limit, checks = is_c(file),
    may_be_empty = options.filter ~= nil,
    command = { "sh", "-c", "exec " .. command_for(file) },
    alone = source_of(file):find "Runs alone: " ~= nil,
  }
end

-- Leaves out the checks of a C test that the filter does not match.
local function keep_matching(run)
  if not options.filter or not run.job.checks or run.job.name:find(options.filter) then return end
  local kept = {}
  for _, result in ipairs(run.results) do
    if result.name:find(options.filter) then
      table.insert(kept, result)
    end
  end
  run.results = kept
end

-- ---- all of it ---------------------------------------------------------------------------------

local function excepted(file)
  for word in options.except:gmatch "%S+" do
    if file:find(word, #"spec/" + 1, true) then
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

local jobs = {}
for _, file in ipairs(wanted) do
  if may_match(file) then
    table.insert(jobs, job_for(file))
  end
end

local DURATIONS = BUILD .. "/spec/durations"
local seconds = durations.read(DURATIONS)
if options.jobs > 1 then
  durations.sort(jobs, seconds)
end

local tap = options.report == "tap"
local runs = {}
local line = progress.new(#jobs)
local signal = engine.run(jobs, options.jobs, {
  tick = line and line.tick,
  ended = function(run)
    seconds[run.job.name] = run.seconds
    keep_matching(run)
    table.insert(runs, run)
    if line then line.clear() end
    if not tap and #run.results > 0 then report.show(run, options.output) end
  end,
})
if line then line.clear() end
if not options.filter and options.wrapper == "" then
  durations.write(DURATIONS, seconds)
end
local total = report.total(runs)
if tap then
  report.tap(runs)
elseif options.report then
  report.junit(runs, assert(io.open(options.report, "w")))
end
if not tap then
  report.summary(total)
end
if signal then
  os.exit(128 + signal)
end
os.exit(total.failed == 0 and total.passed + (options.filter and total.skipped or 0) > 0)
