-- m:pci(): the functions on a machine's PCI buses, and how they are shown.
local lunik = require "lunik"

describe("m:pci", function()
  local m

  before_each(function()
    m = lunik.machine {
      board = "pc", accel = "none", memory = "16M",
      devices = {
        { "pci-bridge", { id = "bridge", bus = "i440fx", addr = "2" } },
        { "edu", { id = "edu", bus = "bridge", addr = "3" } },
      },
    }
    m:start()
  end)

  after_each(function() m:close() end)

  local function config(bus, slot, offset, value)
    m:outl(0xcf8, 0x80000000 | bus << 16 | slot << 11 | offset)
    m:outl(0xcfc, value)
  end

  it("lists them by address, once the guest has numbered its buses", function()
    config(0, 2, 0x18, 0x00010100)
    assert.equal([[
00:00.0 Host bridge: 8086:1237 (rev 02)
00:01.0 ISA bridge: 8086:7000 (rev 00)
00:01.3 Bridge: 8086:7113 (rev 03)
00:02.0 PCI bridge: 1b36:0001 (rev 00)
01:03.0 Unassigned class: 1234:11e8 (rev 10)]], tostring(m:pci()))
  end)

  it("says what a function is and has", function()
    config(0, 2, 0x18, 0x00010100)
    config(1, 3, 0x10, 0xe1000000)
    local list = m:pci()
    local edu = list[#list]
    assert.equal("edu", edu.object.id)
    assert.equal("/machine/bridge", edu.bus)
    assert.same({ 1, 3, 0 }, { edu.bus_number, edu.slot, edu.fn })
    assert.same({ { index = 0, kind = "memory32", address = 0xe1000000, prefetch = false } },
      edu.bars)
    assert.same({ { id = 5, offset = 0x40 }, { id = 0x13, offset = 0x50 } }, edu.capabilities)
    assert.equal(1, edu.pin)
    assert.truthy(list:text():find("\tRegion 0: Memory (32-bit, non-prefetchable) at e1000000\n"
      .. "\tCapabilities: [40] MSI\n\tCapabilities: [50] advanced features", 1, true))
  end)

  it("shows all bytes", function()
    local text = m:pci():text { bytes = true }
    assert.truthy(text:find("00:00.0 Host bridge: 8086:1237 (rev 02)\n00: 86 80 37 12", 1, true))
    assert.equal(5 * 16, select(2, text:gsub("\n%x0: ", "")))
  end)

  it("changes nothing that the guest sees", function()
    m:outl(0xcf8, 0x80001234)
    m:pci()
    assert.equal(0x80001234, m:inl(0xcf8))
  end)

  it("has a device whose message is an event", function()
    config(0, 2, 0x18, 0x00010100)
    config(0, 2, 0x20, 0xe100e100)
    config(0, 2, 4, 6)
    config(1, 3, 0x10, 0xe1000000)
    config(1, 3, 4, 6)
    config(1, 3, 0x44, 0xfee00000)
    config(1, 3, 0x4c, 0x4021)
    config(1, 3, 0x40, 0x00010000)
    m:store(0xe1000060, 4, 1)
    local e = m:wait("msi", { timeout = 5 })
    assert.same({ "edu", 0xfee00000, 0x4021 }, { e.device, e.address, e.data })
  end)
end)
