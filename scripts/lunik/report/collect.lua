--- What a report observes: machines, events, errors, consoles; and how it is given to the page.

local core = require "lunik.core"
local console = require "lunik.console"
local event = require "lunik.event"
local machines = require "lunik.report.machines"
local observe = require "lunik.observe"
local output = require "lunik.report.output"

local collect = {}

local LEAST_STEPS = 300 -- of the steps of each machine, however many there are

local function now(report) return math.floor(core.now() * 1e9) - report.zero end

-- ---- consoles ----------------------------------------------------------------------------------

-- Keeps the output of a console of a machine. The more of them there are, the less each may keep.
local function add_console(report, index, of)
  local limit = report.options.console * 3 // 4 // (1 << (#report.outputs // 2))
  local name = ("%s: %s"):format(of.object.machine.name, of.object.id)
  local kept = output.new(name, math.max(limit, 1024))
  kept.machine, kept.console = index, of
  report.outputs[#report.outputs + 1] = kept
  console.tap(of, function(text, lost) kept:add(now(report), text, lost) end)
end

-- A character device, whatever it does with what the guest prints.
local function on_chardev(report, object)
  local entry = report.made[object.machine]
  if entry then add_console(report, entry.index, console.of(object)) end
end

local function add_consoles(report, m)
  for _, object in ipairs(m:objects()) do
    if object:is "chardev-tap" then on_chardev(report, object) end
  end
end

-- Takes the output that a machine's consoles still hold.
local function take_output(report, m)
  pcall(core.flush, m)
  for _, kept in ipairs(report.outputs) do
    local object = kept.console.object
    if object.alive and object.machine == m then pcall(console.feed_taps, kept.console) end
  end
end

-- ---- machines ----------------------------------------------------------------------------------

-- Starts a flight recorder on the machine; later machines get less room.
local function record(report, m)
  local opt = report.options
  local steps = math.max(opt.steps // (#report.machines + 1), LEAST_STEPS)
  return m:record { flights = math.max(opt.flights, 1), steps = steps }
end

local function on_machine(report, m, given)
  if #report.machines >= report.options.machines then
    report.machines_lost = report.machines_lost + 1
    return
  end
  local entry = machines.new(m, given, now(report))
  entry.index, entry.machine = #report.machines, m
  entry.recorder = record(report, m)
  report.machines[entry.index + 1], report.made[m] = entry, entry
  add_consoles(report, m)
end

local function look(report, entry)
  if entry.machine.state == "closed" then return end
  take_output(report, entry.machine)
  machines.look(entry, entry.machine)
end

local function on_closing(report, m)
  local entry = report.made[m]
  if not entry then return end
  entry.closed = now(report)
  look(report, entry)
end

-- ---- events and errors -------------------------------------------------------------------------

local function on_event(report, m, ev)
  local entry = report.made[m]
  if ev.name == "crashed" then report.crashed = report.crashed or m.name end
  report.events:add { time = ev.time - report.zero, machine = entry and entry.index or -1,
    name = ev.name, event = ev }
end

--- Adds an error that has ended something, by source: "the script", or a handler.
function collect.add_error(report, m, source, message, traceback)
  if not traceback or traceback == "" then
    local head, stack = message:match "^(.-)\n(stack traceback:.*)$"
    message, traceback = head or message, stack
  end
  report.errors:add { time = now(report), message = message, traceback = traceback or false,
    source = m and ("machine '%s': %s"):format(m.name, source) or source }
end

local function on_error(report, m, source, message, traceback)
  if source == "the script" then report.failed = true end
  collect.add_error(report, m, source, message, traceback)
end

-- ---- begin and end -----------------------------------------------------------------------------

--- Begins to observe.
function collect.begin(report)
  report.observers = {}
  local kinds = { machine = on_machine, closing = on_closing, event = on_event, error = on_error,
    chardev = on_chardev, printed = function(_, text) report.printed:add(now(report), text) end }
  for kind, fn in pairs(kinds) do
    report.observers[#report.observers + 1] = observe.on(kind, function(...) fn(report, ...) end)
  end
end

--- Takes the last look at the machines that are open.
function collect.finish(report)
  for _, entry in ipairs(report.machines) do
    look(report, entry)
    if entry.machine.state ~= "closed" then entry.closed = false end
  end
end

-- Returns an event's fields in one line, and its texts of several lines or false.
local function words_of(ev)
  local fields, texts = event.describe(ev)
  fields = fields:gsub("%s*\n%s*", " "):match "^{ (.*) }$" or fields
  return fields, texts[1] and table.concat(texts, "\n") or false
end

local function events_of(report)
  local all = report.events:all()
  for i, kept in ipairs(all) do
    local text, more = kept.text, false
    if kept.event then text, more = words_of(kept.event) end
    all[i] = { kept.time, kept.machine, kept.name, text, more }
  end
  return all
end

local function outputs_of(report)
  local list = {}
  for _, kept in ipairs { report.printed, table.unpack(report.outputs) } do
    local chunks, lost, after = kept:all()
    list[#list + 1] = { name = kept.name, machine = kept.machine or -1, chunks = chunks,
      lost = lost, lostAfter = after }
  end
  table.insert(list, table.remove(list, 1)) -- the script's comes last
  return list
end

local function machines_of(report)
  local list = {}
  for i, entry in ipairs(report.machines) do
    local shown = {}
    for key, value in pairs(entry) do shown[key] = value end
    shown.machine, shown.recorder = nil, nil
    if #shown.maps.after == 0 then shown.maps = { before = shown.maps.before, after = {} } end
    list[i] = shown
  end
  return list
end

local function tests_of(report)
  local list = report.tests:all()
  for _, test in ipairs(list) do
    test.message, test.traceback = test.message or false, test.traceback or false
  end
  return list
end

--- Returns what has been observed, for the page.
function collect.data(report)
  return {
    machines = machines_of(report), machinesLost = report.machines_lost,
    events = events_of(report), eventsLost = report.events.lost, consoles = outputs_of(report),
    errors = report.errors:all(), errorsLost = report.errors.lost, tests = tests_of(report),
    testsLost = report.tests.lost,
  }
end

return collect
