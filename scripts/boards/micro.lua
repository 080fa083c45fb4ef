-- micro: a minimal board that boots a kernel: RAM, a serial port and a port that ends the machine.
--
-- It has no PCI, no ACPI, no firmware and no memory slots; interrupt controllers and timer are the
-- ones in KVM, or devices where these are not there. That is enough for a Multiboot or PVH kernel
-- that prints to the serial port and exits through the exit port; Linux boots as well, with one
-- processor and without a clock chip.
--
-- Map: RAM from 0 to 3G, the rest from 4 GiB on.

local lunik = require "lunik"
local board = require "lunik.board"

local KiB, MiB, GiB = board.KiB, board.MiB, board.GiB

local LOW_MAX = 3 * GiB

local function check(opt)
  for _, name in ipairs { "firmware", "maxmem", "slots" } do
    if opt[name] then
      error(lunik.error("unsupported", ("%s: '%s' is not possible on the micro board (the pc board "
        .. "can)"):format(name, opt[name])), 0)
    end
  end
end

local function build(m, opt)
  check(opt)
  local banks, memory = board.memory(m, opt)
  local low = math.min(memory, LOW_MAX)
  m:transaction(function()
    board.map_ram(m, banks, "ram-below-4g", 0, 0, low)
    board.map_ram(m, banks, "ram-above-4g", low, 4 * GiB, memory - low)
  end)
  -- Kernels never use the last kilobyte below 640K and the ROM area.
  board.report_ram(m, banks, 0, 0, 639 * KiB)
  m:fwmap_add { base = 639 * KiB, size = MiB - 639 * KiB, type = "reserved" }
  board.report_ram(m, banks, MiB, MiB, low - MiB)
  board.report_ram(m, banks, low, 4 * GiB, memory - low)

  board.add_irqchip(m)
  m:device_add("serial16550", { id = "serial0", iobase = 0x3f8, irq = 4, chardev = opt.serial })
  m:device_add("debug-exit", { id = "debug-exit" })
end

local function finish(m, opt)
  if opt.kernel then
    m:boot_kernel {
      kernel = opt.kernel, initrd = opt.initrd, cmdline = opt.cmdline, modules = opt.modules,
    }
  end
end

return {
  name = "micro",
  description = "RAM, serial port and exit port: the least that boots a kernel",
  build = build,
  finish = finish,
}
