-- The guest does not answer an unplug request; a reset completes it.
--
--     lunik run scripts/examples/unplug-unanswered.lua [GUEST]
--
-- What you should see: the wait ends with a time-out, and the request stands. The machine's reset
-- completes it, because the old system can't use the memory any more.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local testing = require "lunik.testing"

-- A guest without a driver for memory hotplug ("deaf"), and a DIMM that is there from the start.
local t <close> = testing.machine {
  guest = arg[1], deaf = true, cold = { { id = "dimm1", size = "128M" } },
}

local request = t:unplug("dimm1", { nowait = true })
local ok, err = pcall(request.wait, request, { timeout = 0.5 })
assert(not ok and err.code == "timeout")
print("no answer: " .. err.message)

-- The guest may still use the memory, so the machine keeps it. You can go on waiting, or look in
-- the guest's log for the reason.
print("the request is " .. request.state)

-- A reset always ends it.
t.m:reset()
print("after a reset it is " .. request.state)
t:settle() -- deletes the backend
print(("DIMMs left: %d"):format(#t.m:memory_devices()))
