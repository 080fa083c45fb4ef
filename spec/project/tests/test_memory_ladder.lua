local memory_ladder = require "memory_ladder"
local testing = require "lunik.testing"

testing.each_guest(function(guest)
  it("climbs up and down", function()
    local t = testing.machine { guest = guest, maxmem = "2G", slots = 4 }
    local ladder, base = memory_ladder.new(t.m), t.guest:total()
    for _, size in ipairs { 256, 128, 512, 0 } do
      ladder:to(size << 20)
      assert.equal(base + (size << 20), t.guest:total())
    end
    t:check()
  end)

  it("stops where the guest refuses", function()
    local t = testing.machine { guest = guest }
    t.guest:refuse { insert = true }
    assert.has_error(function() memory_ladder.new(t.m):to "128M" end)
    t.journal:expect { { "acpi-ost", device = "step1", status = 1 } }
  end)
end)

it("is refused a step that is no size", function()
  testing.refused { code = "invalid", words = "'large'",
    function() memory_ladder.new(nil, { step = "large" }) end }
end)
