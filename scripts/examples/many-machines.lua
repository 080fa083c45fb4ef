-- Many machines at once, each with a coroutine of its own.
--
--     lunik run scripts/examples/many-machines.lua [GUEST]
--
-- What you should see: twenty machines take a DIMM and give it back. Each coroutine reads as if its
-- machine were the only one; while it waits, the others go on.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local lunik = require "lunik"
local testing = require "lunik.testing"

local MACHINES = 20
local running, most = 0, 0

-- The life of one machine, from the start to the end. Waits yield to the other coroutines.
local function life(number)
  local t <close> = testing.machine { guest = arg[1], name = "machine" .. number }
  running = running + 1
  most = math.max(most, running)
  t:plug { id = "dimm1", size = "64M" }
  t:check()
  local most_memory = t.guest:total()
  t:unplug "dimm1"
  t:check()
  running = running - 1
  return most_memory
end

local tasks, total = {}, 0
for i = 1, MACHINES do tasks[i] = lunik.spawn(life, i) end

-- An error in one of them would be raised here.
for _, task in ipairs(tasks) do
  total = total + task:wait()
end
print(("%d machines done, up to %d at once"):format(MACHINES, most))
print(("memory of all guests, DIMMs included: %.1f GiB"):format(total / 2^30))
