-- A log of every change of a machine's memory map, with its cause.
--
--     lunik run scripts/examples/listener-log.lua [GUEST]
--
-- What you should see: a line for each section of memory or ports that appears (+) or goes (-),
-- from the construction by the board through the boot to a DIMM that is added and removed; and what
-- caused it: a call of the script, or an access by the guest that a call led to.
-- GUEST is "scripted" (the default, needs no KVM), "small" or "linux".
local lunik = require "lunik"
local testing = require "lunik.testing"

local function log(mark)
  return function(section)
    print(("%8.3f %s %-6s %010x-%010x %-3s %-18s %s"):format(lunik.now(), mark,
      section.space.name, section.address, section.address + section.size - 1,
      section.readonly and "ro" or section.romd and "rw" or "io", section.name,
      section.cause and section.cause.text or ""))
  end
end

-- The board "pc", with a listener that is there before anything is mapped.
local pc = dofile((arg[0]:match "^(.*)/" or ".") .. "/../boards/pc.lua")
local board = { name = "pc", options = pc.options, finish = pc.finish }
function board.build(m, options)
  m:listen { name = "log", region_add = log "+", region_del = log "-" }
  pc.build(m, options)
end

print "---- the board is built, the guest boots"
local t <close> = testing.machine { guest = arg[1], board = board }

print "---- a DIMM is added and removed"
local address = t:plug({ id = "dimm1", size = "256M" }).addr
t:unplug "dimm1"

-- Without a listener, the machine still remembers what led to the last change at an address.
print(("---- why nothing is at 0x%x now:\n%s"):format(address, t.m:why(address).text))
