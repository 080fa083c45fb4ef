--- Where the kit meets busted: fixtures that end with their example, skipped examples, and failures
-- that show the machines they happened on. Without busted, in a script, failures are errors and
-- fixtures end with their <close> variables.

local core = require "lunik.core"
local host = require "lunik.testing.host"
local sandbox = require "lunik.sandbox"

local runner = {}

local shared = core.shared
-- "@.../lunik/": how the sources of the library's functions begin.
local LIBRARY = debug.getinfo(1, "S").source:match "^(.*/)testing/runner%.lua$"

-- The example that runs: {fixtures = {...}, skip = function, failed = boolean}; nil outside of one.
local example

-- Fixtures made before the example that they are for.
local early = {}

local function busted()
  return package.loaded.busted
end

-- Whether a function is neither busted's nor the library's.
local function in_spec(info)
  local source = info.source
  return info.what ~= "C" and source:sub(1, #LIBRARY) ~= LIBRARY
    and not source:find "[/\\]busted$" and not source:find "[/\\]busted[/\\]%w+%.lua$"
    and not source:find "[/\\]luassert[/\\]"
end

-- The innermost line of the spec that is being run, as debug.getinfo() describes it; or nil.
local function spec_frame()
  local level = 2
  local frame = debug.getinfo(level, "Sl")
  while frame and not in_spec(frame) do
    level = level + 1
    frame = debug.getinfo(level, "Sl")
  end
  return frame, level
end

-- "spec.lua:12": the line of the spec, or the example's first.
local function place()
  local frame = spec_frame()
  if frame then return ("%s:%d"):format(frame.short_src, frame.currentline) end
  return shared.testing_example and shared.testing_example.where
end

--- Fails the example with a message that starts with the spec's own line.
function runner.fail(text)
  local err = core.error("failed", text)
  err.where = place()
  if busted() then busted().fail(tostring(err), 0) end
  error(err, 0)
end

--- Ends the example: it is reported as skipped, with the reason.
function runner.skip(reason)
  local where = place()
  if example then
    example.skipped = true
    example.skip((where and where .. ": " or "") .. reason)
  end
  local hint = busted() and " (only examples can be skipped, so make the machine in the example or "
    .. "with testing.shared)" or ""
  local err = core.error("unsupported", "skipped: " .. reason .. hint)
  err.where, err.skipped = where, not busted() or nil
  error(err, 0)
end

--- Describes an example, whose place is the spec's line.
function runner.describe_example(name, fn)
  local frame, level = spec_frame()
  local trace = frame or debug.getinfo(1, "Sl")
  trace.traceback, trace.message = debug.traceback("", level), name
  busted().publish({ "register", "it" }, name, fn, trace)
end

--- Registers something to end with the example: fixture:finish(failed), in reverse order; a
-- fixture:details() is shown if the example fails. In before_each: to end with the example that
-- follows. In a script it does nothing.
function runner.add(fixture)
  if busted() then table.insert(example and example.fixtures or early, fixture) end
  return fixture
end

--- Whether an example is running.
function runner.inside()
  return example ~= nil
end

--- Calls fn(...), whose fixtures don't end with the example.
function runner.apart(fn, ...)
  local fixtures = example and example.fixtures
  local count = fixtures and #fixtures
  local result = fn(...)
  while fixtures and #fixtures > count do table.remove(fixtures) end
  return result
end

--- A machine that outlives the example was booted or closed: what the process holds can't be
-- compared with the time before.
function runner.forget_holds()
  if example then example.before = nil end
end

--- A guest that outlives the example uses as much of its memory as it likes.
function runner.forget_resident()
  if example and example.before then example.before["bytes resident"] = nil end
end

local function details(state)
  local texts = {}
  for _, fixture in ipairs(state.fixtures) do
    local ok, text = pcall(fixture.details or function() end, fixture)
    if text then texts[#texts + 1] = ok and text or ("no details: %s"):format(core.text(text)) end
  end
  return #texts > 0 and "\n" .. table.concat(texts, "\n") or ""
end

local function finish(state)
  local failed = not state.passed and not state.skipped
  local problems = {}
  for i = #state.fixtures, 1, -1 do
    local fixture = state.fixtures[i]
    local ok, err = pcall(fixture.finish, fixture, failed)
    if not ok then problems[#problems + 1] = core.text(err) end
  end
  -- The sandbox, which the first start enters, keeps files open.
  if sandbox.sandbox() and not state.sandboxed then state.before = nil end
  local left = not failed and state.before and host.left_behind(state.before)
  if left then
    problems[#problems + 1] = ("%s: the example leaves behind %s"):format(state.where, left)
  end
  if #problems > 0 and state.passed then busted().fail(table.concat(problems, "\n"), 0) end
end

-- What the library keeps for good, such as threads, is made before anything is counted.
local function warm_up()
  if shared.testing_warm then return end
  shared.testing_warm = true
  require "lunik".machine({ board = "micro", accel = "none", memory = "16M" }):close()
end

-- What busted knows of the spec's file: a table with functions for traces and messages.
local function file_of(element)
  local parent = element
  while parent do
    if parent.descriptor == "file" then return parent.run end
    if parent.file then return parent.file[1].run end
    parent = busted().parent(parent)
  end
end

-- Traces that begin in the kit begin at the spec's line instead.
local function trace_of_spec(info)
  if in_spec(info) then return end
  local frame, level = spec_frame()
  frame = frame or shared.testing_example and shared.testing_example.trace
  if not frame then return end
  info.short_src, info.source, info.currentline = frame.short_src, frame.source, frame.currentline
  info.traceback = debug.traceback("", level)
end

-- Makes busted show details with the message of a failure, once.
local function hook(file)
  if shared.testing_hooked[file] then return end
  shared.testing_hooked[file] = true
  local get_trace, rewrite = file.getTrace, file.rewriteMessage
  file.getTrace = function(name, info)
    trace_of_spec(info)
    return get_trace(name, info)
  end
  file.rewriteMessage = function(name, message)
    local text = rewrite and rewrite(name, message) or message
    local state = shared.testing_example
    text = state and text:gsub("^[^\n:]*[/\\]busted[/\\]%w+%.lua:%d+", state.where) or text
    if not state or state.passed or state.skipped or state.shown then return text end
    state.shown = true
    return text .. state.details()
  end
end

-- Wraps an example that is about to run.
local function begin(element)
  warm_up()
  local state = {
    fixtures = early, skip = element.env.pending, before = host.holds(),
    where = ("%s:%d"):format(element.trace.short_src, element.trace.currentline),
    trace = element.trace, sandboxed = sandbox.sandbox() ~= nil,
  }
  early = {}
  local run, file = element.run, file_of(element)
  state.details = function() return details(state) end
  element.env.pending = function(reason)
    state.skipped = true
    state.skip(reason)
  end
  if file then hook(file) end
  element.run = function()
    example, shared.testing_example = state, state
    local _ <close> = setmetatable({}, { __close = function()
      example = nil
      finish(state)
    end })
    run()
    state.passed = true
  end
end

--- To be called when the kit is loaded, which is once for each spec file.
function runner.install()
  shared.testing_begin = begin
  if not busted() or shared.testing_busted == busted() then return end
  shared.testing_busted = busted()
  shared.testing_hooked = setmetatable({}, { __mode = "k" })
  busted().subscribe({ "test", "start" }, function(element)
    shared.testing_example = nil
    if package.loaded["lunik.testing"] then shared.testing_begin(element) end
    return nil, true
  end)
end

return runner
