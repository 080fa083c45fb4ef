-- The educational device, in C and in Lua, driven by a guest on KVM: its registers, its interrupts
-- by MSI and its DMA.
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local why = small.unavailable()
if why then
  return describe("the educational device", function()
    it("is driven by a guest", function() pending(why) end)
  end)
end

assert(loadfile "scripts/examples/edu.lua")("define")

after_each(machines.close_all)

local FACTORIAL, STATUS, IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0x08, 0x20, 0x24, 0x60, 0x64
local SOURCE, TARGET, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
local IRQ_AFTER = 0x80
local START, TO_MEMORY, IRQ = 1, 2, 4
local BUFFER, RAM = 0x40000, 0x2000000
local SLOT, VECTOR = 7, 0x61

for _, irqchip in ipairs { "kernel", "split" } do
  for _, driver in ipairs { "edu", "edu-lua" } do
    describe(("%s with irqchip %s"):format(driver, irqchip), function()
      local m, bar

      local function run(format, ...)
        local _, answer = small.run(m, format:format(...))
        return math.tointeger(tonumber(answer:match "%S+$"))
      end

      local function config(offset, value)
        run("out 0xcf8 0x%x 4", 0x80000000 | SLOT << 11 | offset)
        if value then return run("out 0xcfc 0x%x 4", value) end
        return run "in 0xcfc 4"
      end

      local function set(register, value, size)
        run("write 0x%x 0x%x %d", bar + register, value, size or 4)
      end

      local function get(register) return run("read 0x%x 4", bar + register) end

      before_each(function()
        m = small.machine {
          irqchip = irqchip, devices = { { driver, { bus = "i440fx", addr = tostring(SLOT) } } },
        }
        small.start(m)
        assert.equal(0x11e81234, config(0))
        bar = 0xf0000000
        config(0x10, bar)
        config(0x04, 6)
      end)

      it("computes factorials", function()
        assert.equal(0x010000ed, get(0))
        set(4, 0x12345678)
        assert.equal(0xedcba987, get(4))
        set(FACTORIAL, 10)
        machines.wait_until(function() return get(STATUS) & 1 == 0 end, "10! is not computed")
        assert.equal(3628800, get(FACTORIAL))
      end)

      it("interrupts the guest by a message", function()
        config(0x44, 0xfee00000)
        config(0x4c, VECTOR)
        config(0x40, 0x00010000)
        assert.equal(0, run("vector %d", VECTOR))
        set(STATUS, IRQ_AFTER)
        set(FACTORIAL, 5)
        assert.equal(1, run("wait-vector %d 1", VECTOR))
        assert.equal(120, get(FACTORIAL))
        assert.equal(1, get(IRQ_STATUS))
        set(IRQ_ACK, 1)
        set(IRQ_RAISE, 0x20)
        assert.equal(2, run("wait-vector %d 2", VECTOR))
        assert.equal(0x20, get(IRQ_STATUS))
        set(IRQ_ACK, 0x20)
        assert.equal(2, run("vector %d", VECTOR))
      end)

      local function move(source, target, count, how)
        set(SOURCE, source, 8)
        set(TARGET, target, 8)
        set(COUNT, count, 8)
        set(COMMAND, START | how, 8)
      end

      it("moves the guest's memory, and says when by a message", function()
        config(0x44, 0xfee00000)
        config(0x4c, VECTOR)
        config(0x40, 0x00010000)
        run("write 0x%x 0x1122334455667788", RAM)
        run("write 0x%x 0x99aabbccddeeff00", RAM + 8)
        move(RAM, BUFFER, 16, IRQ)
        run("wait-vector %d 1", VECTOR)
        set(IRQ_ACK, get(IRQ_STATUS))
        move(BUFFER, RAM + 0x1000, 12, TO_MEMORY | IRQ)
        run("wait-vector %d 2", VECTOR)
        assert.equal(0x1122334455667788, run("read 0x%x", RAM + 0x1000))
        assert.equal(0xddeeff00, run("read 0x%x", RAM + 0x1008))
      end)
    end)
  end
end
