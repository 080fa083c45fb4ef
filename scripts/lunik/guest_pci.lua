--- What lunik.guest does for PCI: numbers the buses, gives base address registers their places, and
-- answers hotplug through the registers of QEMU's docs/specs/acpi_pci_hotplug.rst.
--
-- A kernel learns from the DSDT where the registers are, which bus has which number in them and
-- what its windows are; this guest asks the machine's devices instead of interpreting AML.

local Pci = {}
Pci.__index = Pci

-- Offsets in the register block.
local UP, DOWN, EJECT, BUS = 0x00, 0x04, 0x08, 0x10
local INDEX, OST_EVENT, OST_STATUS = 0x14, 0x18, 0x1c
-- _OST source and status codes.
local DEVICE_CHECK, EJECT_REQUEST = 1, 3
local SUCCESS, FAILURE, EJECT_DENIED = 0, 1, 0x80
-- Configuration space.
local COMMAND, CLASS, HEADER, BAR0 = 0x04, 0x08, 0x0e, 0x10
local PRIMARY, IO_BASE, MEMORY_BASE, PREFETCH_BASE = 0x18, 0x1c, 0x20, 0x24
local DECODE_AND_MASTER = 7
local BRIDGE = 0x0604
local MiB = 1 << 20
-- The share of each bridge in its parent's windows.
local BRIDGE_IO, BRIDGE_MEMORY = 0x1000, 256 * MiB -- a quarter for each level

local function find(m, type)
    for _, object in ipairs(m:objects()) do
        if object.type == type then return object end
    end
end

--- Returns the PCI part of a guest; nil if the machine has no PCI hotplug.
function Pci.new(guest)
    local registers = find(guest.machine, "acpi-pci-hotplug")
    if not registers then return nil end
    return setmetatable({
        guest = guest, machine = guest.machine, base = registers.iobase, gpe = registers.gpe,
        host = find(guest.machine, "i440fx"), functions = {},
    }, Pci)
end

-- ---- configuration space -----------------------------------------------------------------------

function Pci:select(at, offset)
    self.machine:outl(0xcf8, 0x80000000 | at.bus << 16 | at.slot << 11 | at.fn << 8 | offset & 0xfc)
    return 0xcfc + (offset & 3)
end

function Pci:read(at, offset, size)
    local port = self:select(at, offset)
    if size == 1 then return self.machine:inb(port) end
    if size == 2 then return self.machine:inw(port) end
    return self.machine:inl(port)
end

function Pci:write(at, offset, size, value)
    local port = self:select(at, offset)
    if size == 1 then return self.machine:outb(port, value) end
    if size == 2 then return self.machine:outw(port, value) end
    self.machine:outl(port, value & 0xffffffff)
end

local function key(at)
    return ("%02x:%02x.%x"):format(at.bus, at.slot, at.fn)
end

-- ---- addresses ---------------------------------------------------------------------------------

--- A window, from which places are given, each a multiple of its size.
local function window(first, last)
    return { next = first, last = last }
end

local function take(from, size)
    local at = from and (from.next + size - 1) // size * size
    if not at or from.last == 0 or at + size - 1 > from.last then return nil end
    from.next = at + size
    return at
end

local function root_windows(host)
    return {
        io = window(0xc000, 0xffff),
        memory = window(host.mmio_base, host.mmio_last),
        memory64 = window(host.mmio64_base, host.mmio64_last),
    }
end

--- Returns the base address registers, {index=, kind=, size=, wide=}, whose sizes it finds out.
function Pci:probe(at)
    local bars, index = {}, 0
    while index < 6 do
        local offset = BAR0 + 4 * index
        local held = self:read(at, offset, 4)
        self:write(at, offset, 4, 0xffffffff)
        local mask = self:read(at, offset, 4)
        self:write(at, offset, 4, held)
        if mask ~= 0 then
            local io, wide = mask & 1 == 1, mask & 7 == 4
            local bits = mask & (io and 0xfffffffc or 0xfffffff0) | 0xffffffff00000000
            if wide then
                self:write(at, offset + 4, 4, 0xffffffff)
                bits = bits & 0xffffffff | self:read(at, offset + 4, 4) << 32
            end
            bars[#bars + 1] = {
                index = index, kind = io and "io" or "memory", wide = wide, size = -bits,
            }
            index = wide and index + 1 or index
        end
        index = index + 1
    end
    return bars
end

--- Gives a function's registers their places: those with 64 bits above 4 GiB, if there is room.
function Pci:place(f, windows)
    for _, bar in ipairs(f.bars) do
        local at = bar.wide and take(windows.memory64, bar.size)
            or take(windows[bar.kind], bar.size)
        if not at then return nil, ("no room for BAR %d of %s"):format(bar.index, key(f)) end
        bar.address = at
        self:write(f, BAR0 + 4 * bar.index, 4, at)
        if bar.wide then self:write(f, BAR0 + 4 * bar.index + 4, 4, at >> 32) end
    end
    self:write(f, COMMAND, 2, DECODE_AND_MASTER)
    return true
end

-- ---- enumeration -------------------------------------------------------------------------------

--- Returns the functions of a slot.
function Pci:slot_functions(bus, slot)
    local found = {}
    for fn = 0, 7 do
        local at = { bus = bus.number, slot = slot, fn = fn }
        local id = self:read(at, 0, 4)
        if id & 0xffff ~= 0xffff then
            at.vendor, at.device = id & 0xffff, id >> 16
            at.class = self:read(at, CLASS, 4) >> 16
            found[#found + 1] = at
        end
        if fn == 0 and (#found == 0 or self:read(at, HEADER, 1) & 0x80 == 0) then break end
    end
    return found
end

--- Takes a bridge's window out of its parent's; one that is closed where there is no room.
local function inner(from, size)
    local at = take(from, size)
    return at and window(at, at + size - 1) or window(1, 0)
end

--- Gives a bridge its bus number and windows, and looks behind it.
function Pci:open_bridge(f, bus)
    local number, depth = #self.buses + 1, bus.depth + 1
    local windows = {
        io = inner(bus.windows.io, BRIDGE_IO),
        memory = inner(bus.windows.memory, BRIDGE_MEMORY >> 2 * depth),
    }
    local behind = { number = number, depth = depth, windows = windows }
    local io, memory = windows.io, windows.memory
    self.buses[number] = behind
    self:write(f, PRIMARY, 4, bus.number | number << 8 | 0xff0000)
    self:write(f, IO_BASE, 2, io.last == 0 and 0x00f0 or (io.next >> 8) * 0x101 & 0xf0f0)
    self:write(f, MEMORY_BASE, 4, memory.last == 0 and 0x0000fff0
        or memory.next >> 16 | memory.last >> 16 << 16)
    self:write(f, PREFETCH_BASE, 4, 0x0000fff0)
    self:write(f, COMMAND, 2, DECODE_AND_MASTER)
    self:look(behind)
    self:write(f, PRIMARY + 2, 1, #self.buses)
end

function Pci:look(bus)
    for slot = 0, 31 do
        for _, f in ipairs(self:slot_functions(bus, slot)) do
            self.functions[key(f)] = f
            if f.class == BRIDGE then self:open_bridge(f, bus) end
        end
    end
end

--- Returns the buses with slots by their numbers in the registers, which are those of the bridges'
-- creation.
function Pci:selectors()
    local numbers, list = {}, { [0] = self.buses[0] }
    for _, f in ipairs(self.machine:pci()) do
        numbers[f.object.path] = f.config:byte(PRIMARY + 2)
    end
    for _, object in ipairs(self.machine:objects()) do
        if object.type == "pci-bridge" then list[#list + 1] = self.buses[numbers[object.path]] end
    end
    for selector = 0, #list do list[selector].selector = selector end
    return list
end

--- Numbers the buses, opens the bridges and turns the event on. Devices that are there already stay
-- where firmware put them.
function Pci:boot()
    self.functions = {}
    self.buses = { [0] = { number = 0, depth = 0, windows = root_windows(self.host) } }
    self:look(self.buses[0])
    self.slots = self:selectors()
    self.guest:enable(self.gpe)
end

--- The functions that the guest has found, by address.
function Pci:list()
    local list = {}
    for _, f in pairs(self.functions) do list[#list + 1] = f end
    table.sort(list, function(a, b) return key(a) < key(b) end)
    return list
end

-- ---- hotplug -----------------------------------------------------------------------------------

function Pci:answer(bus, slot, source, status)
    self.machine:outl(self.base + BUS, bus.selector)
    self.machine:outl(self.base + INDEX, 1 << slot)
    self.machine:outl(self.base + OST_EVENT, source)
    self.machine:outl(self.base + OST_STATUS, status)
end

function Pci:insert(bus, slot)
    local functions = self:slot_functions(bus, slot)
    self.guest:say("pci: %02x:%02x added, %d functions", bus.number, slot, #functions)
    if #functions == 0 or self.guest:wants("refuse_insert", slot) then
        return self:answer(bus, slot, DEVICE_CHECK, FAILURE)
    end
    for _, f in ipairs(functions) do
        f.bars = self:probe(f)
        local ok, why = self:place(f, bus.windows)
        if not ok then
            self.guest:say("pci: %s", why)
            return self:answer(bus, slot, DEVICE_CHECK, FAILURE)
        end
        self.functions[key(f)] = f
        self.guest:say("pci: %s is [%04x:%04x]", key(f), f.vendor, f.device)
    end
    self:answer(bus, slot, DEVICE_CHECK, SUCCESS)
end

function Pci:remove(bus, slot)
    if self.guest:wants("refuse_eject", slot) then
        self.guest:say("pci: %02x:%02x eject refused", bus.number, slot)
        return self:answer(bus, slot, EJECT_REQUEST, EJECT_DENIED)
    end
    for fn = 0, 7 do
        local at = { bus = bus.number, slot = slot, fn = fn }
        if self.functions[key(at)] then self:write(at, COMMAND, 2, 0) end
        self.functions[key(at)] = nil
    end
    self.machine:outl(self.base + BUS, bus.selector)
    self.machine:outl(self.base + EJECT, 1 << slot)
    self:answer(bus, slot, EJECT_REQUEST, SUCCESS)
    self.guest:say("pci: %02x:%02x ejected", bus.number, slot)
end

--- Looks at all slots for what has happened.
function Pci:scan()
    for selector = 0, #self.slots do
        local bus = self.slots[selector]
        self.machine:outl(self.base + BUS, selector)
        local up, down = self.machine:inl(self.base + UP), self.machine:inl(self.base + DOWN)
        for slot = 0, 31 do
            if up >> slot & 1 == 1 then self:insert(bus, slot) end
            if down >> slot & 1 == 1 then self:remove(bus, slot) end
        end
    end
end

return Pci
