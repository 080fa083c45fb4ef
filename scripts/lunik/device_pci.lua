--- PCI devices that scripts define: the `pci` of lunik.device{} and dev.pci.

local core = require "lunik.core"
local options = require "lunik.options"

local fail = options.fail

local device_pci = {}

-- ---- definitions -------------------------------------------------------------------------------

local fields = {
  vendor = "integer", device = "integer", class = "integer", revision = "integer",
  subsystem_vendor = "integer", subsystem = "integer", pin = "integer", bars = "table",
  rom = "table", msi = "any", msix = "any", capabilities = "table", function_reset = "boolean",
}
local bar_fields = {
  index = "integer", kind = "string", size = "any", name = "string", memdev = "string",
  read = "function", write = "function", peek = "function", valid = "table", impl = "table",
  endian = "string",
}
local rom_fields = { size = "size", read = "function", data = "string" }
local msi_fields = { vectors = "integer", masks = "boolean" }
local msix_fields = { vectors = "integer", bar = "integer", table = "size", pba = "size" }
local capability_fields = { id = "integer", data = "string" }

local LIMITS = {
  vendor = 0xffff, device = 0xffff, class = 0xffffff, revision = 0xff, subsystem_vendor = 0xffff,
  subsystem = 0xffff, pin = 4,
}
local KINDS = { "io", "mem32", "mem64", "mem32-prefetch", "mem64-prefetch" }

local function check_range(what, value, last)
  if value and (value < 0 or value > last) then
    fail("invalid", "%s: 0x%x is out of range (want 0 to 0x%x)", what, value, last)
  end
end

local function check_bar(what, bar)
  bar = options.parse(what, bar, bar_fields)
  if not bar.index then fail("invalid", "%s: index: is missing (want 0 to 5)", what) end
  check_range(what .. ": index", bar.index, 5)
  options.choice(what .. ": kind", bar.kind or "mem32", KINDS)
  if not bar.size and not bar.memdev then
    fail("invalid", "%s: size: is missing (want a power of two)", what)
  end
  bar.kind = bar.kind or "mem32"
  return bar
end

local function check_parts(what, def)
  def.bars, def.capabilities = def.bars or {}, def.capabilities or {}
  for i, bar in ipairs(def.bars) do
    def.bars[i] = check_bar(("%s: bars: [%d]"):format(what, i), bar)
  end
  for i, capability in ipairs(def.capabilities) do
    local where = ("%s: capabilities: [%d]"):format(what, i)
    def.capabilities[i] = options.parse(where, capability, capability_fields)
    options.value(where .. ": id", capability.id, "integer")
    options.value(where .. ": data", capability.data, "string")
  end
  def.rom = def.rom and options.parse(what .. ": rom", def.rom, rom_fields)
  if math.type(def.msi) then def.msi = { vectors = def.msi } end
  if math.type(def.msix) then def.msix = { vectors = def.msix } end
  def.msi = def.msi and options.parse(what .. ": msi", def.msi, msi_fields)
  def.msix = def.msix and options.parse(what .. ": msix", def.msix, msix_fields)
end

--- Checks the `pci` of a definition; returns it with what was not given.
function device_pci.check(name, given)
  local what = ("device: %s: pci"):format(name)
  local def = options.parse(what, given, fields)
  for _, key in ipairs { "vendor", "device" } do
    if not def[key] then fail("invalid", "%s: %s: is missing (want a number)", what, key) end
  end
  for key, last in pairs(LIMITS) do check_range(("%s: %s"):format(what, key), def[key], last) end
  def.class = def.class or 0xff0000
  def.pin = def.pin or 1
  def.function_reset = def.function_reset ~= false
  local bars, capabilities = def.bars, def.capabilities
  def.bars = bars and table.move(bars, 1, #bars, 1, {})
  def.capabilities = capabilities and table.move(capabilities, 1, #capabilities, 1, {})
  check_parts(what, def)
  return def
end

-- ---- instances ---------------------------------------------------------------------------------

local Pci = {}
Pci.__index = Pci
Pci.__name = "lunik.DevPci"
device_pci.Pci = Pci

local function access(dev, fn)
  return fn and function(...) return fn(dev, ...) end
end

local function size_of(dev, what, size)
  if type(size) == "function" then size = size(dev) end
  if type(size) == "string" and not size:find "^%d" then size = dev.object:get(size) end
  return options.value(what .. ": size", size, "size")
end

local function add_bar(dev, bar)
  local what = ("%s: BAR %d"):format(dev.object.type, bar.index)
  local memdev = bar.memdev and dev.machine:object(dev.object:get(bar.memdev))
  local region = dev.machine:region {
    kind = memdev and "ram" or "io", name = bar.name or dev.object.type, owner = dev.object,
    size = memdev and not bar.size and memdev.size or size_of(dev, what, bar.size),
    memdev = memdev or nil, read = access(dev, bar.read), write = access(dev, bar.write),
    peek = access(dev, bar.peek), valid = bar.valid, impl = bar.impl, endian = bar.endian,
  }
  core.pci_bar(dev.object, bar.index, bar.kind, region)
  return region
end

-- A ROM reads as data, then zeros; or as what its function returns.
local function rom_read(rom)
  local data = rom.data
  return rom.read or function(_, offset, size)
    local part = data:sub(offset + 1, offset + size)
    return (string.unpack("<I" .. size, part .. ("\0"):rep(size - #part)))
  end
end

local function add_rom(dev, rom)
  local size = rom.size
  if not size then
    size = 2048
    while size < #(rom.data or "") do size = size * 2 end
  end
  local region = dev.machine:region {
    kind = "io", name = dev.object.type .. "-rom", owner = dev.object, size = size,
    read = access(dev, rom_read(rom)), write = function() end,
  }
  core.pci_rom(dev.object, region)
  return region
end

-- The first BAR that the device does not have: for the table of MSI-X where nothing is said.
local function free_bar(def)
  local taken, index = {}, 0
  for _, bar in ipairs(def.bars) do
    taken[bar.index] = true
    if bar.kind:find "64" then taken[bar.index + 1] = true end
  end
  while taken[index] do index = index + 1 end
  return index
end

--- Makes the parts of a device that is being made; returns dev.pci.
function device_pci.open(dev, def)
  local self = setmetatable({ object = dev.object, bars = {} }, Pci)
  for _, bar in ipairs(def.bars) do self.bars[bar.index] = add_bar(dev, bar) end
  if def.rom then self.rom = add_rom(dev, def.rom) end
  if def.msi then core.pci_msi(dev.object, def.msi.vectors or 1, def.msi.masks) end
  local msix = def.msix
  if msix then
    local vectors = msix.vectors or 1
    core.pci_msix(dev.object, vectors, msix.bar or free_bar(def), msix.table or 0,
      msix.pba or 16 * vectors)
  end
  for _, capability in ipairs(def.capabilities) do
    core.pci_capability(dev.object, capability.id, capability.data)
  end
  return self
end

--- Asserts the interrupt pin (true), or lowers it.
function Pci:intx(level) core.pci_intx(self.object, level) end

--- Sends the message of a vector of MSI or MSI-X.
function Pci:send(vector) core.pci_send(self.object, vector or 0) end

--- How many vectors the guest has turned on; 0: the device uses its pin.
function Pci:vectors() return core.pci_vectors(self.object) end

--- Reads guest memory as a bus master. Returns nil and a code where that fails.
function Pci:read(address, size) return core.pci_read(self.object, address, size) end

--- Writes guest memory. Returns true, or nil and a code.
function Pci:write(address, bytes) return core.pci_write(self.object, address, bytes) end

return device_pci
