--- Keeps the last events of each machine, for waits that begin after them.
--
-- An action of a script on a machine (a plug, a reset, text typed at its console) has effects, and
-- the script may wait for several of them one after the other: for a line on the console, then for
-- an event that came before it. So m:wait() first looks at the events since this coroutine last
-- acted on the machine, and takes each event once. A coroutine that has not acted sees the events
-- since it first waited for the console.

local core = require "lunik.core"

local recent = {}

local KEPT = 1000 -- events of a machine
local PAST = 64   -- events that no wait can find any more, kept for missed()

local shared = core.shared
shared.recent = shared.recent or setmetatable({}, { __mode = "k" })

-- Returns the log of a machine: [first] to [last] are events; started: the index of the event that
-- began this run; views: coroutine -> {from = index of the first event that it has not seen,
-- taken = events}.
local function log_of(m)
  local log = shared.recent[m]
  if not log then
    log = { first = 1, last = 0, started = 1, views = setmetatable({}, { __mode = "k" }) }
    shared.recent[m] = log
  end
  return log
end

--- Adds an event that is being delivered.
function recent.note(m, ev)
  local log = log_of(m)
  log.last = log.last + 1
  log[log.last] = ev
  if ev.name == "started" then log.started = log.last end
  if log.last - log.first == KEPT then
    log[log.first] = nil
    log.first = log.first + 1
  end
end

local function new_view(log)
  return { from = log.last + 1, taken = setmetatable({}, { __mode = "k" }) }
end

-- Drops events that no coroutine can wait for any more. Not at each call, as it visits all views.
local function forget_past(log)
  if log.last - log.first < 2 * PAST then return end
  local oldest = log.last + 1 - PAST
  for _, view in pairs(log.views) do oldest = math.min(oldest, view.from) end
  while log.first < oldest do
    log[log.first] = nil
    log.first = log.first + 1
  end
end

--- To be called when the running coroutine acts on the machine: its waits ignore earlier events.
function recent.acted(m)
  local log = log_of(m)
  log.views[coroutine.running()] = new_view(log)
  forget_past(log)
end

--- To be called when the running coroutine begins to wait for something other than an event.
function recent.begin(m)
  local log, thread = log_of(m), coroutine.running()
  log.views[thread] = log.views[thread] or new_view(log)
end

-- Moves the view beyond events that have been taken.
local function skip_taken(log, view)
  while log[view.from] and view.taken[log[view.from]] do view.from = view.from + 1 end
end

--- To be called when m:wait() has found an event.
function recent.took(m, ev)
  local log = log_of(m)
  local view = log.views[coroutine.running()]
  log.waited = log.waited or setmetatable({}, { __mode = "k" })
  log.waited[ev] = true
  if view then
    view.taken[ev] = true
    skip_taken(log, view)
  end
end

--- Returns the oldest wanted event that has come since the running coroutine acted, or nil.
function recent.find(m, wanted)
  local log = log_of(m)
  local view = log.views[coroutine.running()]
  for i = view and math.max(view.from, log.first, log.started) or log.last + 1, log.last do
    if not view.taken[log[i]] and wanted(log[i]) then return log[i] end
  end
end

--- Returns the latest wanted event of this run that came before the wait and was not taken, or nil.
function recent.missed(m, wanted)
  local log = log_of(m)
  for i = log.last, math.max(log.first, log.started), -1 do
    if wanted(log[i]) and not (log.waited and log.waited[log[i]]) then return log[i] end
  end
end

return recent
