-- pc: an i440FX/PIIX PC.
--
-- maxmem and slots allow memory to grow by plugged DIMMs; the board's own options are listed at the
-- end. Without firmware, the chipset is set up as firmware would leave it: ACPI registers at 0x600,
-- SMBus at 0x700, PIRQs routed to 10, 10, 11, 11, 0xc0000-0xfffff shown as RAM. With it, ACPI and
-- SMBIOS tables, the memory map and a kernel are files of the fw-cfg device.
--
-- Map: RAM from 0, 0xa0000-0xfffff by the chipset's PAM registers, RAM from 4 GiB, the window for
-- DIMMs at the next GiB, the 64-bit PCI window at the next GiB after that.

local lunik = require "lunik"
local board = require "lunik.board"
local firmware = require "lunik.firmware"

local MiB, GiB = board.MiB, board.GiB
local PCI64_SIZE = 2 * GiB -- as QEMU's pc

local SCI = 9
local PCI_GPE, CPU_GPE, MEMORY_GPE, NVDIMM_GPE = 1, 2, 3, 4
local EBDA = 0x9fc00       -- 639 KiB: where conventional memory ends
local VGA_HOLE = 0xa0000
local BIOS_AREA = 0xe0000  -- ACPI tables, or a firmware's ROM
local PCI_LAST = 0xfebfffff -- below the I/O APIC

-- Returns how much RAM is below 4 GiB.
local function low_memory(opt, memory)
  local most = opt.lowmem or memory >= 0xe0000000 and 0xc0000000 or 0xe0000000
  if most < MiB or most > 0xe0000000 or most % MiB ~= 0 then
    error(lunik.error("invalid", ("lowmem: '%s' is not possible (want a multiple of 1M from "
      .. "1M to 3584M)"):format(board.show(most))), 0)
  end
  return math.min(memory, most)
end

-- Returns address and size of the window for PCI memory above 4 GiB, after all other memory; 0 if
-- there is none.
local function pci64_window(opt, base, bits)
  local size = opt.pci64 or PCI64_SIZE
  local room = math.max((1 << bits) - base, 0)
  if not math.ult(room, size) then return size > 0 and base or 0, size end
  if opt.pci64 then
    error(lunik.error("invalid", ("pci64: '%s' does not fit above 0x%x (the guest's addresses have "
      .. "%d bits)"):format(board.show(size), base, bits)), 0)
  end
  return 0, 0
end

-- Returns the addresses of everything.
local function plan(m, opt, memory)
  local low = low_memory(opt, memory)
  local slots = opt.slots or 0
  local p = { low = low, high = memory - low }
  local top = 4 * GiB + p.high
  p.window_base = board.align_up(top, GiB)
  p.window_size, p.plug_limit = 0, 0
  if opt.maxmem and opt.maxmem > memory then
    p.plug_limit = opt.maxmem - memory
    p.window_size = p.plug_limit + slots * GiB
    top = p.window_base + p.window_size
  end
  p.pci_base = board.align_up(low, MiB)
  p.pci64_base, p.pci64_size = pci64_window(opt, board.align_up(top, GiB), m.address_bits)
  return p
end

local function report_low_ram(m, opt, banks)
  if opt.firmware then -- which reserves what it needs itself
    board.report_ram(m, banks, 0, 0, VGA_HOLE)
    return
  end
  board.report_ram(m, banks, 0, 0, EBDA)
  m:fwmap_add { base = EBDA, size = VGA_HOLE - EBDA, type = "reserved" }
  m:fwmap_add { base = BIOS_AREA, size = MiB - BIOS_AREA, type = "reserved" }
end

local function add_ram(m, opt, banks, p)
  board.map_ram(m, banks, "ram-below-640k", 0, 0, VGA_HOLE)
  board.map_ram(m, banks, "ram-below-4g", MiB, MiB, p.low - MiB)
  board.map_ram(m, banks, "ram-above-4g", p.low, 4 * GiB, p.high)

  report_low_ram(m, opt, banks)
  board.report_ram(m, banks, MiB, MiB, p.low - MiB)
  board.report_ram(m, banks, p.low, 4 * GiB, p.high)
end

local function add_chipset(m, opt, banks, p)
  local direct = not opt.firmware
  local host = m:device_add("i440fx", {
    id = "i440fx",
    ram = banks[1].memdev,
    shadow = direct,
    mmio_base = p.pci_base,
    mmio_last = PCI_LAST,
    mmio64_base = p.pci64_base,
    mmio64_last = p.pci64_base > 0 and p.pci64_base + p.pci64_size - 1 or 0,
  })
  m:device_add("piix3", {
    id = "piix3", bus = host, addr = "1.0", elcr = not board.has_own_irqchip(m),
    pirq_a = direct and 10 or 0, pirq_b = direct and 10 or 0,
    pirq_c = direct and 11 or 0, pirq_d = direct and 11 or 0,
  })
  local pm = m:device_add("piix4-pm", {
    id = "piix4-pm", bus = host, addr = "1.3", sci = SCI,
    pm_base = direct and 0x600 or 0, smb_base = direct and 0x700 or 0,
    disable_s3 = opt.disable_s3, disable_s4 = opt.disable_s4, s4_val = opt.s4_val,
  })
  if opt.acpi ~= false and opt.pci_hotplug ~= false then
    m:device_add("acpi-pci-hotplug", { id = "pci-hotplug", bus = host, pm = pm, gpe = PCI_GPE })
  end
  return pm
end

-- Adds the memory slots and the window for DIMMs.
local function add_memory_slots(m, opt, pm, p)
  if p.window_size == 0 then return end
  local slots = opt.slots or 0
  local registers, nvdimm
  if slots > 0 then
    registers = m:device_add("acpi-memory-hotplug", {
      id = "memory-hotplug", iobase = 0xa00, slots = slots, gpe = MEMORY_GPE, pm = pm,
    })
  end
  if opt.nvdimm then
    nvdimm = m:device_add("acpi-nvdimm", {
      id = "nvdimm", iobase = 0xb18, slots = slots, gpe = NVDIMM_GPE, pm = pm,
    })
  end
  m:device_add("device-memory", {
    id = "device-memory", addr = p.window_base, size = p.window_size, slots = slots,
    limit = p.plug_limit, acpi = registers, nvdimm = nvdimm,
  })
  m:fwmap_add {
    base = p.window_base, size = p.window_size, type = "hotplug",
    node = opt.numa and #opt.numa - 1 or 0,
  }
end

-- Adds what plugs CPUs, and devices for those that the machine starts with.
local function add_cpu_slots(m, opt, pm)
  if opt.maxcpus == opt.cpus then return end
  m:device_add("acpi-cpu-hotplug", {
    id = "cpu-hotplug", iobase = 0xaf00, gpe = CPU_GPE, pm = pm,
  })
  for _ = 1, opt.cpus do m:device_add("cpu", {}) end
end

local function add_isa(m, opt, p)
  if opt.serial_port ~= false then
    m:device_add("serial16550", { id = "serial0", iobase = 0x3f8, irq = 4, chardev = opt.serial })
  end
  m:device_add("mc146818", {
    id = "rtc", iobase = 0x70, irq = 8, below_4g = p.low, above_4g = p.high, clock = opt.rtc,
  })
  m:device_add("i8042", { id = "i8042" })
  m:device_add("port92", { id = "port92" })
  m:device_add("post-code", { id = "post-code" })
  m:device_add("debugcon", {
    id = "debugcon", chardev = m:chardev(opt.debugcon, "debugcon-chardev"),
  })
  m:device_add("debug-exit", { id = "debug-exit" })
  if opt.on_panic then
    m:device_add("pvpanic", { id = "pvpanic", on_panic = opt.on_panic })
  end
  if firmware.wanted(opt) then
    m:device_add("fw-cfg", { id = "fw-cfg", boot_menu = opt.boot and opt.boot.menu })
  end
  if opt.firmware_log then
    m:device_add("debugcon", {
      id = "firmware-log", iobase = 0x402,
      chardev = m:chardev(opt.firmware_log, "firmware-log-chardev"),
    })
  end
end

local function check_nvdimm(opt)
  if opt.nvdimm and (opt.slots or 0) == 0 then
    error(lunik.error("invalid", "nvdimm: true needs memory slots (want maxmem and slots)"), 0)
  end
end

local function build(m, opt)
  firmware.check(opt)
  check_nvdimm(opt)
  local banks, memory = board.memory(m, opt)
  local p = plan(m, opt, memory)
  m:transaction(function()
    add_ram(m, opt, banks, p)
    local pm = add_chipset(m, opt, banks, p)
    board.add_irqchip(m)
    add_memory_slots(m, opt, pm, p)
    add_cpu_slots(m, opt, pm)
    add_isa(m, opt, p)
  end)
end

-- Called after the devices in the machine's options have been added.
local function finish(m, opt)
  if firmware.wanted(opt) then firmware.add_files(m, opt) end
  if opt.firmware then
    m:boot_firmware(opt.firmware)
    if opt.acpi ~= false then m:acpi_offer() end
    return
  end
  local rsdp
  if opt.acpi ~= false then rsdp = m:acpi_install() end
  if opt.kernel then
    m:boot_kernel {
      kernel = opt.kernel, initrd = opt.initrd, cmdline = opt.cmdline, modules = opt.modules,
      rsdp = rsdp,
    }
  end
end

return {
  name = "pc",
  description = "i440FX/PIIX PC with ACPI, PCI and memory slots",
  options = {
    lowmem = {
      kind = "size",
      doc = "RAM below 4 GiB at most; the rest starts at 4 GiB. Not given: as QEMU's pc, that is "
        .. "3G of 3.5G or more, else all of it.",
    },
    pci64 = {
      kind = "size",
      doc = "Window for PCI memory above 4 GiB, behind RAM and DIMMs; 0: none. Not given: 2G, if "
        .. "the guest's addresses have room for it.",
    },
    acpi = {
      kind = "boolean",
      doc = "ACPI tables; firmware gets them through the fw-cfg device. Not given: true.",
    },
    pci_hotplug = {
      kind = "boolean",
      doc = "PCI devices can be added to and removed from the running machine, through ACPI. Not "
        .. "given: true.",
    },
    serial_port = {
      kind = "boolean",
      doc = "The serial port serial0 at 0x3f8. Not given: true.",
    },
    nvdimm = {
      kind = "boolean",
      doc = "NVDIMMs can be plugged into memory slots; needs maxmem and slots. Not given: false.",
    },
    disable_s3 = {
      kind = "boolean",
      doc = "The guest can't suspend to memory. Not given: it can, and m:wakeup() wakes it.",
    },
    disable_s4 = {
      kind = "boolean",
      doc = "The guest can't suspend to disk. Not given: it can; the machine shuts down then.",
    },
    s4_val = {
      kind = "count",
      doc = "The sleep type with which the guest suspends to disk, 2 to 7. Not given: 2.",
    },
    on_panic = {
      kind = "string",
      doc = "The guest can report a panic (pvpanic, port 0x505), and what the machine does then: "
        .. "shutdown, exit-failure, pause, reset or none. Not given: it can't.",
    },
    rtc = {
      kind = "string",
      doc = "What the real-time clock follows: \"machine\", whose clock stands still while it is "
        .. "paused or off, or \"host\". Not given: machine.",
    },
    fw_cfg = {
      kind = "boolean",
      doc = "The fw-cfg device, whose files firmware and operating system read. Not given: with "
        .. "firmware.",
    },
    smbios = {
      kind = "table",
      doc = "What the SMBIOS tables say: manufacturer, product, version, serial, uuid, sku, "
        .. "family, asset, bios_vendor, bios_version, bios_date, all strings; entry = \"32\": with "
        .. "the entry point of version 2.8, as some programs know no other, instead of 3.0.",
    },
    boot = {
      kind = "table",
      doc = "What firmware boots: order = list of device paths, menu = true, menu_wait and "
        .. "fail_wait = milliseconds.",
    },
    firmware_log = {
      kind = "any",
      doc = "Where the firmware's log, written to port 0x402, goes: as for serial. Not given: "
        .. "there is no such port.",
    },
    debugcon = {
      kind = "any",
      doc = "Where output to the debug console at port 0xe9 goes: as for serial.",
    },
  },
  build = build,
  finish = finish,
}
