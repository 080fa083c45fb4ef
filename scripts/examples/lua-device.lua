-- A device in Lua with registers, an interrupt and a timer: a metronome.
--
--     lunik run scripts/examples/lua-device.lua
--
-- What you should see: interrupts at the pace that the driver has set, on the machine's clock; the
-- line stays high until the driver reads the ticks. Needs no KVM: the script is the guest's driver.
local lunik = require "lunik"

local BASE, IRQ, MS = 0x520, 10, 1000000
local PERIOD, TICKS = 0, 4 -- registers, 32 bits each: ms between ticks (0: off); ticks until now

lunik.device {
  name = "metronome",
  ports = {
    base = BASE, size = 8, valid = { min = 4, max = 4 },
    read = function(dev, offset)
      if offset == PERIOD then return dev.period end
      dev.line:set(false) -- reading the ticks acknowledges the interrupt
      return dev.ticks
    end,
    write = function(dev, offset, _, value)
      if offset ~= PERIOD then return false end -- the ticks can't be written
      dev.period = value
      dev.timer:set(value * MS)
    end,
  },
  realize = function(dev)
    dev.line = dev:irq(IRQ)
    dev.timer = dev:timer(function()
      if dev.period == 0 then return end
      dev.ticks = dev.ticks + 1
      dev.line:set(true)
      dev.timer:set(dev.period * MS)
    end)
  end,
  reset = function(dev)
    dev.period, dev.ticks = 0, 0
    dev.line:set(false)
  end,
}

-- With a manual clock the script says what time it is: a test neither waits nor hopes.
local m <close> = lunik.machine { accel = "none", memory = "16M", clock = "manual" }
m:device_add "metronome"
m:start()

-- The driver: sets the period, and acknowledges the first two interrupts only.
m:on_irq(function(gsi, level)
  if gsi == IRQ and level then print(("%4d ms: interrupt"):format(m:clock() // MS)) end
end)
m:outl(BASE + PERIOD, 250)
for _ = 1, 2 do
  m:advance(250 * MS)
  print("         ticks: " .. m:inl(BASE + TICKS))
end
m:advance(500 * MS) -- two ticks, for which the line rises once
print(("%4d ms: the line is %s"):format(m:clock() // MS, m:irq_level(IRQ) and "high" or "low"))
print("         ticks: " .. m:inl(BASE + TICKS))
