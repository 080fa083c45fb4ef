-- The I/O APIC and the local APICs on KVM, with both irqchips, as a guest sees them: the checks are
-- the small guest's (spec/guests/ioapic.c), which sets lines through ports of the host's.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local why = small.unavailable()
if why then
  return describe("the I/O APIC", function()
    it("needs KVM", function() pending(why) end)
  end)
end

local LINES = 0x2000

-- What the guest checks: how many CPUs that takes.
local CHECKS = {
  version = 1, id = 1, arbitration = 1, edge = 1, edges = 1, level = 1, ["edge-after-level"] = 1,
  ["active-low"] = 1, ["remote-irr"] = 1, simultaneous = 1, coalesced = 1, sequential = 1,
  retriggered = 1, ["masked-edge"] = 1, ["masked-level"] = 1, ["masked-by-handler"] = 1,
  reconfigured = 2, ["physical-edge"] = 2, ["physical-level"] = 2, logical = 4,
}

lunik.device {
  name = "irq-lines",
  doc = "Ports that set interrupt lines.",
  ports = {
    base = LINES, size = 24, read = function() return 0 end,
    write = function(dev, offset, _, value) dev.lines[offset]:set(value ~= 0) end,
  },
  realize = function(dev)
    dev.lines = {}
    for gsi = 20, 21 do dev.lines[gsi] = dev:irq(gsi) end
  end,
}

after_each(machines.close_all)

for _, irqchip in ipairs { "kernel", "split" } do
  for _, cpus in ipairs { 1, 4 } do
    it(("the I/O APIC does what its data sheet says, with irqchip %s and %d CPUs"):format(irqchip,
      cpus), function()
      local m = small.machine { irqchip = irqchip, cpus = cpus, devices = { { "irq-lines" } } }
      small.start(m)
      local want, found = {}, {}
      for name, needs in pairs(CHECKS) do want[name] = needs <= cpus and "passed" or nil end
      for name, result in small.run(m, "ioapic"):gmatch "(%S+) (passed[^\n]*)" do
        found[name] = result
      end
      for name, result in m:console():text():gmatch "(%S+) (failed:[^\r\n]*)" do
        found[name] = result
      end
      assert.same(want, found)
    end)
  end
end
