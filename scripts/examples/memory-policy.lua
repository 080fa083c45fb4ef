-- Memory by policy: a DIMM goes in when the guest runs short, and comes out when it is idle.
--
--     lunik run scripts/examples/memory-policy.lua [GUEST]
--
-- What you should see: the guest's use of memory rises and falls; DIMMs follow it up and down.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local lunik = require "lunik"
local testing = require "lunik.testing"

local GAUGE, STEP = 0x510, 64 -- the gauge's port; MiB of each DIMM

-- The guest has an agent that writes to this device how many MiB are in use.
lunik.device {
  name = "memory-gauge",
  ports = {
    base = GAUGE, size = 4,
    write = function(dev, _, _, value) dev:emit("memory-used", { mib = value }) end,
  },
}

local t <close> = testing.machine {
  guest = arg[1], memory = "128M", slots = 4, devices = { { "memory-gauge", {} } },
}
local plugged = {} -- ids of the DIMMs, oldest first

-- The policy: a quarter of the memory is to be free; a DIMM that is not needed for that goes.
local function follow(used)
  local total = t.guest:total() // 2^20
  local what = "enough"
  if used > total * 3 / 4 then
    plugged[#plugged + 1] = t:plug({ size = STEP .. "M" }).id
    what = "short: plugged " .. plugged[#plugged]
  elseif #plugged > 0 and used < (total - STEP) * 3 / 4 then
    what = "idle: unplugged " .. plugged[#plugged]
    t:unplug(table.remove(plugged))
  end
  print(("%3d of %3d MiB in use  %s"):format(used, total, what))
end

-- The agent's part is played here: this is what it reports, one value after the other.
lunik.spawn(function()
  for _, used in ipairs { 60, 90, 110, 150, 200, 210, 120, 100, 70, 40 } do
    t.m:outl(GAUGE, used)
    lunik.sleep(0.02)
  end
  t.m:emit "agent-done"
end)

local reports <close> = t.m:watch { "memory-used", "agent-done" }
repeat
  local report = reports:wait { timeout = 10 }
  if report.mib then follow(report.mib) end
until report.name == "agent-done"
t:check()
