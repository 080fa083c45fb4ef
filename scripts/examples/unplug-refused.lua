-- The guest refuses to give a DIMM back; later it agrees.
--
--     lunik run scripts/examples/unplug-refused.lua [GUEST]
--
-- What you should see: the refusal as an error with the guest's own answer; that the DIMM is still
-- in use, as if it had not been asked for; and that asking again later works.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local testing = require "lunik.testing"

local t <close> = testing.machine { guest = arg[1] }
t:plug { id = "dimm1", size = "128M" }

-- A kernel refuses if it can't move away what is in the memory. This guest refuses on request.
t.guest:refuse { eject = true }

local request = t.m:device_del "dimm1"
local ok, err = pcall(request.wait, request, { timeout = 10 })
assert(not ok and err.code == "busy")
print("refused: " .. err.message)
print(("the guest's answer (_OST): source 0x%x, status 0x%x"):format(request.source,
  request.status))
print("the DIMM is " .. t.m:object("dimm1").state)

-- Nothing has changed: machine, guest and memory map still have it.
t:check()
print(("the guest still has %d MiB"):format(t.guest:total() >> 20))

-- The memory becomes free, and the same request is made again.
t.guest:refuse(false)
t:unplug "dimm1"
t:check()
print(("asked again: ejected; the guest has %d MiB"):format(t.guest:total() >> 20))
