--- Waits: coroutines, sleeping, and driving the loop.
--
-- All waits use wait.block(). In a coroutine made by spawn() it yields; elsewhere it runs the loop
-- until it is woken; in a handler, which the loop itself has called, it raises an error.

local core = require "lunik.core"
local event = require "lunik.event"
local list = require "lunik.list"
local options = require "lunik.options"
local waits = require "lunik.waiting"

local wait = {}

local shared = core.shared
shared.tasks = shared.tasks or setmetatable({}, { __mode = "k" }) -- coroutine -> task

-- ---- tasks -------------------------------------------------------------------------------------

local Task = {}
Task.__index = Task
Task.__name = "lunik.Task"
function Task.__tostring(task)
  return ("coroutine (%s)"):format(not task.done and "waiting" or task.ok and "done" or "failed")
end
wait.Task = Task

shared.blocked = shared.blocked or {}
local BLOCKED = shared.blocked -- what block() yields

-- The results of a coroutine if there was no memory for its own.
local LOST = { n = 1,
  core.error("no-memory", "what a coroutine returned is lost: not enough memory") }

-- Tasks whose error has been neither raised by a wait nor reported.
shared.failed = shared.failed or list.new()

local JOIN_SECONDS = 1

local function claim(task)
  if task.list == shared.failed then list.remove(task) end
  if task.reporter then task.reporter:cancel() end
end

local function report(task)
  claim(task)
  event.report(nil, "a coroutine", task.results[1], task.traceback)
end

local report_after

-- While a script waits for other tasks, it may wait for this one next: delays the report once.
local function report_unclaimed(task, seconds)
  if task.list ~= shared.failed then return end
  if seconds == 0 and (shared.joining or 0) > 0 then return report_after(task, JOIN_SECONDS) end
  report(task)
end

-- Reports a task's error after that time, unless a wait has raised it by then.
function report_after(task, seconds)
  local ok, timer = pcall(core.timer, seconds, function() report_unclaimed(task, seconds) end)
  task.reporter = ok and timer or nil
end

--- Reports all errors of tasks that have not been reported yet.
function wait.report_failures()
  while shared.failed.count > 0 do report(list.first(shared.failed)) end
end

-- Reports them at the end of the Lua state.
shared.at_end = shared.at_end or setmetatable({}, { __gc = wait.report_failures })

-- Returns true and the packed results, or false and an error in their place.
local function pack_results(...)
  local packed, results = pcall(table.pack, ...)
  if packed then return true, results end
  return false, results == "not enough memory" and LOST or { n = 1, results }
end

local function finish(task, ok, ...)
  local packed
  packed, task.results = pack_results(...)
  task.done, task.ok = true, ok and packed
  local unseen = not task.ok and task.waiting.count == 0 and not task.cancelled
  wait.wake_all(task.waiting)
  if not unseen then return end
  list.add(shared.failed, task)
  report_after(task, 0)
end

local step

-- Whether a task is still in that turn, or dead without having been noticed.
local function due(task, turn)
  return task.turn == turn or coroutine.status(task.thread) == "dead"
end

-- Resumes a task from the loop; retries if memory is short.
local function soon(task)
  local turn = task.turn
  core.timer(0, function() if due(task, turn) then step(task) end end, true)
end

local function after_resume(task, ok, ...)
  local dead = coroutine.status(task.thread) == "dead"
  task.stepping = dead
  if dead or not ok then -- one that is alive could not be resumed: C stack overflow
    task.ended = true
    if not ok and dead then task.traceback = debug.traceback(task.thread) end
    coroutine.close(task.thread)
    finish(task, ok, ...)
  elseif ... ~= BLOCKED then
    -- A plain coroutine.yield() lets other tasks run.
    soon(task)
  end
end

-- Ends a task whose coroutine has died outside step().
local function bury(task)
  if task.ended then return finish(task, false, LOST[1]) end
  local ok, err = coroutine.close(task.thread)
  if ok and task.stepping then
    err = LOST[1] -- there was no memory for after_resume()
  elseif ok then
    err = core.error("state", "the coroutine was closed, or resumed to its end, by other code")
  end
  finish(task, false, err)
end

function step(task, ...)
  if task.done then
    return wait.wake_all(task.waiting)
  end
  local status = coroutine.status(task.thread)
  if status == "dead" then
    return bury(task)
  elseif status ~= "suspended" then -- other code has resumed it
    return soon(task)
  end
  task.turn = task.turn + 1
  task.stepping = true
  after_resume(task, coroutine.resume(task.thread, ...))
end

--- Runs fn(...) in a coroutine of its own that may wait; returns its task.
function wait.spawn(fn, ...)
  options.value("spawn: function", fn, "function")
  local task = setmetatable({
    thread = coroutine.create(fn), waiting = list.new(), turn = 0, done = false, stepping = false,
  }, Task)
  shared.tasks[task.thread] = task
  step(task, ...)
  return task
end

--- Returns a start function for block() that puts the wake function into a list during the wait.
function wait.joins(waiting)
  return function(wake)
    local member = { wake = wake }
    local function leave() list.remove(member) end
    list.add(waiting, member)
    return leave
  end
end

--- Calls all wake functions in such a list; each wait that ends removes its own. Allocates no
-- memory.
function wait.wake_all(waiting)
  for _ = 1, waiting.count do
    local member = list.first(waiting)
    if not member then break end
    member.wake(true)
    if list.first(waiting) == member then -- it stays: the next one's turn
      list.remove(member)
      list.add(waiting, member)
    end
  end
end

local Joining = { __close = function() shared.joining = shared.joining - 1 end }
local joining = setmetatable({}, Joining)

--- Waits until the task has ended; returns what its function returned, or raises what it raised.
function Task:wait(opts)
  opts = options.parse("wait", opts, { timeout = "seconds" })
  if not self.done then
    shared.joining = (shared.joining or 0) + 1
    local _ <close> = joining
    wait.block {
      what = "end of the coroutine", timeout = opts.timeout, start = wait.joins(self.waiting),
    }
  end
  claim(self)
  if not self.ok then error(self.results[1], 0) end
  return table.unpack(self.results, 1, self.results.n)
end

--- Ends a waiting task; closes its to-be-closed variables.
function Task:cancel()
  if self.done then return end
  local status = coroutine.status(self.thread)
  if status ~= "suspended" and status ~= "dead" then
    options.fail("state", "cancel: the coroutine is running")
  end
  self.cancelled = true
  if status == "dead" then return bury(self) end
  local ok, err = coroutine.close(self.thread)
  finish(self, false, ok and core.error("state", "the coroutine was cancelled") or err)
end

options.guard(Task.__name, Task, Task)

-- ---- blocking ----------------------------------------------------------------------------------

--- Runs the loop until lunik.stop() or nothing is left to wait for. lunik.luv replaces it.
function shared.driver()
  return core.run("default")
end

--- Makes the driver return soon. lunik.luv replaces it.
function shared.rouse()
  core.stop()
end

local function drive(what, finished)
  while not finished() do
    shared.stopped = false
    local more = shared.driver()
    if finished() then return end
    if shared.stopped then
      options.fail("state", "lunik.stop() was called while waiting for %s", what)
    elseif not more then
      options.fail("state", "nothing is left that could end the wait for %s: no machine is running "
        .. "and no timer is set", what)
    end
  end
end

local function nothing() end

-- Holds the functions that disarm a wait's wake-ups, and calls them when the wait is over, however
-- it ends. Has room for all of them from the start, as none may be lost for lack of memory.
-- If the task is still asleep then, other code has closed its coroutine: resumes the task soon, so
-- that waits for it end.
local Armed = { __close = function(armed)
  for _, disarm in ipairs(armed) do disarm() end
  if armed.asleep and not armed.asleep.cancelled then pcall(soon, armed.asleep) end
end }

local function new_armed()
  return setmetatable({ nothing, nothing, nothing, asleep = nil }, Armed)
end

local function arm(armed, request, wake)
  local timer, subscription -- the functions come first: there may be no memory for them afterwards
  if request.timeout then
    armed[1] = function() if timer then timer:cancel() end end
    timer = core.timer(request.timeout, function() wake(false, wait.timeout_error) end, true)
  end
  if request.machine then
    armed[2] = function() if subscription then subscription:off() end end
    subscription = event.subscribe(event.state(request.machine).ends, function()
      wake(false, wait.ended_error)
    end)
  end
  armed[3] = request.start(wake) or nothing
end

-- Make the errors of block(), which calls them so that they name the line of the wait.
function wait.timeout_error(_, what, seconds)
  return core.error("timeout", ("no %s within %g s"):format(what, seconds))
end

function wait.ended_error(m, what)
  return core.error(m.state == "closed" and "gone" or "state",
    ("machine '%s' has stopped (%s) while waiting for %s"):format(m.name, event.why_ended(m), what))
end

local WOKEN = { true, n = 1 }

-- Packs the arguments of wake(); allocates no memory if that is only true.
local function pack(...)
  return select("#", ...) == 1 and ... == true and WOKEN or table.pack(...)
end

-- wake() may be called again if it raised an error: without memory the task stays asleep.
local function block_task(task, request)
  local turn, result, yielded = task.turn, nil, nil
  local armed <close> = new_armed()
  arm(armed, request, function(...)
    if not due(task, turn) then return end
    result = result or pack(...)
    if not yielded then return end
    if core.on_loop_thread() then
      step(task)
    else
      soon(task)
    end
  end)
  yielded = not result
  while not result do -- other code may have resumed the coroutine
    armed.asleep = task
    coroutine.yield(BLOCKED)
    armed.asleep, turn = nil, task.turn
  end
  return result
end

local function block_main(request)
  local where = core.blocked()
  if where then options.fail("state", "can't wait %s; use lunik.spawn", where) end
  local result, driving
  local armed <close> = new_armed()
  arm(armed, request, function(...)
    if result then return end
    result = pack(...)
    if driving then shared.rouse() end
  end)
  driving = true
  drive(request.what, function() return result end)
  return result
end

--- Whether block() may be called here.
function wait.possible()
  if shared.tasks[coroutine.running()] then return coroutine.isyieldable() end
  return not core.blocked()
end

--- Waits until request.start's wake function is called: wake(true, ...) makes block() return the
-- rest, wake(false, make_error) makes it raise make_error(machine, what, timeout). request: what
-- (in words, for errors and displays), timeout (seconds), machine (whose end ends the wait), start
-- = function(wake) that may return a function to call afterwards, seconds (that it will last).
function wait.block(request)
  local task = shared.tasks[coroutine.running()]
  local _ <close> = waits.note(request.what, request.timeout or request.seconds)
  local result
  if task then
    if not coroutine.isyieldable() then
      -- core.blocked() also names the loop's handler that runs this coroutine, which is no
      -- obstacle.
      local where = core.blocked()
      if not where or where == "in an event handler" then
        where = "in a function that C code calls, such as one given to table.sort or string.gsub"
      end
      options.fail("state", "can't wait for %s %s", request.what, where)
    end
    result = block_task(task, request)
  else
    result = block_main(request)
  end
  if not result[1] then error(result[2](request.machine, request.what, request.timeout), 0) end
  return table.unpack(result, 2, result.n)
end

-- ---- loop --------------------------------------------------------------------------------------

--- Waits for a number of seconds.
function wait.sleep(seconds)
  options.value("sleep: time", seconds, "seconds")
  wait.block {
    what = "the time to pass", seconds = seconds,
    start = function(wake)
      local timer
      local function cancel() timer:cancel() end
      timer = core.timer(seconds, function() wake(true) end, true)
      return cancel
    end,
  }
end

--- Calls fn soon, from the loop.
function wait.defer(fn)
  options.value("defer: function", fn, "function")
  core.timer(0, fn)
end

--- Runs the loop: until lunik.stop() or nothing is left to wait for ("default"), until something
-- has happened ("once"), or without waiting ("nowait").
function wait.run(mode)
  options.choice("run: mode", mode or "default", { "default", "once", "nowait" })
  if shared.tasks[coroutine.running()] then
    options.fail("state", "a coroutine can't run the loop; it just waits")
  end
  if mode and mode ~= "default" then return core.run(mode) end
  shared.stopped = false
  local more
  repeat more = shared.driver() until shared.stopped or not more
  return more
end

--- Makes lunik.run() return.
function wait.stop()
  shared.stopped = true
  shared.rouse()
end

shared.start_time = shared.start_time or core.now()

--- Seconds since the library was loaded.
function wait.now()
  return core.now() - shared.start_time
end

return wait
