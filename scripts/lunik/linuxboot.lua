--- A Linux kernel that firmware boots: the items that the option ROM linuxboot_dma.bin reads, which
-- comes with QEMU (Debian's qemu-system-data).

local options = require "lunik.options"

local linuxboot = {}

linuxboot.ROM = "/usr/share/qemu/linuxboot_dma.bin"
linuxboot.NAME = "genroms/linuxboot_dma.bin"

local SECTOR = 512
local REAL, CMDLINE, PROTECTED = 0x10000, 0x20000, 0x100000
local FIRMWARE_TABLES = 0x28000 -- what firmware takes at the end of RAM
local LOADER = 0xb0             -- the number that stands for such loaders

local KEY = {
  KERNEL_ADDR = 0x07, KERNEL_SIZE = 0x08, INITRD_ADDR = 0x0a, INITRD_SIZE = 0x0b,
  KERNEL_DATA = 0x11, INITRD_DATA = 0x12, CMDLINE_ADDR = 0x13, CMDLINE_SIZE = 0x14,
  CMDLINE_DATA = 0x15, SETUP_ADDR = 0x16, SETUP_SIZE = 0x17, SETUP_DATA = 0x18,
}

-- Returns the setup part and the rest, and the version of the boot protocol.
local function split(path, image)
  local sectors = image:byte(0x1f2)
  if image:sub(0x203, 0x206) ~= "HdrS" or #image < 0x260 then
    options.fail("invalid", "kernel: '%s' is no bzImage (want one, as firmware is to boot it)",
      path)
  end
  local size = ((sectors == 0 and 4 or sectors) + 1) * SECTOR
  local version = ("<I2"):unpack(image, 0x207)
  if version < 0x203 or image:byte(0x212) & 1 == 0 or size >= #image then
    options.fail("unsupported", "kernel: '%s' has boot protocol 0x%x and %d bytes (want 0x203 or "
      .. "more, loaded high, and more than %d)", path, version, #image, size)
  end
  return image:sub(1, size), image:sub(size + 1)
end

-- Returns text with the packed values put in: {offset, format, value}, ...
local function patch(text, ...)
  for _, p in ipairs { ... } do
    local bytes = p[2]:pack(p[3])
    text = text:sub(1, p[1]) .. bytes .. text:sub(p[1] + #bytes + 1)
  end
  return text
end

-- Adds an item's data, its address and size.
local function add(m, name, address, data)
  m:fw_cfg_add(KEY[name .. "_ADDR"], ("<I4"):pack(address))
  m:fw_cfg_add(KEY[name .. "_SIZE"], ("<I4"):pack(#data))
  m:fw_cfg_add(KEY[name .. "_DATA"], data)
end

local function place_initrd(setup, path, initrd, low)
  local last = math.min(("<I4"):unpack(setup, 0x22d), low - FIRMWARE_TABLES - 1)
  local address = (last + 1 - #initrd) & ~4095
  if address < 16 << 20 then
    options.fail("no-space", "initrd: '%s', %d bytes, does not fit below 0x%x", path, #initrd, last)
  end
  return address
end

--- Adds the kernel of a machine with `low` bytes of RAM below 4 GiB, and the ROM that boots it.
-- boot: {kernel=, initrd=, cmdline=}.
function linuxboot.add(m, boot, low)
  local setup, kernel = split(boot.kernel, options.read("kernel", boot.kernel))
  local cmdline = (boot.cmdline or "") .. "\0"
  if #cmdline > 0xf000 then
    options.fail("invalid", "cmdline: %d characters are too many (want less than %d)", #cmdline - 1,
      0xf000)
  end
  local initrd = boot.initrd and options.read("initrd", boot.initrd) or ""
  local address = boot.initrd and place_initrd(setup, boot.initrd, initrd, low) or 0
  setup = patch(setup, { 0x228, "<I4", CMDLINE }, { 0x210, "B", LOADER },
    { 0x211, "B", setup:byte(0x212) | 0x80 }, { 0x224, "<I2", CMDLINE - REAL - 0x200 },
    { 0x218, "<I4", address }, { 0x21c, "<I4", #initrd })
  local rom = options.read("kernel: the ROM that boots it (Debian package qemu-system-data)",
    linuxboot.ROM)
  add(m, "CMDLINE", CMDLINE, cmdline)
  add(m, "INITRD", address, initrd)
  add(m, "KERNEL", PROTECTED, kernel)
  add(m, "SETUP", REAL, setup)
  m:fw_cfg_add(linuxboot.NAME, rom)
end

return linuxboot
