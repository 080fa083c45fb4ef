--- Runs jobs, each in a process of its own, several at a time. `lunik test` and the project's own
-- tests use it. Needs the Lua module luv.

local uv = require "luv"
local process = require "lunik.testing_runner.process"

local engine = {}

local SIGNALS = { sigint = 2, sigterm = 15, sighup = 1 }

-- Ends all processes at the first signal.
local function catch_signals(state)
  local handles = {}
  for name, number in pairs(SIGNALS) do
    local handle = uv.new_signal()
    handle:start(name, function()
      state.signal = number
      for p in pairs(state.running) do process.stop(p, "was interrupted") end
    end)
    handles[#handles + 1] = handle
  end
  return function()
    for _, handle in ipairs(handles) do handle:close() end
  end
end

local function may_start(state, job)
  if not job or state.signal or state.count >= state.jobs then return false end
  return state.count == 0 or not (job.alone or state.alone)
end

-- Hands the runs that have ended to the reports in the order of their jobs.
local function show_ended(state)
  while state.ended[state.next_shown] do
    state.reports.ended(state.ended[state.next_shown])
    state.next_shown = state.next_shown + 1
  end
end

local function start_more(state)
  while may_start(state, state.list[state.next]) do
    local index, job, p = state.next, state.list[state.next], nil
    state.next, state.count, state.alone = index + 1, state.count + 1, job.alone
    p = process.start(job, function(run)
      state.ended[index], state.running[p] = run, nil
      state.count = state.count - 1
      show_ended(state)
      start_more(state)
    end)
    state.running[p] = job
  end
  if state.count == 0 then state.finish() end
end

-- Returns the runs that are under way, in the order of their start.
local function under_way(state)
  local runs = {}
  for p in pairs(state.running) do runs[#runs + 1] = p.run end
  table.sort(runs, function(a, b) return a.start < b.start end)
  return runs
end

-- Returns fn; when it raises an error, all processes are ended, and run() raises the error.
local function guarded(state, fn)
  return fn and function(...)
    local ok, err = pcall(fn, ...)
    if ok or state.err then return end
    state.err, state.signal = err, SIGNALS.sigterm
    for p in pairs(state.running) do process.stop(p, "was interrupted") end
  end
end

--- Runs the list of jobs (process.start(); alone: with no other at the same time), at most `jobs`
-- at a time. reports.ended(run) is called with the runs in the order of the list, reports.tick(runs
-- under way, now, how many have ended), if there is one, each second. Returns the number of the
-- signal that ended it early, or nil.
function engine.run(list, jobs, reports)
  local state = { list = list, jobs = jobs, running = {}, ended = {}, count = 0, next = 1,
    next_shown = 1 }
  local release, ticker = catch_signals(state), uv.new_timer()
  state.reports = { ended = guarded(state, reports.ended), tick = guarded(state, reports.tick) }
  function state.finish()
    if ticker:is_closing() then return end
    ticker:close()
    release()
  end
  if reports.tick then
    ticker:start(1000, 1000, function()
      state.reports.tick(under_way(state), uv.hrtime() / 1e9, state.next - 1 - state.count)
    end)
  end
  start_more(state)
  uv.run()
  if state.err then error(state.err, 0) end
  return state.signal
end

return engine
