-- Boards that are laid out differently from those that ship: everything is somewhere else, and the
-- tables, the guests and hotplug follow.
local lunik = require "lunik"
local board = require "lunik.board"
local small = require "spec.support.small_guest"

local MiB, GiB = board.MiB, board.GiB
local TIMEOUT = small.TIMEOUT
local LOW = 64 * MiB -- RAM, in one piece

-- A board with its parts at the addresses and interrupts of p.
local function new_board(p)
  local function build(m, opt)
    local banks, memory = board.memory(m, opt)
    board.map_ram(m, banks, "ram", 0, 0, memory)
    board.report_ram(m, banks, 0, 0, 639 * board.KiB)
    board.report_ram(m, banks, MiB, MiB, memory - MiB)
    local host = m:device_add("i440fx", { ram = banks[1].memdev, shadow = true })
    m:device_add("piix3", { bus = host, addr = p.bridge, pirq_a = p.pirq, pirq_b = p.pirq })
    local pm = m:device_add("piix4-pm", {
      bus = host, addr = p.pm, sci = p.sci, pm_base = p.pm_base, smb_base = p.smb_base,
      gpe_base = p.gpe_base,
    })
    local registers = m:device_add("acpi-memory-hotplug", {
      iobase = p.hotplug, slots = opt.slots, gpe = p.gpe, pm = pm,
    })
    local size = opt.maxmem - memory
    m:device_add("device-memory", {
      addr = p.window, size = size, slots = opt.slots, acpi = registers,
    })
    m:fwmap_add { base = p.window, size = size, type = "hotplug" }
    m:device_add("serial16550", { iobase = p.uart, irq = p.uart_irq, chardev = opt.serial })
    m:device_add("serial16550", { iobase = p.second_uart, irq = 22 })
    m:device_add("debug-exit", { iobase = p.exit, iosize = 1 })
  end
  local function finish(m, opt)
    local rsdp = m:acpi_install()
    if opt.kernel then
      m:boot_kernel { kernel = opt.kernel, cmdline = opt.cmdline, rsdp = rsdp }
    end
  end
  return { name = "custom", build = build, finish = finish }
end

local layouts = {
  ["everything is moved"] = {
    bridge = "2.0", pm = "5.1", sci = 11, pm_base = 0xb000, smb_base = 0xb100, gpe_base = 0x5000,
    hotplug = 0x4008, gpe = 13, window = 0x3210000000, uart = 0x9100, uart_irq = 17, pirq = 5,
    second_uart = 0x3f8, exit = 0x501,
  },
  ["UART and SCI share a line"] = {
    bridge = "1f.0", pm = "1f.7", sci = 5, pm_base = 0x1000, smb_base = 0x1040, gpe_base = 0xfffc,
    hotplug = 0xfe00, gpe = 0, window = 4 * GiB, uart = 0x2e8, uart_irq = 5, pirq = 9,
    second_uart = 0x2f8, exit = 0xf4,
  },
}

local function new(p, options)
  local all = {
    board = new_board(p), memory = "64M", maxmem = "2G", slots = 3, serial = "buffer",
  }
  for name, value in pairs(options) do all[name] = value end
  return lunik.machine(all)
end

-- Two DIMMs come and go, twice.
local function exercise(m, p)
  for _ = 1, 2 do
    for i = 1, 2 do
      m:object_add("memory-backend-memfd", { id = "mem" .. i, size = "16M" })
      local dimm = m:device_add("pc-dimm", { id = "dimm" .. i, memdev = "mem" .. i })
      assert.equal(p.window + (i - 1) * 16 * MiB, dimm.addr)
      assert.equal(0, m:wait("acpi-ost", { device = dimm.id, timeout = TIMEOUT }).status)
    end
    for i = 1, 2 do
      local request = m:device_del("dimm" .. i)
      request:wait { timeout = TIMEOUT }
      assert.equal("ejected", request.state)
      m:object_del("mem" .. i)
    end
  end
end

describe("a custom board's mistakes", function()
  local function refused(change)
    local p = {}
    for key, value in pairs(layouts["everything is moved"]) do p[key] = value end
    for key, value in pairs(change) do p[key] = value end
    local before = #lunik.machines()
    local ok, err = pcall(new, p, { accel = "none" })
    assert.is_false(ok)
    assert.equal(before, #lunik.machines())
    return err.message
  end

  it("are named: an event that the power management does not have", function()
    assert.matches("acpi%-memory%-hotplug: gpe: '16' is no event of '/machine/.*' %(want 0 to 15%)",
      refused { gpe = 16 })
  end)

  it("are named: an SCI that the tables can't name", function()
    assert.matches("piix4-pm: sci: 16 is out of range (want 1 to 15)", refused { sci = 16 }, 1,
      true)
  end)

  it("are named: ports that are taken", function()
    assert.matches("serial16550: .* '0x9100' is taken .* 'acpi%-mem%-hotplug' is at 0x9100%-0x9117",
      refused { hotplug = 0x9100 })
  end)
end)

for name, p in pairs(layouts) do
  describe("a custom board, where " .. name, function()
    it("has tables that say where things are", function()
      local m <close> = new(p, { accel = "none" })
      local fadt = m:acpi_table "FACP"
      local function at(format, offset) return (string.unpack("<" .. format, fadt, offset + 1)) end
      assert.equal(p.sci, at("I2", 46))
      assert.equal(p.pm_base, at("I4", 56))
      assert.equal(p.gpe_base, at("I4", 80))
      local dsdt = m:acpi_table "DSDT"
      for value, names in pairs { [p.hotplug] = "MHIO", [3] = "MHSL", [p.uart] = "SIOB" } do
        assert.truthy(dsdt:find("\x08" .. names .. "\x0c" .. string.pack("<I4", value), 1, true))
      end
      assert.truthy(dsdt:find(("_E%02X"):format(p.gpe), 1, true))
      assert.equal(LOW, m:object("pc.ram").size)
    end)

    it("takes DIMMs with the scripted guest", function()
      local m <close> = new(p, { accel = "none" })
      m:start()
      require("lunik.guest").attach(m, { pages = 4 })
      exercise(m, p)
    end)

    it("takes DIMMs with the small guest", function()
      if small.unavailable() then return pending(small.unavailable()) end
      local m <close> = new(p, {
        cpus = 3, kernel = small.image "small.elf",
        cmdline = ("uart=0x%x uart-irq=%d"):format(p.uart, p.uart_irq),
      })
      assert.matches(", 3 cpus, sci " .. p.sci .. "\n", small.start(m), 1, true)
      exercise(m, p)
      m:console():write "poweroff\n"
      assert.equal("guest-shutdown", m:wait("shutdown", { timeout = TIMEOUT }).reason)
    end)
  end)
end
