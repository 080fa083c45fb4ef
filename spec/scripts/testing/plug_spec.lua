-- The kit's plug and unplug, and what it compares, on every guest.
local testing = require "lunik.testing"

testing.each_guest(function(guest)
  it("takes a DIMM and gives it back", function()
    local t = testing.machine { guest = guest, maxmem = "2G", slots = 4 }
    local dimm = t:plug { id = "dimm1", size = "256M" }
    assert.equal(256 << 20, dimm.size)
    t:check()
    t:unplug "dimm1"
    t:check()
    assert.is_nil(t.m:object "dimm1-mem")
  end)
end)
