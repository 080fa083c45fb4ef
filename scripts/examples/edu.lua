-- A PCI device in Lua with a BAR, MSI, DMA and saved state: the educational device that the library
-- also has in C (devices/pci/edu.c), register for register.
--
--     lunik run scripts/examples/edu.lua
--
-- What you should see: a driver finds the device, has it compute 10!, is interrupted by a message,
-- and moves bytes through the device's memory. Needs no KVM: the script is the guest's driver.
local lunik = require "lunik"

local ID, LIVENESS, FACTORIAL, STATUS = 0x00, 0x04, 0x08, 0x20
local IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0x24, 0x60, 0x64
local BUSY, IRQ_AFTER = 0x01, 0x80 -- of STATUS
local DMA_START, DMA_TO_MEMORY, DMA_IRQ, DMA_BITS = 1, 2, 4, 7
local FACTORIAL_IRQ, TRANSFER_IRQ = 0x001, 0x100
local BUFFER, BUFFER_SIZE = 0x40000, 4096 -- in the device's own addresses
local FACTORIAL_NS, TRANSFER_NS = 10000, 100000
local ONES = 0xffffffff

local WIDE = { [0x80] = "dma_source", [0x88] = "dma_target", [0x90] = "dma_count",
  [0x98] = "dma_cmd" }
local NARROW = { [LIVENESS] = "liveness", [FACTORIAL] = "factorial", [STATUS] = "status",
  [IRQ_STATUS] = "irq_status" }

local function raise(dev, bits)
  local s = dev.state
  s.irq_status = s.irq_status | bits
  if s.irq_status == 0 then return end
  dev.pci:intx(true)
  dev.pci:send(0)
end

-- ---- what takes time: timers of the state, which are saved as well -----------------------------

local function compute(dev)
  local s, result = dev.state, 1
  local n = s.factorial
  while n > 1 and result ~= 0 do
    result = result * n & ONES
    n = n - 1
  end
  s.factorial = result
  s.status = s.status & ~BUSY
  if s.status & IRQ_AFTER ~= 0 then raise(dev, FACTORIAL_IRQ) end
end

-- Where in the buffer a transfer is; nil if it leaves the buffer.
local function place_of(address, count)
  local at = address - BUFFER
  if at < 0 or at > BUFFER_SIZE or math.ult(BUFFER_SIZE - at, count) then return nil end
  return at
end

local function transfer(dev)
  local s = dev.state
  local out, count = s.dma_cmd & DMA_TO_MEMORY ~= 0, s.dma_count
  local at = place_of(out and s.dma_source or s.dma_target, count)
  if at and out then
    dev.pci:write(s.dma_target, s.buffer:sub(at + 1, at + count))
  elseif at then
    local bytes = dev.pci:read(s.dma_source, count)
    if bytes then s.buffer = s.buffer:sub(1, at) .. bytes .. s.buffer:sub(at + count + 1) end
  end
  s.dma_cmd = s.dma_cmd & ~DMA_START
  if s.dma_cmd & DMA_IRQ ~= 0 then raise(dev, TRANSFER_IRQ) end
end

local function later(dev, ns) return dev.machine:clock() + ns end

-- ---- registers ---------------------------------------------------------------------------------

local function read(dev, offset, size)
  local wide = WIDE[offset & ~7]
  if wide then return dev.state[wide] >> 8 * (offset & 4) & (size == 8 and -1 or ONES) end
  if size ~= 4 then return -1 end
  if offset == ID then return 0x010000ed end
  return NARROW[offset] and dev.state[NARROW[offset]] or ONES
end

local function write_narrow(dev, offset, value)
  local s = dev.state
  if offset == LIVENESS then
    s.liveness = ~value & ONES
  elseif offset == FACTORIAL and s.status & BUSY == 0 then
    s.factorial, s.status = value, s.status | BUSY
    s.compute = later(dev, FACTORIAL_NS)
  elseif offset == STATUS then
    s.status = s.status & BUSY | value & IRQ_AFTER
  elseif offset == IRQ_RAISE then
    raise(dev, value)
  elseif offset == IRQ_ACK then
    s.irq_status = s.irq_status & ~value
    dev.pci:intx(s.irq_status ~= 0)
  end
end

-- While a transfer is under way its registers keep what they hold.
local function write(dev, offset, size, value)
  local s, wide = dev.state, WIDE[offset & ~7]
  if not wide then
    if size == 4 then write_narrow(dev, offset, value) end
    return
  end
  if s.dma_cmd & DMA_START ~= 0 then return end
  if size == 4 then
    local shift = 8 * (offset & 4)
    value = s[wide] & ~(ONES << shift) | value << shift
  end
  s[wide] = wide == "dma_cmd" and value & DMA_BITS or value
  if wide == "dma_cmd" and value & DMA_START ~= 0 then s.transfer = later(dev, TRANSFER_NS) end
end

lunik.device {
  name = "edu-lua",
  doc = "The educational PCI device, in Lua.",
  pci = {
    vendor = 0x1234, device = 0x11e8, revision = 0x10, class = 0x00ff00, msi = 1,
    bars = {
      { index = 0, kind = "mem32", size = "1M", name = "edu-mmio", read = read, write = write,
        valid = { min = 4, max = 8 }, impl = { min = 4, max = 8 } },
    },
  },
  state = {
    liveness = {}, factorial = {}, status = {}, irq_status = {},
    dma_source = {}, dma_target = {}, dma_count = {}, dma_cmd = {},
    buffer = { bytes = BUFFER_SIZE },
    compute = { timer = compute }, transfer = { timer = transfer },
  },
  reset = function(dev)
    local s = dev.state
    for _, name in pairs(NARROW) do s[name] = 0 end
    for _, name in pairs(WIDE) do s[name] = 0 end
    s.buffer = ("\0"):rep(BUFFER_SIZE)
    s.compute, s.transfer = nil, nil
  end,
}
if ... == "define" then return end

-- ---- the driver --------------------------------------------------------------------------------

local BAR, RAM = 0xe1000000, 0x100000
local m <close> = lunik.machine { accel = "none", memory = "16M", clock = "manual" }
local device = m:device_add("edu-lua", { id = "edu", bus = "i440fx" })
m:start()
print(m:pci()[4])

local function config(offset, value)
  m:outl(0xcf8, 0x80000000 | tonumber(device.addr:match "^%x+", 16) << 11 | offset)
  m:outl(0xcfc, value)
end
config(0x10, BAR)        -- the BAR's address
config(0x04, 6)          -- memory and bus master
config(0x44, 0xfee00000) -- the message that is the interrupt
config(0x4c, 0x41)
config(0x40, 0x00010000)

m:store(BAR + STATUS, 4, IRQ_AFTER)
m:store(BAR + FACTORIAL, 4, 10)
m:advance(FACTORIAL_NS)
print(("10! is %d"):format(m:load(BAR + FACTORIAL, 4)))
print(("interrupted by the message 0x%x"):format(m:wait("msi", { timeout = 5 }).data))

local function move(source, target, count, cmd)
  m:store(BAR + 0x80, 8, source)
  m:store(BAR + 0x88, 8, target)
  m:store(BAR + 0x90, 8, count)
  m:store(BAR + 0x98, 8, cmd)
  m:advance(TRANSFER_NS)
end
m:write(RAM, "through the device")
move(RAM, BUFFER, 18, DMA_START)
move(BUFFER, RAM + 0x1000, 18, DMA_START | DMA_TO_MEMORY)
print(m:read(RAM + 0x1000, 18))
