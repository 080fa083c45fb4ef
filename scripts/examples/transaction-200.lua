-- 200 DIMMs in one transaction.
--
--     lunik run scripts/examples/transaction-200.lua [GUEST]
--
-- What you should see: the memory map changes once, the guest gets one interrupt and takes all 200.
-- A second transaction fails at its last step and leaves nothing behind.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local lunik = require "lunik"
local testing = require "lunik.testing"

local t <close> = testing.machine { guest = arg[1], slots = 256, maxmem = "4G" }
local commits = 0
t.m:listen { name = "counter", space = t.m.memory, commit = function() commits = commits + 1 end }

local function plug(first, last)
  for i = first, last do
    t:plug { id = "dimm" .. i, size = "8M", nowait = true }
  end
end

local start, before = lunik.now(), commits
t.m:transaction(plug, 1, 200)
local made = lunik.now()
t:settle() -- waits for the guest's answers
t:check()
print(("200 DIMMs made in %.0f ms, accepted in %.0f ms"):format((made - start) * 1000,
  (lunik.now() - made) * 1000))
print(("changes of the memory map: %d"):format(commits - before))
print(("the guest has %.1f GiB"):format(t.guest:total() / 2^30))

-- All or nothing: number 226 does not fit, so the 25 before it are taken back.
local err = t:refused { function()
  t.m:transaction(function()
    plug(201, 225)
    t.m:device_add("pc-dimm", { id = "dimm226", memdev = "no such backend" })
  end)
end }
print("refused: " .. err.message)
print(("DIMMs: %d"):format(#t.m:memory_devices()))
