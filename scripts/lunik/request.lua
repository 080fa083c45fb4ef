--- Calls that wait for devices to finish what is in flight: they yield in a coroutine, run the loop
-- in the main chunk, and leave the rest to the loop in a handler.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local wait = require "lunik.wait"

local request = {}

--- Asks the machine for "start", "pause", "reset", "close" or "drain", and waits until that is done
-- where waiting is possible. Else it may be left to the loop; an error is then an event.
function request.ask(m, what)
  local under_way = core.request(m, what)
  if not under_way or not wait.possible() then return end
  local done, code, message, wake
  core.on_end(under_way, function(...)
    done, code, message = true, ...
    if wake then wake(true) end
  end)
  wait.block {
    what = ("the devices of machine '%s' to finish"):format(m.name),
    start = function(fn)
      wake = fn
      if done then fn(true) end
      return function() wake = nil end
    end,
  }
  if code then options.fail(code, "%s", message) end
end

-- ---- drains ------------------------------------------------------------------------------------

local Drain = {}
Drain.__index = Drain
Drain.__name = "lunik.Drain"
request.Drain = Drain

function Drain.__tostring(self)
  return ("drain of machine '%s' (%s)"):format(self.machine.name, self.ended and "ended" or "held")
end

--- m:drain()
function request.drain(m)
  event.check_open(m)
  if not wait.possible() then
    options.fail("state", "drain: can't wait %s; use lunik.spawn", core.blocked() or "here")
  end
  request.ask(m, "drain")
  return setmetatable({ machine = m, ended = false }, Drain)
end

--- Lets the devices go on; does nothing the second time.
function Drain:close()
  if self.ended then return end
  self.ended = true
  if self.machine.state ~= "closed" then core.undrain(self.machine) end
end

options.guard(Drain.__name, Drain, Drain)
Drain.__close = Drain.close

return request
