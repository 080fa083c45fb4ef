-- @NAME@: a device in Lua: registers, an interrupt and a timer. It counts down from the value that
-- is written to it, one for each microsecond, and raises an interrupt at the end.
--
--   lunik @NAME@.lua         shows what it does, below
--
-- In a script or a test: require "@NAME@", then m:device_add("@NAME@", { id = "a", base = 0x600 })

local lunik = require "lunik"

-- Offsets of the registers.
local COUNT, STATUS = 0, 4

local MICROSECOND = 1000 -- in nanoseconds of the machine's clock

local function reset(dev)
  dev.timer:cancel()
  dev.irq:set(false)
  dev.due, dev.done = nil, 0
end

-- The count has reached 0.
local function expire(dev)
  dev.due, dev.done = nil, 1
  dev.irq:set(true)
end

local function read(dev, offset)
  if offset == STATUS then return dev.done end
  local left = dev.due and dev.due - dev.machine:clock() or 0
  return math.max(left, 0) // MICROSECOND
end

local function write(dev, offset, _, value)
  if offset == STATUS then -- any write is the guest's answer to the interrupt
    dev.done = 0
    dev.irq:set(false)
  else
    dev.due = dev.machine:clock() + value * MICROSECOND
    dev.timer:set(value * MICROSECOND)
  end
end

lunik.device {
  name = "@NAME@",
  doc = "Counts down and interrupts.",
  -- name = default, or a table: see lunik.DeviceDefinition in the reference.
  properties = {
    base = { kind = "uint", default = 0x600, doc = "First I/O port." },
    irq = { kind = "uint", default = 10, max = 23, doc = "Interrupt line." },
  },
  ports = { base = "base", size = 8, valid = { min = 4, max = 4 }, read = read, write = write },
  realize = function(dev)
    dev.irq, dev.timer = dev:irq(dev.props.irq), dev:timer(expire)
    dev.done = 0
  end,
  reset = reset,
}

if ... == "@NAME@" then return true end -- loaded by require

-- ---- what it does ------------------------------------------------------------------------------

local m <close> = lunik.machine { board = "micro", accel = "none", memory = "1M" }
m:device_add("@NAME@", { id = "a" })
m:start()
m:outl(0x600 + COUNT, 5000)
print("counting down from 5000, now at " .. m:inl(0x600 + COUNT))
while m:irq_count(10) == 0 do lunik.sleep(0.001) end
print("interrupt on line 10, status " .. m:inl(0x600 + STATUS))
m:outl(0x600 + STATUS, 0)
print("answered, the line is " .. (m:irq_level(10) and "high" or "low"))
