-- Hot-add and hot-remove in Linux: the kernel takes a DIMM while it runs, and gives it back.
--
--     lunik run scripts/examples/linux-hotplug.lua
--
-- What you should see: the kernel's own count of pages rises with the DIMM; the removal ends with
-- "ejected". A line in its log that complains about ACPI, memory or interrupts ends the script.
-- Needs KVM and a kernel: what `make guest-linux` has built, or the file named by LUNIK_KERNEL (a
-- distribution's kernel will do). LUNIK_SLOTS is the number of slots.
local lunik = require "lunik"
local testing = require "lunik.testing"

local t <close> = testing.machine {
  guest = "linux", maxmem = "1G", slots = math.tointeger(os.getenv "LUNIK_SLOTS" or 4),
}
local before = t.guest:total()
print(("[%5.1f s] Linux runs, with %d MiB"):format(lunik.now(), before >> 20))

local dimm = t:plug { id = "dimm1", size = "128M" }
print(("[%5.1f s] plugged dimm1 at 0x%x"):format(lunik.now(), dimm.addr))
testing.eventually(function() return t.guest:total() > before end, { timeout = 60 })
t:check()
print(("[%5.1f s] Linux took it: %d MiB"):format(lunik.now(), t.guest:total() >> 20))

local request = t:unplug "dimm1"
t:check()
print(("[%5.1f s] Linux let it go: dimm1 is %s"):format(lunik.now(), request.state))
