--- Who is told what happens to a machine: handlers, and those who wait.
--
-- What is kept here for a machine survives a reload of the library (core.shared). Handlers run
-- under xpcall; what they raise is reported, and the machine goes on.

local core = require "lunik.core"
local options = require "lunik.options"

local event = {}

--- Every event the library itself sends, and its fields; library/lunik.lua describes them.
event.known = {
  "started", "paused", "resumed", "reset", "shutdown", "crashed", "powerdown", "error",
  "acpi-ost", "device-added", "device-deleted", "device-unplug-request",
  "device-unplug-guest-error", "prealloc-progress", "chardev-error", "chardev-connected",
  "chardev-disconnected", "vcpu-exit",
}

local shared = core.shared
shared.machines = shared.machines or setmetatable({}, { __mode = "k" })

--- What the library keeps for a machine:
-- handlers: event name -> list of subscriptions; irq, reset, rejected: lists; ends: functions to
-- call when the machine ends; ended: the event that ended it; dispatching: how many events are
-- being handed out; console: its serial console's chardev; consoles: chardev-buffer -> console.
function event.state(m)
  local state = shared.machines[m]
  if not state then
    state = {
      handlers = {}, irq = {}, reset = {}, rejected = {}, ends = {}, dispatching = 0,
      consoles = {},
    }
    shared.machines[m] = state
  end
  return state
end

-- ---- errors ------------------------------------------------------------------------------------

--- Tells people something, in whole lines. The prompt has its own way.
function event.tell(text)
  io.stderr:write(text)
end

local function to_stderr(where, source, message, traceback)
  event.tell(("lunik: %s%s: %s\n%s"):format(where, source, message,
    traceback and traceback .. "\n" or ""))
end

--- Reports an error that has nobody to be raised to: event "error" if it concerns a machine that
-- has handlers for that, lunik.on_error's function if there is one, else standard error.
function event.report(m, source, err, traceback)
  local message = tostring(err)
  if m and m.state ~= "closed" then
    core.emit(m, "error", { source = source, message = message, traceback = traceback or "" })
    local handlers = event.state(m).handlers.error
    if handlers and #handlers > 0 then return end
  end
  if shared.on_error then
    local ok = pcall(shared.on_error, message, traceback, source, m)
    if ok then return end
  end
  to_stderr(m and ("machine '%s': "):format(m.name) or "", source, message, traceback)
end

--- Sets the function(message, traceback, source, machine) that is told of errors nobody handles;
-- nil: they are printed to standard error.
function event.on_error(fn)
  if fn ~= nil then options.value("on_error: function", fn, "function") end
  shared.on_error = fn
end

local function with_traceback(err)
  return { err, debug.traceback(nil, 2) }
end

--- Calls fn, reporting what it raises. Returns fn's first result.
local function protected(m, source, fn, ...)
  local ok, result = xpcall(fn, with_traceback, ...)
  if ok then return result end
  if source == "a handler of 'error'" then
    to_stderr("", source, tostring(result[1]), result[2])
  else
    event.report(m, source, result[1], result[2])
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
  if not self.list then return end
  for i, other in ipairs(self.list) do
    if other == self then
      table.remove(self.list, i)
      break
    end
  end
  local list, emptied = self.list, self.emptied
  self.list = nil
  if emptied and #list == 0 then emptied() end
end

options.guard(Subscription.__name, Subscription, Subscription)
Subscription.__close = Subscription.off

--- Appends fn to a list of subscriptions; emptied (optional) is called when none is left.
function event.subscribe(list, fn, emptied)
  local subscription = setmetatable({ fn = fn, list = list, emptied = emptied }, Subscription)
  list[#list + 1] = subscription
  return subscription
end

--- Calls the subscriptions of a list, those that are added or removed meanwhile excepted.
local function call_all(m, list, source, ...)
  for _, subscription in ipairs(table.move(list, 1, #list, 1, {})) do
    if subscription.list then
      if subscription.once then subscription:off() end
      local result = protected(m, source, subscription.fn, ...)
      if result ~= nil and source == "a vcpu-exit handler" then return result end
    end
  end
end

--- Fails for a name that is probably a misspelt event; others are a script's own.
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

local function handlers_of(m, name)
  local handlers = event.state(m).handlers
  handlers[name] = handlers[name] or {}
  return handlers[name]
end

--- Fails if m is closed.
local function check_open(m)
  if m.state == "closed" then
    error(core.error("gone", ("machine '%s' is closed"):format(m.name)))
  end
end

event.check_open = check_open

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
  shared.everywhere[name] = shared.everywhere[name] or {}
  return event.subscribe(shared.everywhere[name], fn)
end

--- Those who are told of every machine's rejected accesses.
shared.rejected = shared.rejected or {}

--- Has a machine's lines, resets or rejected accesses watched if anybody wants to know of them.
local function watch(m, kind)
  if m.state == "closed" then return end
  core.observe(m, kind, #event.state(m)[kind] + #(shared[kind] or {}) > 0)
end

local function observe(m, kind, fn)
  check_open(m)
  options.value("on_" .. kind .. ": handler", fn, "function")
  local subscription = event.subscribe(event.state(m)[kind], fn, function() watch(m, kind) end)
  watch(m, kind)
  return subscription
end

--- m:on_irq(fn)
function event.on_irq(m, fn)
  return observe(m, "irq", fn)
end

--- m:on_reset(fn)
function event.on_reset(m, fn)
  return observe(m, "reset", fn)
end

--- m:on_rejected(fn)
function event.on_rejected(m, fn)
  return observe(m, "rejected", fn)
end

--- A machine has been made.
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

local ends_run = { shutdown = true, crashed = true } -- events, and the states that they tell of
local begins_run = { started = true, resumed = true, reset = true }

--- Whether the machine's run is over, its last event delivered.
function event.has_ended(m)
  local now = m.state
  return now == "closed" or event.state(m).ended ~= nil and (now == "shutdown" or now == "crashed")
end

--- What ended the machine, in words.
function event.why_ended(m)
  local ended = event.state(m).ended
  if m.state == "closed" then return "closed" end
  return ended and (ended.reason or ended.name) or m.state
end

local function end_waits(m)
  local ends = event.state(m).ends
  for _, subscription in ipairs(table.move(ends, 1, #ends, 1, {})) do
    if subscription.list then protected(m, "a wait", subscription.fn) end
  end
end

--- What must not go unseen when nobody listens. Errors that scripts raise are reported at once.
local function tell_nobody(m, ev)
  if ev.name == "crashed" then
    event.tell(("lunik: machine '%s' crashed: %s\n%s\n"):format(m.name, ev.message, ev.dump))
  elseif ev.name == "error" and not ev.traceback then
    to_stderr(("machine '%s': "):format(m.name), ev.source, ev.message)
  elseif ev.name == "chardev-error" then
    to_stderr(("machine '%s': "):format(m.name), ev.object, ev.message)
  end
end

--- The lists of handlers that an event of m concerns.
local function lists_for(state, name)
  local lists = {}
  for _, handlers in ipairs { state.handlers, shared.everywhere or {} } do
    lists[#lists + 1] = handlers[name]
    lists[#lists + 1] = handlers["*"]
  end
  return lists
end

local function none_listens(lists)
  for _, list in ipairs(lists) do
    if #list > 0 then return false end
  end
  return true
end

local function call_lists(m, lists, source, ev)
  for _, list in ipairs(lists) do call_all(m, list, source, ev) end
end

local Event = { __name = "lunik.Event" }
local of_every_event = { name = true, machine = true, time = true }

function Event:__tostring()
  local fields = {}
  for key, value in pairs(self) do
    if not of_every_event[key] then fields[key] = value end
  end
  return ("machine '%s': %s %s"):format(self.machine.name, self.name,
    next(fields) and require "lunik.inspect"(fields) or ""):gsub(" $", "")
end

-- Keeps what ended the run. There may have been no memory for the event that would have told.
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
  local lists = lists_for(state, ev.name)
  if none_listens(lists) then tell_nobody(m, ev) end
  note_end(m, state, ev)
  local source = ("a handler of '%s'"):format(ev.name)
  state.dispatching = state.dispatching + 1
  local ok, err = pcall(call_lists, m, lists, source, ev) -- handlers are protected one by one
  state.dispatching = state.dispatching - 1
  if not ok then error(err, 0) end
  if m.state == "closed" or state.ended and event.has_ended(m) then end_waits(m) end
end

core.hooks.exit = function(m, ev)
  local list = event.state(m).handlers["vcpu-exit"]
  return list and call_all(m, list, "a vcpu-exit handler", ev)
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
  for _, list in ipairs { event.state(m).rejected, shared.rejected } do
    call_all(m, list, "an observer of rejected accesses", access)
  end
end

core.hooks.report = event.report

--- The machine has been closed: nobody waits for it any longer. If it was a handler that did it,
-- the others get their event first.
core.hooks.closed = function(m)
  if event.state(m).dispatching == 0 then end_waits(m) end
end

return event
