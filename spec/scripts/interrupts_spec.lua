-- Interrupts of machines without KVM: from a device's line through the controllers to the guest;
-- how the controllers are shown.
local lunik = require "lunik"

local IOAPIC, SELECT, WINDOW, EOI = 0xfec00000, 0x00, 0x10, 0x40

describe("interrupts", function()
  local m

  local function machine(options)
    options.accel, options.clock, options.memory = "none", "manual", "16M"
    options.board = options.board or "pc"
    options.serial = "buffer"
    m = lunik.machine(options)
    m:start()
    return m
  end

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function init_pics(masks)
    for i, port in ipairs { 0x20, 0xa0 } do
      m:outb(port, 0x11)
      m:outb(port + 1, 0x20 + 8 * (i - 1))
      m:outb(port + 1, i == 1 and 4 or 2)
      m:outb(port + 1, 1)
      m:outb(port + 1, masks[i])
    end
  end

  local function redirect(pin, entry)
    m:store(IOAPIC + SELECT, 4, 0x11 + 2 * pin)
    m:store(IOAPIC + WINDOW, 4, entry >> 32)
    m:store(IOAPIC + SELECT, 4, 0x10 + 2 * pin)
    m:store(IOAPIC + WINDOW, 4, entry & 0xffffffff)
  end

  it("reach the guest from the timer", function()
    machine {}
    init_pics { 0xfe, 0xff }
    assert.is_nil(m:acknowledge())
    m:outb(0x43, 0x34)
    m:outb(0x40, 11932 & 0xff)
    m:outb(0x40, 11932 >> 8)
    m:advance(9 * 1000000)
    assert.is_nil(m:acknowledge())
    m:advance(2 * 1000000)
    assert.equal(0x20, m:acknowledge())
    assert.equal(1, m:pic()[1].isr)
    m:advance(10 * 1000000)
    assert.is_nil(m:acknowledge())
    m:outb(0x20, 0x20)
    assert.equal(0x20, m:acknowledge())
    assert.equal(2, m:irq_count(0))
  end)

  it("reach it from a serial port", function()
    machine {}
    init_pics { 0xef, 0xff }
    m:outb(0x3fc, 0x08)
    m:outb(0x3f9, 0x02) -- the transmitter is empty
    assert.equal(0x24, m:acknowledge())
    m:inb(0x3fa)
    m:outb(0x20, 0x20)
    assert.is_nil(m:acknowledge())
  end)

  it("reach it from the clock, through the second controller", function()
    machine {}
    init_pics { 0xfb, 0xfe }
    m:outb(0x70, 0x0b)
    m:outb(0x71, 0x42) -- periodic, 1024 Hz
    m:advance(1000000)
    assert.equal(0x28, m:acknowledge())
    assert.equal(4, m:pic()[1].isr)
    assert.equal(1, m:pic()[2].isr)
  end)

  it("are messages of the I/O APIC", function()
    machine {}
    local messages = m:watch "msi"
    redirect(4, 3 << 56 | 0x34)
    m:irq(4):pulse()
    local message = messages:wait { timeout = 1 }
    assert.same({ "ioapic", 0xfee03000, 0x34 }, { message.device, message.address, message.data })
    redirect(2, 0x30) -- the timer
    m:outb(0x43, 0x30)
    m:outb(0x40, 100)
    m:outb(0x40, 0)
    m:advance(1000000)
    assert.equal(0x30, messages:wait { timeout = 1 }.data)
  end)

  it("are sent again while a level stays high", function()
    machine {}
    local messages = m:watch "msi"
    local line = m:irq(11)
    redirect(11, 0x8050)
    line:set(true)
    assert.equal(0x8050, messages:wait { timeout = 1 }.data)
    assert.is_true(m:ioapic()[12].remote_irr)
    m:store(IOAPIC + EOI, 4, 0x50)
    assert.equal(0x8050, messages:wait { timeout = 1 }.data)
    line:set(false)
    m:store(IOAPIC + EOI, 4, 0x50)
    assert.is_false(m:ioapic()[12].remote_irr)
    assert.equal(2, m:irq_count(11) + 1)
  end)

  it("are seen by the controllers before handlers", function()
    machine {}
    init_pics { 0, 0 }
    local seen
    m:on_irq(function(gsi, level)
      if gsi == 5 and level then seen = m:acknowledge() end
    end)
    m:irq(5):set(true)
    assert.equal(0x25, seen)
  end)

  it("have the chipset's PCI lines level triggered from the start", function()
    machine {}
    assert.equal(0x0c, m:inb(0x4d1))
    m:outb(0x4d1, 0)
    m:reset()
    assert.equal(0x0c, m:inb(0x4d1))
  end)

  it("that are pending end with a reset, except for lines that are high", function()
    machine {}
    init_pics { 0, 0 }
    m:irq(3):pulse()
    m:irq(4):set(true)
    redirect(4, 0x34)
    m:reset()
    assert.equal(1 << 4, m:pic()[1].irr)
    assert.is_true(m:ioapic()[5].masked)
    assert.is_true(m:ioapic()[5].high)
  end)

  it("stand still with the machine's clock", function()
    machine {}
    m:outb(0x43, 0xb0)
    m:outb(0x61, 1)
    m:outb(0x42, 0)
    m:outb(0x42, 0x10)
    local function count()
      m:outb(0x43, 0x80)
      return m:inb(0x42) | m:inb(0x42) << 8
    end
    local before = count()
    m:pause()
    assert.equal(before, count())
    m:resume()
    m:advance(838096) -- 1000 clocks
    assert.equal(before - 1000, count())
    m:outb(0x61, 0)
    m:advance(838096)
    assert.equal(before - 1000, count())
  end)

  it("are the same on the micro board", function()
    machine { board = "micro" }
    init_pics { 0, 0 }
    m:irq(1):pulse()
    assert.equal(0x21, m:acknowledge())
    assert.equal(0, m:inb(0x4d0))
  end)

  it("show what is pending", function()
    machine {}
    init_pics { 0, 0 }
    m:irq(7):pulse()
    redirect(9, 0x8039)
    m:irq(9):set(true)
    assert.equal("pic1: irr=02 imr=00 isr=00 hprio=0 irq_base=28 rr_sel=0 elcr=0c fnm=0\n"
      .. "pic0: irr=84 imr=00 isr=00 hprio=0 irq_base=20 rr_sel=0 elcr=00 fnm=0",
      tostring(m:pic()))
    assert.equal(0xc039, m:ioapic()[10].entry)
  end)

  it("show like QEMU's", function()
    machine {}
    redirect(9, 1 << 56 | 0xa939)
    m:irq(9):set(true)
    local text = tostring(m:ioapic())
    assert.truthy(text:find("ioapic0: ver=0x20 id=0x00 sel=0x22\n", 1, true))
    assert.truthy(text:find("  pin 9  0x010000000000e939 dest=1 vec=57  active-lo level        "
      .. "lowest logical\n", 1, true))
    assert.truthy(text:find("IRR        9\n  Remote IRR 9", 1, true))
    assert.equal("interrupts by line:\n  9: 1 (high)", tostring(m:irqs()))
    assert.same({ gsi = 9, level = true, count = 1 }, m:irqs()[10])
  end)

  it("need controllers that are the machine's", function()
    m = lunik.machine { board = { build = function() end }, accel = "none" }
    local ok, err = pcall(m.pic, m)
    assert.is_false(ok)
    assert.equal("unsupported", err.code)
    m:device_add("isa-i8259", { id = "first" })
    ok, err = pcall(m.device_add, m, "isa-i8259", { id = "second" })
    assert.is_false(ok)
    assert.equal("exists", err.code)
    assert.is_nil(m:acknowledge())
    m:device_del "first"
    m:device_add("isa-i8259", {})
  end)

  it("refuse an irqchip that there is not", function()
    local ok, err = pcall(lunik.machine, { accel = "none", irqchip = "off" })
    assert.is_false(ok)
    assert.equal("machine: irqchip: 'off' is not a valid choice (want kernel, split)",
      err.message)
  end)
end)
