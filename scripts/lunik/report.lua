--- lunik.report{}: follows a run, and writes one page about it at its end.
--
-- It observes what the library does and keeps a limited part of it. The page's parts are in the
-- folder report/; the page itself is report/page.html with page.css and the scripts.

local core = require "lunik.core"
local bounded = require "lunik.report.bounded"
local collect = require "lunik.report.collect"
local flights = require "lunik.report.flights"
local host = require "lunik.report.host"
local markup = require "lunik.markup"
local observe = require "lunik.observe"
local options = require "lunik.options"
local output = require "lunik.report.output"
local page = require "lunik.report.page"
local printed = require "lunik.report.printed"

local report = {}

local Report = {}
Report.__index = Report
Report.__name = "lunik.Report"
report.Report = Report

local KINDS = {
  file = "string", title = "string", script = "string", arguments = "table", events = "count",
  flights = "count", steps = "count", machines = "count", console = "size",
}
local LIMITS = { events = 10000, flights = 1000, steps = 30000, machines = 100, console = 1 << 20 }
local MOST_ERRORS, MOST_TESTS = 100, 2000
local MOST = { events = 1000000, flights = 100000, steps = 10000000, machines = 10000,
  console = 1 << 28 }

-- ---- options -----------------------------------------------------------------------------------

local function parse(given)
  local opt = options.parse("report", given, KINDS)
  if not opt.file then options.fail("invalid", "report: file: is missing (want a file's name)") end
  for name, default in pairs(LIMITS) do
    opt[name] = opt[name] or default
    if opt[name] > MOST[name] then
      options.fail("invalid", "report: %s: '%d' is too many (want up to %d)", name, opt[name],
        MOST[name])
    end
  end
  local arg = type(_G.arg) == "table" and _G.arg or {}
  opt.script = opt.script or tostring(arg[0] or "a script")
  opt.title = opt.title or opt.script:match "[^/]*$"
  opt.arguments = opt.arguments or table.move(arg, 1, #arg, 1, {})
  return opt
end

local PLACEHOLDER = "<!DOCTYPE html><title>%s</title><p>The run has not ended, or was killed: "
  .. "this page is written at its end.\n"

-- Opens the file, which the sandbox may refuse later.
local function open(opt)
  local file = options.open("report: file", opt.file, "wb")
  file:write(PLACEHOLDER:format(markup.text(opt.title)))
  file:flush()
  return file
end

-- ---- life --------------------------------------------------------------------------------------

-- Writes the page of a script that ends without doing so.
local AtEnd = { __gc = function(at_end) pcall(at_end.report.finish, at_end.report) end }

--- lunik.report{...}
function report.new(given)
  local opt = parse(given)
  local parts = page.parts()
  parts.nonce = page.nonce()
  local self = setmetatable({
    file = opt.file, title = opt.title, finished = false, options = opt, parts = parts,
    out = open(opt), zero = math.floor(core.now() * 1e9), when = os.date "!%Y-%m-%d %H:%M:%S UTC",
    host = host.facts(), machines = {}, machines_lost = 0,
    made = setmetatable({}, { __mode = "k" }), -- machine -> entry
    events = bounded.new(opt.events), errors = bounded.new(MOST_ERRORS),
    tests = bounded.new(MOST_TESTS), failed_tests = 0, outputs = {},
    printed = output.new("script", opt.console // 4),
  }, Report)
  collect.begin(self)
  printed.begin()
  self.observers[#self.observers + 1] = observe.on("exit", function(code)
    local ok, err = pcall(self.finish, self, { code = code })
    if not ok then core.message(("lunik: %s\n"):format(core.text(err))) end
  end)
  self.at_end = setmetatable({ report = self }, AtEnd)
  core.shared.report = self
  return self
end

--- The newest report that is not finished, or nil.
function report.current()
  local newest = core.shared.report
  return newest and not newest.finished and newest or nil
end

-- ---- what scripts add --------------------------------------------------------------------------

local function now(self) return math.floor(core.now() * 1e9) - self.zero end

--- Adds a line of the script's own to the events and the timeline.
function Report:note(text)
  options.value("note: text", text, "string")
  self.events:add { time = now(self), machine = -1, name = "note", text = text }
end

local OUTCOMES = { "passed", "failed", "skipped" }
local TEST = { name = "string", outcome = "string", message = "any", traceback = "any",
  seconds = "seconds" }

--- Adds the result of an example.
function Report:test(given)
  local test = options.parse("test", given, TEST)
  options.value("test: name", test.name, "string")
  options.choice("test: outcome", test.outcome, OUTCOMES)
  local stop = now(self)
  if test.outcome == "failed" then self.failed_tests = self.failed_tests + 1 end
  self.tests:add {
    name = test.name, outcome = test.outcome, message = test.message and core.text(test.message),
    traceback = test.traceback and core.text(test.traceback), stop = stop,
    start = math.max(stop - math.floor((test.seconds or 0) * 1e9), 0),
  }
end

--- Says which script the run is about, if that is not the one that the command runs.
function Report:about(script)
  options.value("about: script", script, "string")
  self.title, self.options.script, self.options.arguments = script:match "[^/]*$", script, {}
end

--- Says that the run has failed, and why.
function Report:fail(message, traceback)
  self.failed = true
  collect.add_error(self, nil, "the script", core.text(message),
    traceback and core.text(traceback))
end

-- ---- the end -----------------------------------------------------------------------------------

local function exit_number(code)
  if code == nil or code == true then return 0 end
  return code == false and 1 or math.tointeger(code) or 1
end

-- Returns the outcome of the run, and a sentence about it.
local function outcome(self, code)
  local examples = self.tests.count
  if self.failed_tests > 0 then
    return "failed", ("%d of %d examples failed."):format(self.failed_tests, examples)
  elseif code > 128 and code < 160 and not self.failed then
    return "interrupted", ("Signal %d ended the run."):format(code - 128)
  elseif self.failed then
    return "failed", "The script failed."
  elseif self.crashed then
    return "failed", ("Machine '%s' crashed."):format(self.crashed)
  elseif code ~= 0 then
    return "failed", ("The run ended with exit code %d."):format(code)
  elseif examples > 0 then
    return "passed", "All examples that ran passed."
  end
  return "passed", "The script ended without an error."
end

local function flights_of(self)
  local all = flights.new(self.options.flights, self.options.steps)
  for index, entry in ipairs(self.machines) do
    if entry.recorder then all:add_all(index - 1, entry.recorder, self.zero) end
  end
  return all:all()
end

local function data_of(self, code)
  local opt, kind, text = self.options, outcome(self, code)
  local data = collect.data(self)
  data.title, data.script, data.arguments, data.when = self.title, opt.script, {}, self.when
  for i, word in ipairs(opt.arguments) do data.arguments[i] = core.text(word) end
  data.duration, data.host, data.flights = now(self), self.host, flights_of(self)
  data.lunik = core.version
  data.versions = ("Lunik %s, %s"):format(core.version, _VERSION)
  data.result = { outcome = kind, code = code, text = text }
  data.limits = { events = opt.events, flights = opt.flights, steps = opt.steps,
    machines = opt.machines, console = opt.console, errors = MOST_ERRORS, tests = MOST_TESTS }
  return data
end

local function write(self, text)
  self.out:seek "set"
  local _, _, refused = self.out:write(text)
  local _, _, lost = self.out:close()
  if refused or lost then
    error(core.sys_error(refused or lost, "report: file: " .. self.file), 0)
  end
end

--- Takes the last look at the machines and writes the page. Does nothing the second time.
function Report:finish(given)
  local opt = options.parse("finish", given, { code = "any" })
  if self.finished then return end
  self.finished = true
  printed.finish()
  collect.finish(self)
  for _, observer in ipairs(self.observers) do observer:off() end
  write(self, page.make(self.parts, data_of(self, exit_number(opt.code))))
end

options.guard(Report.__name, Report, Report)

--- Leaving the scope by an error is the failure of the run.
function Report:__close(err)
  if err ~= nil then self:fail(err) end
  self:finish { code = err ~= nil and 1 or 0 }
end

return report
