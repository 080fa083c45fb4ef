-- What a scenario looks at: journal, console, the host's view.
local lunik = require "lunik"
local testing = require "lunik.testing"

describe("the journal", function()
  it("has every event from the first", function()
    local t = testing.machine { boot = false, cold = { { id = "cold", size = "32M" } } }
    assert.equal(1, t.journal:count { "device-added", device = "i440fx" })
    assert.equal(1, t.journal:count "device-added cold")
    for i = 1, 3000 do t.m:emit("tick", { number = i }) end
    testing.eventually(function() return t.journal:count "tick" == 3000 end)
    t.journal:expect({ { "tick", number = 1 }, { "tick", number = 2 } }, { exactly = true })
    t.journal:expect { { "tick", number = 3000 } }
    t.journal:none "tick"
  end)

  it("returns the events that it has found, and goes on after them", function()
    local t = testing.machine {}
    t:plug {}
    t:plug {}
    local added, answer = t.journal:expect { "device-added", "acpi-ost" }
    assert.same({ "dimm1", "dimm1" }, { added.device, answer.device })
    assert.equal("dimm2", t.journal:expect { "acpi-ost" }.device)
    t:unplug "dimm2"
    t.journal:mark()
    t.journal:none { "device-deleted" }
    assert.equal(1, t.journal:count "device-deleted dimm2")
  end)

  it("waits for events that are still to come", function()
    local t = testing.machine {}
    lunik.spawn(function()
      lunik.sleep(0.05)
      t.m:emit("late", { object = "thing" })
    end)
    t.journal:expect { "late thing" }
  end)
end)

describe("the console", function()
  it("takes text up to a match, and keeps all of it", function()
    local t = testing.machine {}
    t:plug {}
    assert.equal("0", t.console:expect "slot (%d+) added")
    assert.equal("0", t.console:expect "slot (%d+) accepted")
    t.console:append "50% (half)\n"
    assert.equal("% (half)", t.console:expect("% (half)", { plain = true, timeout = 5 }))
    assert.matches("^hotplug: 4 slots\nhotplug: slot 0 added.*%(half%)\n$", t.console:text())
  end)

  it("types at the guest's serial port, and has what that prints", function()
    local t = testing.machine {}
    t.console:send "x"
    assert.equal(0x78, testing.eventually(function() return t.m:inb(0x3f8) end))
    for byte in ("login: "):gmatch "." do t.m:outb(0x3f8, byte:byte()) end
    assert.equal("login", t.console:expect "\n(%l+): ")
    assert.equal("hotplug: 4 slots\nlogin: ", t.console:text())
    assert.equal("login: ", t.console:text(1))
  end)
end)

describe("the host's view", function()
  it("shows how a DIMM's memory is backed", function()
    local t = testing.machine {}
    local dimm = t:plug { size = "64M", backend = "ram", prealloc = true }
    local mapping = t.host.mapping(t.m, dimm)
    assert.same({ 64 << 20, 64 << 20, 4096 }, { mapping.size, mapping.resident, mapping.page_size })
    assert.is_true(mapping.flags.mg)
    t:plug { size = "32M", backend = "file", merge = false, dump = false }
    mapping = t.host.mapping(t.m, "dimm2-mem")
    assert.same({ nil, true }, { mapping.flags.mg, mapping.flags.dd })
    assert.matches("%.dimm$", mapping.path)
  end)

  it("has a policy by host nodes", function()
    local t = testing.machine {}
    t:plug { size = "32M", policy = "bind", ["host-nodes"] = { t.host.nodes()[1] } }
    local mapping = t.host.mapping(t.m, "dimm1")
    if not mapping.policy then testing.skip "the host's kernel has no NUMA" end
    assert.equal("bind:" .. t.host.nodes()[1], mapping.policy)
    assert.is_true(mapping.nodes[t.host.nodes()[1]] > 0)
  end)

  it("counts what the process holds", function()
    local before = testing.host.holds()
    local t = testing.machine {}
    local rss = testing.host.rss()
    t:plug { size = "64M", prealloc = true }
    assert.is_true(testing.host.rss() - rss >= 60 << 20)
    assert.is_true(testing.host.fds() > before["file descriptors"])
    t.m:object_add("iothread", { id = "io0" })
    assert.equal(before.threads + 1, #testing.host.threads())
    assert.matches("machines: 1, not 0", testing.host.left_behind(before), 1, true)
    t:close()
    assert.is_nil(testing.host.left_behind(before))
  end)

  it("counts huge pages", function()
    local pages = testing.huge_pages(1)
    assert.is_true(pages.free - pages.reserved >= 1)
    local t = testing.machine {}
    t:plug { size = pages.size, hugetlb = true, hugetlbsize = pages.size }
    assert.equal(pages.size, t.host.mapping(t.m, "dimm1").page_size)
  end)
end)
