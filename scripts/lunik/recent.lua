--- The last events of each machine, for waits that begin after them.
--
-- What a script does to a machine (a plug, a reset, text typed at its console) has effects, and the
-- script may wait for several of them one after the other: for a line on the console, then for an
-- event that came before it. So m:wait() looks first at what has come since this coroutine last
-- acted on the machine, and takes each event once. A coroutine that has not acted sees what has
-- come since it first waited for the console.

local core = require "lunik.core"

local recent = {}

local KEPT = 1000 -- events of a machine
local PAST = 64   -- of those that no wait can find any more, for what missed() says

local shared = core.shared
shared.recent = shared.recent or setmetatable({}, { __mode = "k" })

-- Of a machine: [first] to [last] are events; started: the place of the event that began this run;
-- views: coroutine -> {from = the place from which it has not seen the events, taken = events}.
local function log_of(m)
  local log = shared.recent[m]
  if not log then
    log = { first = 1, last = 0, started = 1, views = setmetatable({}, { __mode = "k" }) }
    shared.recent[m] = log
  end
  return log
end

--- An event has come.
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

-- Forgets what no coroutine may wait for any more; not each time, as that looks at all of them.
local function forget_past(log)
  if log.last - log.first < 2 * PAST then return end
  local oldest = log.last + 1 - PAST
  for _, view in pairs(log.views) do oldest = math.min(oldest, view.from) end
  while log.first < oldest do
    log[log.first] = nil
    log.first = log.first + 1
  end
end

--- The running coroutine acts on the machine: what came before is of no more interest to it.
function recent.acted(m)
  local log = log_of(m)
  log.views[coroutine.running()] = new_view(log)
  forget_past(log)
end

--- The running coroutine begins to wait for something else than an event.
function recent.begin(m)
  local log, thread = log_of(m), coroutine.running()
  log.views[thread] = log.views[thread] or new_view(log)
end

-- Events that are taken one after the other are not looked at again.
local function skip_taken(log, view)
  while log[view.from] and view.taken[log[view.from]] do view.from = view.from + 1 end
end

--- m:wait() has found an event.
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

--- The oldest event that the running coroutine may wait for now though it has come already.
function recent.find(m, wanted)
  local log = log_of(m)
  local view = log.views[coroutine.running()]
  for i = view and math.max(view.from, log.first, log.started) or log.last + 1, log.last do
    if not view.taken[log[i]] and wanted(log[i]) then return log[i] end
  end
end

--- The latest event of this run that a wait which found none was too late for.
function recent.missed(m, wanted)
  local log = log_of(m)
  for i = log.last, math.max(log.first, log.started), -1 do
    if wanted(log[i]) and not (log.waited and log.waited[log[i]]) then return log[i] end
  end
end

return recent
