--- What happens when a guest resets, shuts down or panics, or a watchdog expires: set-action.

local event = require "lunik.event"

local actions = {}

-- The property that says it, by type.
local DEVICES = {
  panic = { pvpanic = "on-panic", ["pvpanic-pci"] = "on-panic" },
  watchdog = { i6300esb = "action" },
}

--- Returns what has been asked for: reboot ("reset" or "shutdown") and shutdown ("poweroff" or
-- "pause"), nil for what has not; whoever ends the process looks at shutdown.
function actions.of(m)
  local state = event.state(m)
  state.end_actions = state.end_actions or {}
  return state.end_actions
end

-- Ends the machine when its guest has reset it, as long as that is asked for.
local function follow_resets(m, asked)
  if asked.following then return end
  asked.following = m:on("reset", function(ev)
    if ev.vcpu and asked.reboot == "shutdown" then m:shutdown(0) end
  end)
end

-- Sets the property of all devices of these types; that there is none is no error.
local function set_devices(m, properties, value)
  for _, object in ipairs(m:objects()) do
    local name = properties[object.type]
    if name then object:set(name, value) end
  end
end

--- Sets what is given of reboot, shutdown, panic and watchdog, as set-action does.
function actions.set(m, given)
  local asked = actions.of(m)
  for name, properties in pairs(DEVICES) do
    if given[name] then set_devices(m, properties, given[name]) end
  end
  asked.reboot = given.reboot or asked.reboot
  asked.shutdown = given.shutdown or asked.shutdown
  if asked.reboot == "shutdown" then follow_resets(m, asked) end
end

return actions
