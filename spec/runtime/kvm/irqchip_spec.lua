-- Interrupts of guests on KVM, whose controllers and PIT are KVM's or the machine's own.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local real = require "spec.support.real_mode"
local small = require "spec.support.small_guest"

if not command.kvm() then
  return describe("an irqchip", function()
    it("needs KVM", function() pending "no /dev/kvm" end)
  end)
end

after_each(machines.close_all)

-- Counts the PIT's ticks at 0x700, halted between them. Vectors from 0x20 on; only line 0 is open.
local TICKS = "\xfa" .. real.vector(0x20) .. real.bytes [[
  b0 11 e6 20 b0 20 e6 21 b0 04 e6 21 b0 01 e6 21 b0 fe e6 21
  b0 34 e6 43 b0 9c e6 40 b0 2e e6 40
  fb f4 eb fd]]
local COUNT = real.bytes "66 ff 06 00 07 b0 20 e6 20 cf"

local function ticks(m) return m:load(0x700, 4) end

local function wait_for_ticks(m, count)
  machines.wait_until(function() return ticks(m) >= count end, "the timer does not tick")
end

for _, irqchip in ipairs { "kernel", "split" } do
  describe("irqchip " .. irqchip, function()
    it("wakes a halted guest through the 8259As", function()
      local m = real.machine(TICKS, COUNT, { irqchip = irqchip })
      m:start()
      wait_for_ticks(m, 20)
      m:pause()
      local paused = ticks(m)
      lunik.sleep(0.1)
      assert.equal(paused, ticks(m))
      m:resume()
      wait_for_ticks(m, paused + 20)
      m:reset()
      wait_for_ticks(m, 20)
    end)

    it("ticks at the rate that was programmed", function()
      local m = real.machine(TICKS, COUNT, { irqchip = irqchip })
      m:start()
      wait_for_ticks(m, 1)
      local first, from = ticks(m), m:inl(0x608)
      wait_for_ticks(m, first + 100)
      local seconds = (m:inl(0x608) - from) % 0x1000000 / 3579545
      assert.is_true(seconds > 0.9, seconds .. " s for 100 ticks")
    end)

    it("runs the small guest on the pc board", function()
      local m = small.machine { irqchip = irqchip, cpus = 2 }
      small.start(m)
      small.run(m, "sleep 120")
      machines.plug(m, "dimm1")
      small.run(m, "wait-insert 1")
      m:device_del("dimm1"):wait { timeout = small.TIMEOUT }
      small.run(m, "sleep 120")
    end)

    it("runs the small guest on the micro board", function()
      local m = small.machine { irqchip = irqchip, board = "micro", maxmem = false, slots = false }
      small.start(m)
      small.run(m, "sleep 120")
    end)

    it("is shown", function()
      local m = real.machine(TICKS, COUNT, { irqchip = irqchip })
      assert.equal(irqchip, m.irqchip)
      m:start()
      wait_for_ticks(m, 1)
      assert.equal(0x20, m:pic()[1].base)
      assert.equal(0xfe, m:pic()[1].imr)
      assert.equal(24, #m:ioapic())
      assert.equal(irqchip == "kernel", m:mtree():find("kvm-ioapic", 1, true) ~= nil)
      assert.equal(irqchip == "split", m:irqs()[1].count > 0)
    end)
  end)
end
