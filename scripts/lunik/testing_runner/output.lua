--- An output handler of busted's that reports each example as it begins and ends, for the process
-- that runs spec files (records.lua).

local frames = require "lunik.testing_runner.frames"
local records = require "lunik.testing_runner.records"

local function place(element)
  local trace = element.trace
  return trace and trace.short_src and ("%s:%d"):format(trace.short_src, trace.currentline) or ""
end

-- Returns the text of an error, which may be any value.
local function text_of(message)
  if type(message) == "string" then return message end
  local meta = getmetatable(message)
  if message == nil then return "error without a message" end
  if type(meta) == "table" and meta.__tostring then return tostring(message) end
  return type(message) == "table" and require("pl.pretty").write(message) or tostring(message)
end

-- busted names the line of pending() by its own frames.
local function reason_of(message)
  return (text_of(message):gsub("^[^\n:]*:%d+: ", ""))
end

-- The page about the run, if one was asked for (lunik.report).
local function page()
  return package.loaded["lunik.report"] and package.loaded["lunik.report"].current()
end

local function note(status, name, seconds, message, traceback)
  if page() then
    page():test { name = name, outcome = status, seconds = seconds, message = message,
      traceback = traceback }
  end
end

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local started

  local function report(status, result, ...)
    local seconds = started and busted.monotime() - started or 0
    records.write("end", status, result.name, place(result.element), seconds, ...)
    note(status, result.name, seconds, ...)
    started = nil
  end

  local function report_failure(result)
    local trace = result.isError and result.trace and result.trace.traceback
    -- The message names the first line.
    report("failed", result, text_of(result.message), trace and frames(trace, 2) or nil)
  end

  local ends = {}

  function ends.success() report("passed", handler.successes[#handler.successes]) end

  function ends.pending()
    local result = handler.pendings[#handler.pendings]
    report("skipped", result, result.message and reason_of(result.message) or nil)
  end

  function ends.failure() report_failure(handler.failures[#handler.failures]) end
  function ends.error() report_failure(handler.errors[#handler.errors]) end

  function handler.testStart(element)
    started = busted.monotime()
    records.write("start", handler.getFullName(element), place(element))
    return nil, true
  end

  function handler.testEnd(_, _, status)
    if ends[status] then ends[status]() end
    return nil, true
  end

  -- An error outside of examples: in the file, in setup() and the like.
  function handler.error(element)
    if element.descriptor ~= "it" then report_failure(handler.errors[#handler.errors]) end
    return nil, true
  end

  busted.subscribe({ "test", "start" }, handler.testStart,
    { predicate = handler.cancelOnPending })
  busted.subscribe({ "test", "end" }, handler.testEnd, { predicate = handler.cancelOnPending })
  busted.subscribe({ "error" }, handler.error)
  busted.subscribe({ "file", "start" }, function(file)
    if page() then page():about(file.name) end
  end)
  return handler
end
