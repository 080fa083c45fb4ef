--- Runs Lunik inside luv's loop, for scripts that use luv for other things.
--
-- Lunik keeps its private loop; luv polls its file descriptor and has a timer for the next time
-- when it is due. Lunik's calls that wait in the main chunk then run luv's loop.

local core = require "lunik.core"

local luv = {}

local shared = core.shared

local function keep(handle, on)
  if on then handle:ref() else handle:unref() end
end

--- Makes uv (the luv module) drive Lunik from now on; without an argument, requires "luv".
function luv.attach(uv)
  uv = uv or require "luv"
  if shared.luv then return end
  local poll, timer = uv.new_poll(core.backend_fd()), uv.new_timer()
  local prepare = uv.new_prepare()
  local function arm(more)
    local timeout = core.backend_timeout()
    timer:stop()
    if timeout >= 0 then timer:start(timeout, 0, luv.pump) end
    keep(poll, more)
    keep(timer, more)
  end
  function luv.pump()
    if not core.blocked() then arm(core.pump()) end
  end
  poll:start("r", luv.pump)
  -- Before luv waits: runs what a luv callback has started on Lunik's loop.
  prepare:start(function() luv.pump() end)
  prepare:unref()
  shared.luv = { poll, timer, prepare }
  local driving
  shared.driver = function()
    driving = true
    luv.pump()
    local more = uv.run(shared.stopped and "nowait" or "once")
    driving = false
    return more
  end
  -- The event that is waited for may come while Lunik is pumped: luv must not wait after that.
  shared.rouse = function()
    core.stop()
    if driving and core.on_loop_thread() then uv.stop() end
  end
end

return luv
