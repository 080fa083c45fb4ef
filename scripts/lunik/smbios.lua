--- SMBIOS tables (DMTF DSP0134, version 3.0) of a PC.

local lunik_version = require("lunik.core").version
local options = require "lunik.options"

local smbios = {}

local MiB, GiB = 1 << 20, 1 << 30
local DIMM_SIZE = 16 * GiB -- how memory is divided into devices
local NO_HANDLE, NO_ERRORS = 0xffff, 0xfffe

-- Handles: the first of each type.
local BOARD, CHASSIS, ARRAY = 0x200, 0x300, 0x1000

--- The options, all strings; library/lunik.lua describes them.
smbios.options = {
  manufacturer = true, product = true, version = true, serial = true, uuid = true, sku = true,
  family = true, asset = true, bios_vendor = true, bios_version = true, bios_date = true,
  entry = true,
}

local function check_text(name, value)
  local what = "smbios: " .. name
  options.value(what, value, "string")
  if #value > 64 or value:find "[^ -~]" then
    options.fail("invalid", "%s: '%s' is not possible (want at most 64 characters, ASCII)", what,
      value)
  end
end

--- Returns the 16 bytes of a UUID: the first three groups have their lowest byte first.
function smbios.uuid(text)
  local a, b, c, d, e = text:match "^(%x+)%-(%x+)%-(%x+)%-(%x+)%-(%x+)$"
  if not (a and #a == 8 and #b == 4 and #c == 4 and #d == 4 and #e == 12) then
    options.fail("invalid", "smbios: uuid: '%s' is not a UUID (want one like "
      .. "'12345678-9abc-def0-1234-56789abcdef0')", text)
  end
  local tail = (d .. e):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
  return ("<I4I2I2"):pack(tonumber(a, 16), tonumber(b, 16), tonumber(c, 16)) .. tail
end

--- Checks options.
function smbios.check(given)
  options.known("smbios", options.table("smbios", given), smbios.options)
  for name, value in pairs(given) do check_text(name, value) end
  options.choice("smbios: entry", given.entry or "64", { "64", "32" })
  smbios.uuid(given.uuid or "00000000-0000-0000-0000-000000000000")
end

-- ---- structures --------------------------------------------------------------------------------

-- Collects the strings of a structure; call it with a text to get its number.
local function new_strings()
  local list = {}
  return function(text)
    if not text or text == "" then return 0 end
    list[#list + 1] = text
    return #list
  end, list
end

-- Appends a structure: the values of `format` follow its type, length and handle.
local function put(tables, kind, handle, strings, format, ...)
  local size = 4 + format:packsize()
  local head = ("<BBI2"):pack(kind, size, handle) .. format:pack(...)
  local text = #strings > 0 and table.concat(strings, "\0") .. "\0\0" or "\0\0"
  tables[#tables + 1] = head .. text
end

local function put_bios(tables, opt)
  local s, list = new_strings()
  put(tables, 0, 0, list, "<BBI2BBI8BBBBBB", s(opt.bios_vendor or "Lunik"),
    s(opt.bios_version or lunik_version), 0xe800, s(opt.bios_date or "01/01/2026"), 0,
    1 << 3,     -- characteristics are not given
    0, 1 << 4,  -- a virtual machine
    0, 0, 0xff, 0xff)
end

local function put_system(tables, opt, uuid)
  local s, list = new_strings()
  put(tables, 1, 0x100, list, "<BBBBc16BBB", s(opt.manufacturer), s(opt.product), s(opt.version),
    s(opt.serial), uuid, 6, s(opt.sku), s(opt.family)) -- 6: woken by the power switch
end

local function put_board(tables, opt)
  local s, list = new_strings()
  put(tables, 2, BOARD, list, "<BBBBBBBI2BB", s(opt.manufacturer), s(opt.product), s(opt.version),
    s(opt.serial), s(opt.asset), 1, 0, CHASSIS, 0x0a, 0) -- a hosting board, a motherboard
end

local function put_chassis(tables, opt)
  local s, list = new_strings()
  put(tables, 3, CHASSIS, list, "<BBBBBBBBBI4BBBBB", s(opt.manufacturer), 1, s(opt.version),
    s(opt.serial), s(opt.asset), 3, 3, 3, 2, 0, 0, 0, 0, 0, s(opt.sku)) -- other; safe; unknown
end

local function put_processor(tables, opt, machine, socket)
  local s, list = new_strings()
  local cores, threads = machine.cores, machine.cores * machine.threads
  put(tables, 4, 0x400 + socket, list, "<BBBBI8BBI2I2I2BBI2I2I2BBBBBBI2I2I2I2I2",
    s(("CPU %d"):format(socket)), 3, 0xfe, s(opt.manufacturer), 0, s(opt.version), 0, 0, 0, 0,
    0x41, 1, -- populated and enabled; no socket that has a number
    NO_HANDLE, NO_HANDLE, NO_HANDLE, 0, 0, 0,
    math.min(cores, 255), math.min(cores, 255), math.min(threads, 255), 1 << 2, 1,
    cores, cores, threads) -- 64 bits; family: other
end

local function put_array(tables, size, count)
  local kib = size // 1024
  put(tables, 16, ARRAY, {}, "<BBBI4I2I2I8", 1, 3, 3, kib < 0x80000000 and kib or 0x80000000,
    NO_ERRORS, count, kib < 0x80000000 and 0 or size) -- system memory without error correction
end

local function put_dimm(tables, opt, index, size)
  local s, list = new_strings()
  local mib = (size + MiB - 1) // MiB
  put(tables, 17, 0x1100 + index, list, "<I2I2I2I2I2BBBBBI2I2BBBBBI4I2I2I2I2", ARRAY, NO_ERRORS,
    NO_HANDLE, NO_HANDLE, mib < 0x7fff and mib or 0x7fff, 9, 0, s(("DIMM %d"):format(index)), 0, 7,
    2, 0, s(opt.manufacturer), 0, 0, 0, 0, mib < 0x7fff and 0 or mib, 0, 0, 0, 0)
end

local function put_range(tables, index, base, size)
  local first, last = base // 1024, (base + size - 1) // 1024
  local long = last >= 0xffffffff
  put(tables, 19, 0x1300 + index, {}, "<I4I4I2BI8I8", long and 0xffffffff or first,
    long and 0xffffffff or last, ARRAY, 1, long and base or 0, long and base + size - 1 or 0)
end

local function put_memory(tables, opt, ranges)
  local total = 0
  for _, range in ipairs(ranges) do total = total + range.size end
  local count = (total + DIMM_SIZE - 1) // DIMM_SIZE
  put_array(tables, total, count)
  for i = 0, count - 1 do
    put_dimm(tables, opt, i, math.min(total - i * DIMM_SIZE, DIMM_SIZE))
  end
  for i, range in ipairs(ranges) do put_range(tables, i - 1, range.base, range.size) end
end

-- ---- the whole ---------------------------------------------------------------------------------

-- Sets the byte at `at` so that the sum of those from `first` on is 0.
local function with_checksum(bytes, first, at)
  local sum = 0
  for i = first, #bytes do sum = sum + bytes:byte(i) end
  return bytes:sub(1, at - 1) .. string.char(-sum & 0xff) .. bytes:sub(at + 1)
end

-- Returns how many structures there are, and the size of the longest.
local function measure(tables)
  local at, count, longest = 1, 0, 0
  while at <= #tables do
    local after = tables:match("\0\0()", at + tables:byte(at + 1))
    count, longest = count + 1, math.max(longest, after - at)
    at = after
  end
  return count, longest
end

local function old_anchor(tables, address)
  if #tables > 0xffff then
    options.fail("unsupported", "smbios: entry: '32' allows tables of 65535 bytes (these have %d; "
      .. "want 64)", #tables)
  end
  local count, longest = measure(tables)
  local bytes = ("<c4BBBBI2Bc5c5BI2I4I2B"):pack("_SM_", 0, 31, 2, 8, longest, 0, ("\0"):rep(5),
    "_DMI_", 0, #tables, address, count, 0x28)
  return with_checksum(with_checksum(bytes, 17, 22), 1, 5)
end

--- Returns the entry point of tables at an address: as option `entry` says, that of version 3.0, or
-- of 2.8.
function smbios.anchor(tables, address, entry)
  if entry == "32" then return old_anchor(tables, address) end
  return with_checksum(("<c5BBBBBBBI4I8"):pack("_SM3_", 0, 24, 3, 0, 0, 1, 0, #tables, address), 1,
    6)
end

--- Returns the tables. given: the options; machine: {sockets=, cores=, threads=, memory = {{base=,
-- size=}, ...}, bios = true for a table about the BIOS, which firmware else adds itself}.
function smbios.tables(given, machine)
  local opt = { manufacturer = "Lunik", product = "PC (i440FX)", version = lunik_version }
  for name, value in pairs(given) do opt[name] = value end
  local uuid = smbios.uuid(opt.uuid or "00000000-0000-0000-0000-000000000000")
  local tables = {}
  if machine.bios or opt.bios_vendor or opt.bios_version or opt.bios_date then
    put_bios(tables, opt)
  end
  put_system(tables, opt, uuid)
  put_board(tables, opt)
  put_chassis(tables, opt)
  for socket = 0, machine.sockets - 1 do put_processor(tables, opt, machine, socket) end
  put_memory(tables, opt, machine.memory)
  put(tables, 32, 0x2000, {}, "<c6B", ("\0"):rep(6), 0) -- no errors at boot
  put(tables, 127, 0x7f00, {}, "")
  return table.concat(tables)
end

return smbios
