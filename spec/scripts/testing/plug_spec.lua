-- The kit's plug, unplug and check, and its sub-tests, on every guest.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local testing = require "lunik.testing"

local TIMES = { "before", "during", "after" }

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

  it("takes DIMMs with what is asked for, or with defaults", function()
    local t = testing.machine { guest = guest }
    local plain = t:plug()
    assert.same({ "dimm1", 128 << 20, 0 }, { plain.id, plain.size, plain.slot })
    assert.equal("memory-backend-memfd", t.m:object("dimm1-mem").type)
    local asked = t:plug { size = "64M", backend = "ram", merge = false, slot = 3, addr = "8G" }
    assert.same({ "dimm2", 3, 8 << 30 }, { asked.id, asked.slot, asked.addr })
    assert.is_false(t.m:object("dimm2-mem").merge)
    t.m:object_add("memory-backend-ram", { id = "mine", size = "32M" })
    t:plug { memdev = "mine", size = nil }
    t:check()
    t:unplug "dimm3"
    assert.is_truthy(t.m:object "mine")
    t:check()
  end)

  it("waits for nothing with nowait, and for all of it later", function()
    local t = testing.machine { guest = guest }
    for _ = 1, 3 do t:plug { size = "32M", nowait = true } end
    t:unplug("dimm2", { nowait = true })
    t:settle()
    t:check()
    assert.same({ "dimm1", "dimm3" }, { t.m:memory_devices()[1].data.id,
      t.m:memory_devices()[2].data.id })
  end)

  it("has DIMMs that are there from the start", function()
    local t = testing.machine { guest = guest,
      cold = { { id = "a", size = "64M" }, { id = "b", size = "32M", slot = 3 } } }
    assert.is_false(t.m:object("a").hotplugged)
    t:check()
    t:unplug "b"
    t:check()
  end)

  it("is told of what the guest refuses", function()
    local t = testing.machine { guest = guest }
    t.guest:refuse { insert = true }
    t:plug { answer = "refused" }
    t:check()
    t.guest:refuse { eject = true }
    t:unplug("dimm1", { answer = "refused" })
    t:check()
    t.guest:refuse(false)
    t:unplug "dimm1"
    t:plug {}
    t:check()
  end)

  it("keeps a backend if it is asked to", function()
    local t = testing.machine { guest = guest }
    t:plug { size = "32M" }
    t:unplug("dimm1", { keep = true })
    t:plug { id = "again", memdev = "dimm1-mem" }
    t:check()
  end)

  it("plugs before the start and while the machine is paused", function()
    local t = testing.machine { guest = guest, boot = false }
    t:plug { size = "32M" }
    t:check()
    t:boot()
    t:check()
    t.m:pause()
    t:plug { size = "32M" }
    local request = t:unplug "dimm1"
    t:check()
    assert.equal("requested", request.state)
    t.m:resume()
    t:check()
    assert.equal("ejected", request.state)
  end)

  testing.variants {
    keys = { sub = { "nothing", "reset", "reboot", "restart", "stop and continue", "fill" },
      when = TIMES },
    machine = { guest = guest },
    test = function(t, cell)
      t:sub(cell.sub, cell.when, function() return t:plug { size = "32M" } end)
      t:check()
      t:sub(cell.sub, cell.when, function() t:unplug "dimm1" end)
      t:check()
    end,
  }
end)

describe("a scenario", function()
  it("leaves nothing of a plug that fails", function()
    local t = testing.machine {}
    t:refused { code = "invalid", words = "slot", function() t:plug { slot = 4 } end }
    t:refused { code = "invalid", words = { "size", "memdev" }, function()
      t:plug { size = "1M", memdev = "mine" }
    end }
    t:check()
  end)

  it("has sub-tests of its own", function()
    finally(function() testing.subs.nap = nil end)
    local slept = 0
    testing.subs.nap = function() slept = slept + 1 end
    local t = testing.machine {}
    assert.equal("result", t:sub("nap", "before", function() return "result" end))
    assert.equal(1, slept)
    local err = machines.raised(t.sub, t, "nao")
    assert.matches("'nao' is not a sub-test (did you mean 'nap'?)", err.message, 1, true)
  end)

  it("runs on a guest of one's own", function()
    local scripted = require "lunik.testing.guests.scripted"
    local mine = setmetatable({ name = "mine" }, { __index = scripted })
    testing.guests.mine = mine
    finally(function() testing.guests.mine = nil end)
    local t = testing.machine { guest = "mine" }
    t:plug {}
    t:check()
    local err = machines.raised(testing.machine, { guest = "mini" })
    assert.matches("'mini' is not a guest (did you mean 'mine'?)", err.message, 1, true)
  end)

  it("runs without busted, in a script", function()
    if lunik.sandbox() then testing.skip "the sandbox allows no programs" end
    local out, err, code = command.script [[
      local testing = require "lunik.testing"
      local t <close> = testing.machine {}
      t:plug {}
      t:check()
      print(pcall(t.unplug, t, "dimm1", { answer = "refused" }))
      testing.fail "the end"
    ]]
    assert.matches("^false\t[^\n]*unplug: dimm1 is ejected, and was to be refused\n$", out)
    assert.matches("the end", err)
    assert.equal(1, code)
  end)
end)

describe("a machine made before each example", function()
  local t, last

  before_each(function()
    last = t
    t = testing.machine {}
    if last then assert.equal("closed", last.m.state) end
  end)

  for i = 1, 2 do
    it(("ends with it, %d"):format(i), function()
      t:plug {}
      t:check()
    end)
  end
end)

describe("a shared boot", function()
  local t = testing.shared {}
  local first

  it("is made for the first example", function()
    first = t.m
    t:plug {}
    t:check()
  end)

  it("is as it was for the next one", function()
    first = first or t.m
    assert.equal(first, t.m)
    assert.same({}, t.m:memory_devices())
    t:check()
  end)

  it("uses as much of its memory as it likes", function()
    first = first or t.m
    assert.equal(first, t.m)
    t.m:write(16 << 20, ("x"):rep(40 << 20))
  end)

  it("is as it was after that as well", function()
    assert.equal(first or t.m, t.m)
  end)
end)

describe("a virtio-mem", function()
  it("has its address space for good, whatever it has of its memory", function()
    local t = testing.machine {
      objects = { { "memory-backend-memfd", { id = "vmem", size = "512M" } } },
      devices = { { "virtio-mem-pci", { bus = "i440fx", id = "mem0", memdev = "vmem" } } },
    }
    t:check()
    t:plug { id = "dimm1" }
    t:check()
  end)
end)
