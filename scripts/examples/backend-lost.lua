-- Another program truncates a DIMM's memory file while the guest uses it.
--
--     lunik run scripts/examples/backend-lost.lua
--
-- What you should see: the process and its machine survive. What was lost reads as zeros, the
-- machine is paused, and an event names the backend. Then the DIMM is removed, and the guest boots
-- anew. Needs no KVM.
local testing = require "lunik.testing"

local t <close> = testing.machine {}
local dimm = t:plug { id = "dimm1", backend = "file", share = true, size = "64M" }
local path = t.m:object("dimm1-mem").mem_path
t.m:write(dimm.addr, "precious")

-- What the other program does: the file is empty now, its pages are gone.
assert(io.open(path, "w")):close()

-- The next access finds no page. The kernel sends SIGBUS, which would end most programs; here ...
local bytes = t.m:read(dimm.addr, 8)
print("the DIMM reads as zeros: " .. tostring(bytes == ("\0"):rep(8)))
local ev = t.m:wait("error", { timeout = 5 })
print("event: " .. ev.message)
print("the machine is " .. t.m.state)

-- What to do: the data is lost, so the guest must not go on with it. Remove the DIMM; the reset
-- completes that and starts a new system, which has never seen it.
t:unplug("dimm1", { nowait = true })
t.m:reset()
t:settle()
t.m:resume()
t.guest:ready()
t:pardon() -- the error was expected
t:check()
print(("without the DIMM it is %s, with %d MiB"):format(t.m.state, t.guest:total() >> 20))
