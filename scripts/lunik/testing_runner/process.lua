--- A process that runs tests: its output, its time limit, its end.

local uv = require "luv"
local results = require "lunik.testing_runner.results"

local process = {}

-- Seconds from the request to end to the order, and from the end to that of processes which still
-- have its output open.
local GRACE = 5

local function now() return uv.hrtime() / 1e9 end

local NAMES = { [4] = "SIGILL", [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL",
  [11] = "SIGSEGV", [13] = "SIGPIPE", [15] = "SIGTERM", [31] = "SIGSYS" }

-- Returns how the process ended, if not well, and whether that is a failure of its own.
local function problem_of(p, code, signal)
  if p.why then
    return p.why, true
  elseif signal ~= 0 or code > 128 and NAMES[code - 128] then
    signal = signal ~= 0 and signal or code - 128
    return ("was killed by signal %d%s"):format(signal,
      NAMES[signal] and (" (%s)"):format(NAMES[signal]) or ""), true
  elseif code ~= 0 then
    return ("ended with exit code %d"):format(code), false
  end
end

-- Sends a signal to the process and those that it has started.
local function signal_group(p, name)
  pcall(uv.kill, -p.pid, name)
end

local function later(p, seconds, fn)
  if p.timer:is_closing() then return end
  p.timer:start(math.floor(seconds * 1000), 0, fn)
end

--- Ends the process: asks it, then kills it. why: what a result says about that.
function process.stop(p, why)
  p.why = p.why or why
  if p.stopping then return signal_group(p, "sigkill") end
  p.stopping = true
  signal_group(p, "sigterm")
  later(p, GRACE, function() signal_group(p, "sigkill") end)
end

local function finish(p)
  if not p.exited or not p.pipe:is_closing() then return end
  p.timer:close()
  results.finish(p.run, p.problem, p.hard, now())
  p.done(p.run)
end

local function on_exit(p, code, signal)
  p.exited = true
  p.problem, p.hard = problem_of(p, code, signal)
  p.handle:close()
  -- Processes that it has left must not keep the runner from going on.
  later(p, GRACE, function()
    signal_group(p, "sigkill")
    if not p.pipe:is_closing() then p.pipe:close() end
    finish(p)
  end)
  finish(p)
end

local function read_output(p)
  p.pipe:read_start(function(_, data)
    if data then return results.take(p.run, data, now()) end
    p.pipe:close()
    finish(p)
  end)
end

local function environment(more)
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not (more and more[name]) then list[#list + 1] = name .. "=" .. value end
  end
  for name, value in pairs(more or {}) do list[#list + 1] = name .. "=" .. value end
  return list
end

--- Starts a job: name, command (program and arguments), limit (seconds), env (name = value),
-- checks (it is a C test), may_be_empty (it may run no test). Calls done(run) at the end. Returns
-- the process, whose field run has the results so far.
function process.start(job, done)
  local ends = assert(uv.pipe({ nonblock = true }, {}))
  local p = { run = results.new(job, now()), done = done, timer = uv.new_timer(),
    pipe = uv.new_pipe(false) }
  p.pipe:open(ends.read)
  -- A session of its own: Ctrl-C goes to the runner only, and a signal reaches all that it starts.
  local handle, pid = uv.spawn(job.command[1], { args = table.move(job.command, 2,
    #job.command, 1, {}), stdio = { nil, ends.write, ends.write }, detached = true,
    env = environment(job.env) }, function(code, signal) on_exit(p, code, signal) end)
  uv.fs_close(ends.write)
  if not handle then
    p.exited, p.problem, p.hard = true, ("can't run '%s': %s"):format(job.command[1], pid), true
  else
    p.handle, p.pid = handle, pid
    later(p, job.limit, function()
      process.stop(p, ("still ran after %d s"):format(job.limit))
    end)
  end
  read_output(p)
  return p
end

return process
