--- Event handlers, observers and waiters of a machine.
--
-- The data kept for a machine survives a reload of the library (core.shared). Handlers run under
-- xpcall; errors that they raise are reported, and the machine goes on.

local core = require "lunik.core"
local list = require "lunik.list"
local observe = require "lunik.observe"
local options = require "lunik.options"
local recent = require "lunik.recent"

local event = {}

--- The events that the library itself sends; library/lunik.lua describes them and their fields.
event.known = {
  "started", "paused", "resumed", "reset", "suspend", "wakeup", "suspend-disk", "shutdown",
  "crashed", "powerdown", "error", "acpi-ost",
  "device-added", "device-deleted", "device-unplug-request", "device-unplug-guest-error",
  "prealloc-progress", "chardev-error", "chardev-connected", "chardev-disconnected", "netdev-error",
  "netdev-connected", "netdev-disconnected", "vcpu-exit", "msi", "block-io-error", "balloon-change",
  "memory-device-size-change", "guest-panicked", "guest-crashloaded", "watchdog", "port-changed",
  "dump-completed",
}

local shared = core.shared
shared.machines = shared.machines or setmetatable({}, { __mode = "k" })

--- Returns the data that the library keeps for a machine:
-- handlers: event name -> list of subscriptions; filtered: event name -> field -> value -> list of
-- subscriptions to events with that value; irq, reset, rejected: lists; ends: functions to call
-- when the machine ends; ended: the event that ended it; dispatching: how many events are being
-- delivered; console: its serial console's chardev; consoles: chardev-buffer -> console.
function event.state(m)
  local state = shared.machines[m]
  if not state then
    state = {
      handlers = {}, filtered = {}, irq = list.new(), reset = list.new(), rejected = list.new(),
      ends = list.new(), dispatching = 0, consoles = {},
    }
    shared.machines[m] = state
  end
  return state
end

-- ---- errors ------------------------------------------------------------------------------------

local stderr = io.stderr

--- Prints a message of whole lines for the user. The prompt replaces this.
function event.tell(text)
  if io.stderr == stderr then
    core.message(text) -- waits for its reader for a limited time only
  else
    io.stderr:write(text)
  end
end

local function to_stderr(where, source, message, traceback)
  event.tell(("lunik: %s%s: %s\n%s"):format(where, source, message,
    traceback and traceback .. "\n" or ""))
end

local function is_handled(m, name)
  local state = event.state(m)
  local handlers = state.handlers[name]
  return handlers and #handlers > 0 or state.filtered[name] ~= nil
end

--- Reports an error that has no caller to be raised to: by the event "error" if it concerns a
-- machine that has handlers for that, by lunik.on_error's function if there is one, else on
-- standard error.
function event.report(m, source, err, traceback)
  local message = core.text(err)
  observe.notify("error", m, source, message, traceback)
  if m and m.state ~= "closed" then
    local fields = { source = source, message = message, traceback = traceback or "" }
    if pcall(core.emit, m, "error", fields) and is_handled(m, "error") then return end
  end
  if shared.on_error then
    local ok = pcall(shared.on_error, message, traceback, source, m)
    if ok then return end
  end
  to_stderr(m and ("machine '%s': "):format(m.name) or "", source, message, traceback)
end

--- Sets the function(message, traceback, source, machine) for errors without a handler; nil: prints
-- them to standard error.
function event.on_error(fn)
  if fn ~= nil then options.value("on_error: function", fn, "function") end
  shared.on_error = fn
end

local function with_traceback(err)
  return { err, debug.traceback(nil, 2) }
end

local function report_raised(m, source, raised)
  local err, traceback = raised, nil -- without memory, with_traceback() has not been called
  if type(raised) == "table" then err, traceback = raised[1], raised[2] end
  if source == "a handler of 'error'" then
    to_stderr("", source, core.text(err), traceback)
  else
    event.report(m, source, err, traceback)
  end
end

--- Calls fn and reports an error that it raises. Returns fn's first result. Never raises an error,
-- so the caller goes on.
local function protected(m, source, fn, ...)
  local ok, result = xpcall(fn, with_traceback, ...)
  if ok then return result end
  if not pcall(report_raised, m, source, result) then
    pcall(event.tell, "lunik: " .. source .. " failed, and so did the report of it\n")
  end
end
event.protected = protected

-- ---- subscriptions -----------------------------------------------------------------------------

local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "lunik.Subscription"
event.Subscription = Subscription

--- Ends the subscription; does nothing the second time.
function Subscription:off()
  local from = self.list
  if not from then return end
  list.remove(self)
  if self.emptied and #from == 0 then self.emptied() end
end

options.guard(Subscription.__name, Subscription, Subscription)
Subscription.__close = Subscription.off

local serial = 0

--- Appends fn to a list of subscriptions; calls emptied (optional) when the list becomes empty.
function event.subscribe(to, fn, emptied)
  serial = serial + 1
  local subscription = setmetatable({ fn = fn, emptied = emptied, serial = serial }, Subscription)
  list.add(to, subscription)
  return subscription
end

--- Adds a recorder of a machine's flights, or removes it: events' handlers are steps for it.
function event.record(m, recorder, ended)
  local state = event.state(m)
  local kept = {}
  for _, other in ipairs(state.recorders or {}) do
    if other ~= recorder then kept[#kept + 1] = other end
  end
  if not ended then kept[#kept + 1] = recorder end
  state.recorders = #kept > 0 and kept or nil
end

-- Calls a handler as a step of the machine.
local function call_recorded(m, source, fn, ev)
  return protected(m, source, core.trace_handler, m, ev.name, ev.device or ev.path, fn, ev)
end

--- Calls the first n of an array of subscriptions, except those that end meanwhile.
local function call_each(m, subscriptions, n, source, ...)
  local recorded = event.state(m).recorders and source:find "^a handler of "
  for i = 1, n do
    local subscription = subscriptions[i]
    if subscription.list then
      if subscription.once then subscription:off() end
      local result
      if recorded and m.state ~= "closed" then
        result = call_recorded(m, source, subscription.fn, ...)
      else
        result = protected(m, source, subscription.fn, ...)
      end
      if result ~= nil and source == "a vcpu-exit handler" then return result end
    end
  end
end

--- Calls the subscriptions of a list, except those that are added or end meanwhile.
local function call_all(m, from, source, ...)
  local subscriptions = {}
  return call_each(m, subscriptions, list.copy(from, subscriptions, 0), source, ...)
end

--- Fails for a name that is probably a misspelt event; other unknown names are a script's own
-- events.
function event.check_name(what, name)
  options.value(what .. ": event", name, "string")
  if name == "*" then return name end
  for _, known in ipairs(event.known) do
    if known == name then return name end
  end
  local hint = options.hint(name, event.known)
  if hint ~= "" then options.fail("invalid", "%s: '%s' is not an event%s", what, name, hint) end
  return name
end

--- Fails if m is closed.
local function check_open(m)
  if m.state == "closed" then
    error(core.error("gone", ("machine '%s' is closed"):format(m.name)))
  end
end

event.check_open = check_open

local function handlers_of(m, name)
  local handlers = event.state(m).handlers
  handlers[name] = handlers[name] or list.new()
  return handlers[name]
end

local function child(tree, key)
  tree[key] = tree[key] or {}
  return tree[key]
end

--- Returns the field whose list of subscriptions for its value is the shortest.
local function sparsest(fields_of_event, fields)
  local field, members
  for key, value in pairs(fields) do
    local found = fields_of_event[key] and fields_of_event[key][value]
    local count = found and #found or 0
    if not members or count < members then field, members = key, count end
  end
  return field
end

--- Like event.on(), for events with the given fields, at least one; fn has to compare them, since
-- it may be called for other events. The cost of an event does not grow with the number of
-- subscriptions for other values.
function event.on_fields(m, name, fields, fn)
  check_open(m)
  local filtered = event.state(m).filtered
  local of_event = child(filtered, name)
  local field = sparsest(of_event, fields)
  local value = fields[field]
  local of_field = child(of_event, field)
  of_field[value] = of_field[value] or list.new()
  return event.subscribe(of_field[value], fn, function()
    of_field[value] = nil
    if next(of_field) == nil then of_event[field] = nil end
    if next(of_event) == nil then filtered[name] = nil end
  end)
end

--- m:on(name, fn)
function event.on(m, name, fn)
  check_open(m)
  event.check_name("on", name)
  options.value("on: handler", fn, "function")
  return event.subscribe(handlers_of(m, name), fn)
end

--- m:once(name, fn)
function event.once(m, name, fn)
  local subscription = event.on(m, name, fn)
  subscription.once = true
  return subscription
end

--- lunik.on(name, fn)
function event.on_any(name, fn)
  event.check_name("on", name)
  options.value("on: handler", fn, "function")
  shared.everywhere = shared.everywhere or {}
  shared.everywhere[name] = shared.everywhere[name] or list.new()
  return event.subscribe(shared.everywhere[name], fn)
end

--- Observers of every machine's rejected accesses.
shared.rejected = shared.rejected or list.new()

--- Makes C call the hook for a machine's lines, resets or rejected accesses only while there are
-- subscriptions.
local function watch(m, kind)
  if m.state == "closed" then return end
  core.observe(m, kind, #event.state(m)[kind] + (shared[kind] and #shared[kind] or 0) > 0)
end

local function observed(m, kind, fn)
  check_open(m)
  options.value("on_" .. kind .. ": handler", fn, "function")
  local subscription = event.subscribe(event.state(m)[kind], fn, function() watch(m, kind) end)
  watch(m, kind)
  return subscription
end

--- m:on_irq(fn)
function event.on_irq(m, fn)
  return observed(m, "irq", fn)
end

--- m:on_reset(fn)
function event.on_reset(m, fn)
  return observed(m, "reset", fn)
end

--- m:on_rejected(fn)
function event.on_rejected(m, fn)
  return observed(m, "rejected", fn)
end

--- To be called for each new machine.
function event.greet(m) watch(m, "rejected") end

local function greet_all()
  for _, m in ipairs(core.machines()) do event.greet(m) end
end

--- lunik.on_rejected(fn)
function event.on_any_rejected(fn)
  options.value("on_rejected: handler", fn, "function")
  local subscription = event.subscribe(shared.rejected, fn, greet_all)
  greet_all()
  return subscription
end

--- m:emit(name, fields)
function event.emit(m, name, fields)
  core.emit(m, name, fields)
end

-- ---- dispatch ----------------------------------------------------------------------------------

local ends_run = { shutdown = true, crashed = true } -- names of events and of states
local begins_run = { started = true, resumed = true, reset = true }

--- Whether the machine's run is over and its last event delivered.
function event.has_ended(m)
  local now = m.state
  return now == "closed" or event.state(m).ended ~= nil and (now == "shutdown" or now == "crashed")
end

--- Returns words for what ended the machine.
function event.why_ended(m)
  local ended = event.state(m).ended
  if m.state == "closed" then return "closed" end
  return ended and (ended.reason or ended.name) or m.state
end

local function end_waits(m)
  call_all(m, event.state(m).ends, "a wait")
end

--- Prints important events that have no handler. Errors of scripts are not printed here:
-- event.report() has done that.
local function tell_unheard(m, ev)
  if ev.name == "crashed" then
    event.tell(("lunik: machine '%s' crashed: %s\n%s\n"):format(m.name, ev.message, ev.dump))
  elseif ev.name == "error" and not ev.traceback then
    to_stderr(("machine '%s': "):format(m.name), ev.source, ev.message)
  elseif ev.name == "chardev-error" or ev.name == "netdev-error" then
    to_stderr(("machine '%s': "):format(m.name), ev.object, ev.message)
  end
end

local function by_serial(a, b) return a.serial < b.serial end

--- Appends the subscriptions for events that have a field in common with ev, oldest first.
local function add_filtered(found, n, of_event, ev)
  local matching = {}
  local count = 0
  for field, of_field in pairs(of_event) do
    local members = ev[field] ~= nil and of_field[ev[field]]
    if members then count = list.copy(members, matching, count) end
  end
  table.sort(matching, by_serial)
  table.move(matching, 1, count, n + 1, found)
  return n + count
end

--- Returns the subscriptions to call for an event, and their number.
local function concerned(state, ev)
  local found, n = {}, 0
  for _, handlers in ipairs { state.handlers, shared.everywhere or {} } do
    for _, name in ipairs { ev.name, "*" } do
      if handlers[name] then n = list.copy(handlers[name], found, n) end
      if handlers == state.handlers and state.filtered[name] then
        n = add_filtered(found, n, state.filtered[name], ev)
      end
    end
  end
  return found, n
end

local Event = { __name = "lunik.Event" }
local of_every_event = { name = true, machine = true, time = true }
local of_lines = { "dump", "traceback" } -- texts of several lines, shown after the others

--- Returns an event's fields as text, "" if there are none, and its texts of several lines.
function event.describe(ev)
  local fields, texts = {}, {}
  for key, value in pairs(ev) do
    if not of_every_event[key] then fields[key] = value end
  end
  for _, key in ipairs(of_lines) do
    local text = fields[key]
    if type(text) == "string" and text ~= "" then
      texts[#texts + 1] = (text:gsub("\n$", ""))
      fields[key] = nil
    end
  end
  return next(fields) and require "lunik.inspect"(fields) or "", texts
end

function Event:__tostring()
  local fields, texts = event.describe(self)
  for i, text in ipairs(texts) do texts[i] = "\n" .. text end
  return (("machine '%s': %s %s"):format(self.machine.name, self.name, fields):gsub(" $", ""))
    .. table.concat(texts)
end

-- Notes the event that ended the run. If that was lost for lack of memory, makes one up when the
-- loss is reported.
local function note_end(m, state, ev)
  if ends_run[ev.name] then
    state.ended = ev
  elseif begins_run[ev.name] then
    state.ended = nil
  elseif ev.name == "error" and ev.source == "events" and ends_run[m.state] then
    state.ended = state.ended or setmetatable({ name = m.state, machine = m, time = ev.time,
      message = ev.message, code = m.state == "shutdown" and m.exit_code or nil }, Event)
  end
end

core.hooks.event = function(m, ev)
  setmetatable(ev, Event)
  local state = event.state(m)
  local subscriptions, n = concerned(state, ev)
  if n == 0 then tell_unheard(m, ev) end
  note_end(m, state, ev)
  recent.note(m, ev)
  observe.notify("event", m, ev)
  local source = ("a handler of '%s'"):format(ev.name)
  state.dispatching = state.dispatching + 1
  local ok, err = pcall(call_each, m, subscriptions, n, source, ev)
  state.dispatching = state.dispatching - 1
  if not ok then error(err, 0) end
  if m.state == "closed" or state.ended and event.has_ended(m) then end_waits(m) end
end

core.hooks.exit = function(m, ev)
  local handlers = event.state(m).handlers["vcpu-exit"]
  return handlers and call_all(m, handlers, "a vcpu-exit handler", ev)
end

core.hooks.irq = function(m, gsi, level)
  call_all(m, event.state(m).irq, "an interrupt observer", gsi, level)
end

core.hooks.reset = function(m)
  call_all(m, event.state(m).reset, "a reset handler")
end

local Rejection = { __name = "lunik.Rejection", __tostring = function(self) return self.text end }

core.hooks.rejected = function(m, access)
  setmetatable(access, Rejection)
  access.machine = m
  for _, observers in ipairs { event.state(m).rejected, shared.rejected } do
    call_all(m, observers, "an observer of rejected accesses", access)
  end
end

core.hooks.report = event.report

--- The machine has been closed, by a script or by a C program: ends every wait for it. If a handler
-- has closed it, the other handlers get their event first.
core.hooks.closed = function(m)
  if event.state(m).dispatching == 0 then end_waits(m) end
end

return event
