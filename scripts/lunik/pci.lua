--- m:pci(): what is on the PCI buses of a machine, as lspci shows it.

local core = require "lunik.core"

local pci = {}

local CLASSES = {
  [0x0000] = "Non-VGA unclassified device", [0x00ff] = "Unassigned class",
  [0x0100] = "SCSI storage controller", [0x0180] = "Mass storage controller",
  [0x0200] = "Ethernet controller", [0x0300] = "VGA compatible controller",
  [0x0500] = "RAM memory", [0x0600] = "Host bridge", [0x0601] = "ISA bridge",
  [0x0604] = "PCI bridge", [0x0680] = "Bridge", [0x0780] = "Communication controller",
}
local CAPABILITIES = {
  [0x01] = "power management", [0x05] = "MSI", [0x09] = "vendor specific", [0x11] = "MSI-X",
  [0x13] = "advanced features",
}
local BRIDGE = 1 -- header type

local function byte(f, offset) return f.config:byte(offset + 1) end
local function word(f, offset) return (string.unpack("<I2", f.config, offset + 1)) end
local function long(f, offset) return (string.unpack("<I4", f.config, offset + 1)) end

-- ---- contents ----------------------------------------------------------------------------------

-- Returns the base address registers that have a value: {index=, kind=, address=, prefetch=}.
local function bars_of(f)
  local found, index = {}, 0
  local count = f.header == BRIDGE and 2 or 6
  while index < count do
    local value = long(f, 0x10 + 4 * index)
    local bar = { index = index }
    if value & 1 == 1 then
      bar.kind, bar.address = "io", value & 0xfffffffc
    else
      local wide = value & 6 == 4
      bar.kind, bar.prefetch = wide and "memory64" or "memory32", value & 8 ~= 0
      bar.address = value & 0xfffffff0
      if wide and index + 1 < count then
        index = index + 1
        bar.address = bar.address | long(f, 0x10 + 4 * index) << 32
      end
    end
    if value ~= 0 then found[#found + 1] = bar end
    index = index + 1
  end
  return found
end

-- Returns the capabilities, {id=, offset=}. A list that a guest could bend has an end all the same.
local function capabilities_of(f)
  local found, seen = {}, {}
  local at = f.status & 0x10 ~= 0 and byte(f, 0x34) or 0
  while at >= 0x40 and at < 0xff and not seen[at] do
    seen[at] = true
    found[#found + 1] = { id = byte(f, at), offset = at }
    at = byte(f, at + 1)
  end
  return found
end

local Function = {}
Function.__index = Function

function Function:__tostring()
  return ("%s %s: %04x:%04x (rev %02x)"):format(self.address, CLASSES[self.class >> 8]
    or ("Class %04x"):format(self.class >> 8), self.vendor, self.device, self.revision)
end

--- The configuration space as `lspci -xxx` shows it.
function Function:dump()
  local lines = { tostring(self) }
  for at = 0, 0xf0, 16 do
    local hex = {}
    for i = at, at + 15 do hex[#hex + 1] = ("%02x"):format(byte(self, i)) end
    lines[#lines + 1] = ("%02x: %s"):format(at, table.concat(hex, " "))
  end
  return table.concat(lines, "\n")
end

-- Adds what the registers say.
local function describe(f, number)
  f.slot, f.fn = f.devfn >> 3, f.devfn & 7
  f.devfn, f.bus_number = nil, number
  f.address = ("%02x:%02x.%x"):format(number, f.slot, f.fn)
  f.vendor, f.device = word(f, 0), word(f, 2)
  f.command, f.status = word(f, 4), word(f, 6)
  f.revision, f.class = byte(f, 8), long(f, 8) >> 8
  f.header = byte(f, 0x0e) & 0x7f
  f.pin, f.line = byte(f, 0x3d), byte(f, 0x3c)
  f.bars, f.capabilities = bars_of(f), capabilities_of(f)
  return setmetatable(f, Function)
end

-- ---- the list ----------------------------------------------------------------------------------

local List = {}

function List:__tostring()
  local lines = {}
  for i, f in ipairs(self) do lines[i] = tostring(f) end
  return table.concat(lines, "\n")
end

local function detail(f)
  local lines = { tostring(f), ("\t%s, %s"):format(f.object.path, f.object.type) }
  for _, bar in ipairs(f.bars) do
    local what = bar.kind == "io" and "I/O ports" or
      ("Memory (%s-bit, %sprefetchable)"):format(bar.kind == "memory64" and 64 or 32,
        bar.prefetch and "" or "non-")
    lines[#lines + 1] = ("\tRegion %d: %s at %x"):format(bar.index, what, bar.address)
  end
  for _, c in ipairs(f.capabilities) do
    lines[#lines + 1] = ("\tCapabilities: [%02x] %s"):format(c.offset, CAPABILITIES[c.id]
      or ("id %02x"):format(c.id))
  end
  return table.concat(lines, "\n")
end

--- Returns a longer text: with regions and capabilities, or with all bytes.
function List:text(options)
  local parts = {}
  for i, f in ipairs(self) do parts[i] = options and options.bytes and f:dump() or detail(f) end
  return table.concat(parts, "\n\n")
end

List.__index = List

-- Returns the numbers that the guest has given to the buses, by the path of the bridge.
local function bus_numbers(functions)
  local numbers = {}
  for _, f in ipairs(functions) do
    if f.config:byte(0x0f) & 0x7f == BRIDGE then numbers[f.object.path] = byte(f, 0x19) end
  end
  return numbers
end

--- Returns all functions of a machine, in the order of their addresses.
function pci.list(m)
  local functions = core.pci_functions(m)
  local numbers = bus_numbers(functions)
  for _, f in ipairs(functions) do describe(f, numbers[f.bus] or 0) end
  table.sort(functions, function(a, b)
    if a.address ~= b.address then return a.address < b.address end
    return a.object.path < b.object.path
  end)
  return setmetatable(functions, List)
end

pci.Function, pci.List = Function, List

return pci
