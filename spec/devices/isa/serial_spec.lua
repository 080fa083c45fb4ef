-- The serial port, the clock and the keyboard controller as parts of a machine, driven through
-- their ports. Their register models have tests of their own in spec/devices/isa/.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local COM1 = 0x3f8
local DATA, IER, IIR, FCR, LCR = COM1, COM1 + 1, COM1 + 2, COM1 + 2, COM1 + 3
local MCR, LSR = COM1 + 4, COM1 + 5

local function machine(options)
  return machines.new({
    board = "pc", accel = "none", memory = "64M", serial = "buffer", clock = "manual",
  }, options)
end

describe("serial port", function()
  local m

  before_each(function() m = machine() end)
  after_each(function() m:close() end)

  local function send(text) machines.send(m, DATA, text) end

  it("sends what is written to the character device", function()
    send("hello, world\n")
    assert.equal("hello, world", m:console():expect("hello, world", { timeout = 5 }))
  end)

  it("receives a break, and what follows it", function()
    local console = m:console()
    m:inb(LSR)
    console:send_break()
    console:write "h"
    assert.equal(0x11, m:inb(LSR) & 0x1f)
    assert.same({ 0, ("h"):byte() }, { m:inb(DATA), m:inb(DATA) })
    assert.equal(0, m:inb(LSR) & 0x1f)
    local gone = m:object_add("chardev-null", { id = "alone" })
    local err = machines.raised(gone.send_break, gone)
    assert.same({ "unsupported", "chardev-null 'alone': there is no device to send a break to" },
      { err.code, err.message })
    err = machines.raised(m:object("serial0").send_break, m:object "serial0")
    assert.equal("unsupported", err.code)
  end)

  it("raises GSI 4 for an empty transmitter and lowers it when IIR is read", function()
    assert.is_false(m:irq_level(4))
    m:outb(IER, 2)
    assert.is_true(m:irq_level(4))
    assert.equal(2, m:inb(IIR))
    assert.is_false(m:irq_level(4))
    local edges = m:irq_count(4)
    send("ab")
    assert.is_true(m:irq_level(4))
    assert.equal(edges + 2, m:irq_count(4))
  end)

  it("receives input as fast as the guest reads it, and loses none", function()
    local text = ("0123456789abcdefghijklmnopqrstuvwxyz"):rep(20)
    m:outb(FCR, 0x01)
    m:outb(IER, 1)
    m:console():write(text)
    assert.is_true(m:irq_level(4))
    local got = {}
    while m:inb(LSR) & 1 == 1 do got[#got + 1] = string.char(m:inb(DATA)) end
    assert.equal(text, table.concat(got))
    assert.is_false(m:irq_level(4))
  end)

  it("reports fewer characters than the trigger level after a time", function()
    m:outb(LCR, 0x83)
    m:outb(DATA, 1) -- 115200 baud
    m:outb(IER, 0)
    m:outb(LCR, 0x03)
    m:outb(FCR, 0x81) -- eight
    m:outb(IER, 1)
    m:console():write("abc")
    assert.is_false(m:irq_level(4))
    m:advance(347000)
    assert.is_false(m:irq_level(4))
    m:advance(1000)
    assert.is_true(m:irq_level(4))
    assert.equal(0xcc, m:inb(IIR))
  end)

  it("keeps input back in loopback mode", function()
    m:outb(MCR, 0x10)
    m:console():write("x")
    assert.equal(0, m:inb(LSR) & 1)
    send("L")
    assert.equal(("L"):byte(), m:inb(DATA))
    m:outb(MCR, 0)
    assert.equal(("x"):byte(), m:inb(DATA))
  end)

  it("takes wide accesses apart", function()
    m:outw(COM1 + 6, 0xa500) -- MSR, SCR
    assert.equal(0xa5, m:inb(COM1 + 7))
    assert.equal(0xa5, m:inw(COM1 + 6) >> 8)
    assert.equal(0x60, m:inl(COM1 + 2) >> 24)
  end)

  it("is as after power-on when the machine is reset", function()
    m:outb(COM1 + 7, 0x55)
    m:outb(IER, 2)
    m:reset()
    assert.equal(0, m:inb(COM1 + 7))
    assert.equal(0, m:inb(IER))
    assert.is_false(m:irq_level(4))
  end)

  it("works without a character device", function()
    m:device_add("serial16550", { id = "serial1", iobase = 0x2f8, irq = 3 })
    for _ = 1, 100 do m:outb(0x2f8, 65) end
    assert.equal(0x60, m:inb(0x2f8 + 5))
  end)

  it("does not share a character device or ports", function()
    local id = m:object("serial0").chardev
    id = type(id) == "string" and id or id.id
    local function refused(props)
      props.id = "x"
      return machines.raised(m.device_add, m, "serial16550", props).code
    end
    assert.equal("busy", refused { iobase = 0x2f8, irq = 3, chardev = id })
    assert.equal("exists", refused { irq = 3 })
    assert.equal("invalid", refused { iobase = 0xfffc })
    assert.equal("invalid", refused { irq = 24 })
    assert.equal("busy", machines.raised(m.object_del, m, id).code)
    assert.is_nil(m:object("x"))
    assert.is_false(m:irq_level(3))
  end)
end)

describe("clock", function()
  local function cmos(m, index)
    m:outb(0x70, index)
    return m:inb(0x71)
  end

  local function word(m, index) return cmos(m, index) | cmos(m, index + 1) << 8 end

  local function bcd(m, index)
    local v = cmos(m, index)
    return (v >> 4) * 10 + (v & 15)
  end

  -- How many seconds of the day the clock is ahead of the host's.
  local function ahead(m)
    local got = os.date("!*t")
    local seconds = (bcd(m, 4) * 60 + bcd(m, 2)) * 60 + bcd(m, 0)
    return (seconds - (got.hour * 60 + got.min) * 60 - got.sec) % 86400
  end

  it("starts with the host's time in UTC", function()
    local m <close> = machine { clock = false }
    m:start()
    local year = os.date("!*t").year
    assert.equal(year, bcd(m, 0x32) * 100 + bcd(m, 9))
    assert.is_true(ahead(m) <= 5)
  end)

  it("follows the machine's clock or the host's", function()
    for clock, seconds in pairs { machine = 3600, host = 0 } do
      local m <close> = machine { rtc = clock }
      m:start()
      m:advance(3600 * 1000000000)
      assert.is_true((ahead(m) - seconds) % 86400 <= 5, clock)
    end
    local ok, err = pcall(machine, { rtc = "sundial" })
    assert.is_false(ok)
    assert.equal("invalid", err.code)
    assert.truthy(err.message:find("clock: 'sundial'", 1, true), err.message)
  end)

  it("reports after a pause what the host's clock has brought meanwhile", function()
    local m <close> = machine { rtc = "host" }
    m:start()
    m:outb(0x70, 0x0b)
    m:outb(0x71, 0x12)
    m:pause()
    cmos(m, 0x0c)
    -- os.time() may be a kernel tick behind the clock the RTC reads: only the second change after
    -- the next is sure to come after the register was read.
    local now = os.time()
    repeat lunik.sleep(0.01) until os.time() > now + 1
    assert.is_false(m:irq_level(8))
    m:start()
    assert.is_true(m:irq_level(8))
    assert.equal(0x90, cmos(m, 0x0c) & 0x90)
  end)

  it("interrupts by the host's clock", function()
    local m <close> = machine { rtc = "host", clock = false }
    m:start()
    local count = m:irq_count(8)
    m:outb(0x70, 0x0b)
    m:outb(0x71, 0x12)
    local ends = os.time() + 60
    repeat lunik.sleep(0.01) until m:irq_count(8) > count or os.time() > ends
    assert.equal(count + 1, m:irq_count(8))
  end)

  it("follows the machine's clock", function()
    local m <close> = machine()
    m:start()
    local was = cmos(m, 0)
    m:advance(1000000000)
    local now = cmos(m, 0)
    assert.is_true(now == was + 1 or now & 0x0f == 0)
    assert.is_false(m:irq_level(8))
    m:outb(0x70, 0x0b)
    m:outb(0x71, 0x12)
    m:advance(1000000000)
    assert.is_true(m:irq_level(8))
    assert.equal(0x90, cmos(m, 0x0c) & 0x90)
    assert.is_false(m:irq_level(8))
  end)

  it("tells firmware the memory sizes", function()
    local m <close> = machine { memory = "64M" }
    assert.equal(640, word(m, 0x15))
    assert.equal(63 * 1024, word(m, 0x17))
    assert.equal(63 * 1024, word(m, 0x30))
    assert.equal(48 * 16, word(m, 0x34))
    assert.equal(0, word(m, 0x5b) | cmos(m, 0x5d))
    m:device_add("mc146818", {
      id = "big", iobase = 0x170, irq = 3, below_4g = "3G", above_4g = "5G",
    })
    m:outb(0x170, 0x17)
    assert.equal(0xff, m:inb(0x171))
    m:outb(0x170, 0x35)
    assert.equal(0xbf, m:inb(0x171))
    m:outb(0x170, 0x5c)
    assert.equal(0x40, m:inb(0x171))
    m:outb(0x170, 0x5d)
    assert.equal(0x01, m:inb(0x171))
  end)

  it("keeps its RAM over a reset, the index port can't be read", function()
    local m <close> = machine()
    m:outb(0x70, 0x8f)
    m:outb(0x71, 0x0a)
    assert.equal(0xff, m:inb(0x70))
    m:reset()
    assert.equal(0x0a, cmos(m, 0x0f))
  end)
end)

describe("keyboard controller", function()
  it("is found, and resets the machine", function()
    local m <close> = machine()
    local resets = 0
    m:on_reset(function() resets = resets + 1 end)
    m:start()
    resets = 0
    m:outb(0x64, 0xaa)
    assert.equal(0x55, m:inb(0x60))
    m:outb(0x60, 0xf2)
    assert.is_true(m:irq_level(1))
    assert.equal(0xfa, m:inb(0x60))
    assert.equal(0xab, m:inb(0x60))
    m:inb(0x60)
    assert.is_false(m:irq_level(1))
    m:outb(0x64, 0xd3)
    m:outb(0x60, 0x5a)
    assert.is_true(m:irq_level(12))
    assert.equal(0x5a, m:inb(0x60))
    m:outb(0x64, 0xfe)
    assert.equal(1, resets)
    assert.equal(0x14, m:inb(0x64))
  end)
end)
