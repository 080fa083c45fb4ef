-- @NAME@: memory hotplug as a test.
--
--   lunik test @NAME@_spec                 runs it
--   lunik test @NAME@_spec "gives it back"  only examples with these words in their names
--
-- What is missing here, such as /dev/kvm, is skipped with the reason.

local testing = require "lunik.testing"

testing.each_guest({ "scripted", "small" }, function(guest)
  it("takes a DIMM and gives it back", function()
    local t = testing.machine { guest = guest, maxmem = "2G", slots = 4 } -- ends with the example
    t:plug { id = "dimm1", size = "256M" }
    t:check() -- machine, guest, memory map and log agree
    t:unplug "dimm1"
    t:check()
  end)
end)

describe("a guest that refuses memory", function()
  it("is seen in the events", function()
    local t = testing.machine { guest = "scripted" }
    t.guest:refuse { insert = true }
    assert.has_error(function() t:plug { id = "dimm1", size = "128M" } end)
    t.journal:expect { { "acpi-ost", device = "dimm1", status = 1 } }
    t:check() -- nothing is left of the attempt
  end)
end)
