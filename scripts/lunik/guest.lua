--- A guest operating system in Lua, for machines without vCPUs.
--
-- It does what a kernel does for hotplug of memory, NVDIMMs (guest_nvdimm.lua), CPUs
-- (guest_cpus.lua) and PCI devices (guest_pci.lua), through the same registers: finds the fixed
-- hardware in the FADT, enables ACPI and the hotplug GPEs, handles the SCI, scans the slots, tests
-- new memory, gives new devices addresses, answers _OST and ejects or refuses. So every hotplug
-- scenario also runs with accel = "none", in milliseconds.
--
--     local guest = require("lunik.guest").attach(m, { log = print })
--
-- Register layout: QEMU's docs/specs/acpi_mem_hotplug.rst; ACPI 6.4 sections 4.8 and 5.2.9.

local Cpus = require "lunik.guest_cpus"
local lunik = require "lunik"
local Nvdimms = require "lunik.guest_nvdimm"
local Pci = require "lunik.guest_pci"

local Guest = {}
Guest.__index = Guest

-- Offsets in the register block.
local SELECT, NODE = 0x00, 0x10
local ADDRESS_LOW, ADDRESS_HIGH, SIZE_LOW, SIZE_HIGH = 0x00, 0x04, 0x08, 0x0c
local OST_EVENT, OST_STATUS, CONTROL = 0x04, 0x08, 0x14
-- Bits of the status and control byte.
local ENABLED, INSERTED, REMOVING, EJECT = 1, 2, 4, 8
-- _OST source and status codes.
local DEVICE_CHECK, EJECT_REQUEST = 1, 3
local SUCCESS, FAILURE, EJECT_IN_PROGRESS, EJECT_DENIED = 0, 1, 0x84, 0x80

local ACPI_MODE = 1 -- SCI_EN in PM1_CNT
local PAGE = 4096
local RESET_PORT, HARD, RESET = 0xcf9, 2, 4

local OPTIONS = {
    log = "function", refuse_insert = "any", refuse_eject = "any", pages = "number",
    base = "number", slots = "number", gpe = "number",
}

local function check_options(options)
    for key, value in pairs(options) do
        local want = OPTIONS[key]
        if not want then
            error(("guest: unknown option '%s'"):format(key), 3)
        end
        if want ~= "any" and type(value) ~= want then
            error(("guest: %s: %s is not a %s"):format(key, tostring(value), want), 3)
        end
    end
end

--- Reads the fixed hardware from the FADT.
local function find_hardware(m)
    local fadt = m:acpi_table("FACP")
    if not fadt then
        error("guest: the machine has no FADT, so there is nothing to take the SCI from", 3)
    end
    local sci, smi_command, enable = string.unpack("<I2I4B", fadt, 47)
    return {
        sci = sci, smi_command = smi_command, enable = enable,
        pm1_control = string.unpack("<I4", fadt, 65),
        gpe0 = string.unpack("<I4", fadt, 81),
        gpe0_half = string.unpack("B", fadt, 93) // 2,
    }
end

--- Finds the register block: its base, its slots and its GPE. A kernel gets these from the DSDT;
-- this guest asks the device instead of interpreting AML.
local function find_registers(m)
    for _, object in ipairs(m:objects()) do
        if object.type == "acpi-memory-hotplug" then
            return object
        end
    end
    return { iobase = 0xa00, gpe = 3, slots = 0 }
end

--- Starts the guest on machine m and returns it.
-- Options: log = function(line); refuse_insert and refuse_eject = true or function(slot, kind) that
-- returns whether to, where kind is "DIMM" or "CPU"; pages = how many pages of each DIMM to test
-- (default 64, spread over it); base, slots, gpe = another register block than the board's.
function Guest.attach(m, options)
    options = options or {}
    check_options(options)
    local registers = find_registers(m)
    local self = setmetatable({
        machine = m, hardware = find_hardware(m), options = options, log = options.log,
        base = options.base or registers.iobase, gpe = options.gpe or registers.gpe,
        slots = options.slots or registers.slots,
        online = {}, busy = false, again = false, booted = false,
    }, Guest)
    self.pci = Pci.new(self)
    self.cpus = Cpus.new(self)
    self.nvdimms = Nvdimms.new(self)
    local function run()
        self:run()
    end
    self.subscriptions = {
        m:on_irq(function(gsi, level)
            if gsi == self.hardware.sci and level then
                self:interrupt()
            end
        end),
        m:on_reset(function()
            self.booted = false
        end),
        m:on("started", run), m:on("resumed", run), m:on("reset", run),
    }
    self:run()
    return self
end

--- Ends the guest: it does not handle the machine's interrupts any more.
function Guest:detach()
    for _, subscription in ipairs(self.subscriptions) do
        subscription:off()
    end
    self.detached = true
end

function Guest:say(format, ...)
    if self.log then
        self.log(format:format(...))
    end
end

--- To be called when the machine starts to run: boots, unless it has booted, and scans for changes
-- made meanwhile.
function Guest:run()
    if self.machine.state ~= "running" then
        return
    end
    if not self.booted then
        self:boot()
    end
    self:interrupt()
end

--- Enables ACPI mode and the hotplug GPE, as a kernel does while it boots.
function Guest:boot()
    local m, hardware = self.machine, self.hardware
    if hardware.smi_command ~= 0 and m:inw(hardware.pm1_control) & ACPI_MODE == 0 then
        m:outb(hardware.smi_command, hardware.enable)
    end
    self.online = {}
    self.booted, self.fresh = true, true
    self:enable(self.gpe)
    self:say("hotplug: %d slots", self.slots)
    if self.pci then self.pci:boot() end
    if self.cpus then self.cpus:boot() end
    if self.nvdimms then self.nvdimms:boot() end
end

--- Enables a general-purpose event.
function Guest:enable(gpe)
    local enable = self.hardware.gpe0 + self.hardware.gpe0_half + gpe // 8
    self.machine:outb(enable, self.machine:inb(enable) | 1 << gpe % 8)
end

--- Handles the SCI soon: not inside the access that raised it, as on a CPU.
function Guest:interrupt()
    self.again = true
    if self.busy then
        return
    end
    self.busy = true
    lunik.spawn(function()
        local _ <close> = setmetatable({}, { __close = function() self.busy = false end })
        lunik.sleep(0)
        while self.again do
            self.again = false
            if not self.detached and self.machine.state == "running" then
                self:handle_sci()
            end
        end
    end)
end

--- Clears an event before the scan, so that one during the scan raises the SCI again.
function Guest:clear(gpe)
    self.machine:outb(self.hardware.gpe0 + gpe // 8, 1 << gpe % 8)
end

function Guest:handle_sci()
    self:clear(self.gpe)
    self:scan()
    if self.pci then
        self:clear(self.pci.gpe)
        self.pci:scan()
    end
    if self.cpus then
        self:clear(self.cpus.gpe)
        self.cpus:scan()
    end
    if self.nvdimms then
        self:clear(self.nvdimms.gpe)
        self.nvdimms:scan()
    end
end

function Guest:select(slot)
    self.machine:outl(self.base + SELECT, slot)
end

function Guest:status()
    return self.machine:inb(self.base + CONTROL)
end

--- Scans all slots; handles an insertion before a removal in the same slot. A kernel that has just
-- booted also takes memory that was plugged before, which raises no event.
function Guest:scan()
    local fresh = self.fresh
    self.fresh = false
    for slot = 0, self.slots - 1 do
        self:select(slot)
        local status = self:status()
        if status & INSERTED ~= 0 then
            self.machine:outb(self.base + CONTROL, INSERTED)
            self:insert(slot)
        elseif fresh and status & ENABLED ~= 0 then
            self:insert(slot)
        end
        self:select(slot)
        if self:status() & REMOVING ~= 0 then
            self.machine:outb(self.base + CONTROL, REMOVING)
            self:remove(slot)
        end
    end
end

function Guest:answer(slot, source, status)
    self:select(slot)
    self.machine:outl(self.base + OST_EVENT, source)
    self.machine:outl(self.base + OST_STATUS, status)
end

function Guest:read_slot(slot)
    local m, base = self.machine, self.base
    self:select(slot)
    return {
        address = m:inl(base + ADDRESS_LOW) | m:inl(base + ADDRESS_HIGH) << 32,
        size = m:inl(base + SIZE_LOW) | m:inl(base + SIZE_HIGH) << 32,
        node = m:inl(base + NODE),
    }
end

--- Whether an option, or what it returns for that slot of a "DIMM" or "CPU", is true.
function Guest:wants(name, slot, kind)
    local option = self.options[name]
    if type(option) == "function" then
        return option(slot, kind)
    end
    return option
end

--- Writes a pattern over pages spread across the memory, then reads it back.
function Guest:test(memory)
    local m = self.machine
    local pages = math.min(self.options.pages or 64, memory.size // PAGE)
    local stride = memory.size // pages // PAGE * PAGE
    for i = 0, pages - 1 do
        m:store(memory.address + i * stride, 8, ~(memory.address + i * stride))
    end
    for i = 0, pages - 1 do
        local at = memory.address + i * stride
        local value = m:load(at, 8)
        if value ~= ~at then
            return nil, ("0x%x reads 0x%x, not 0x%x"):format(at, value, ~at)
        end
    end
    return pages
end

function Guest:insert(slot)
    local memory = self:read_slot(slot)
    self:say("hotplug: slot %d added 0x%x size 0x%x node %d", slot, memory.address, memory.size,
        memory.node)
    if self:wants("refuse_insert", slot, "DIMM") then
        self:say("hotplug: slot %d refused", slot)
        self:answer(slot, DEVICE_CHECK, FAILURE)
        return
    end
    local pages, why = self:test(memory)
    if not pages then
        self:say("hotplug: slot %d failed: %s", slot, why)
        self:answer(slot, DEVICE_CHECK, FAILURE)
        return
    end
    self.online[slot] = memory
    self:say("hotplug: slot %d tested %d pages ok", slot, pages)
    self:answer(slot, DEVICE_CHECK, SUCCESS)
    self:say("hotplug: slot %d accepted", slot)
end

function Guest:remove(slot)
    self:say("hotplug: slot %d eject requested", slot)
    if self:wants("refuse_eject", slot, "DIMM") then
        self:say("hotplug: slot %d eject refused", slot)
        self:answer(slot, EJECT_REQUEST, EJECT_DENIED)
        return
    end
    self:answer(slot, EJECT_REQUEST, EJECT_IN_PROGRESS)
    self.online[slot] = nil
    self:select(slot)
    self.machine:outb(self.base + CONTROL, EJECT)
    self:say("hotplug: slot %d ejected", slot)
end

--- Whether the guest has something to do: an interrupt to handle, slots to look at.
function Guest:is_busy()
    return self.busy or self.again
end

--- How much memory the guest has, in bytes: what the firmware reports, and accepted DIMMs.
function Guest:total()
    local total = 0
    for _, range in ipairs(self.machine:fwmap()) do
        total = total + (range.type == "ram" and range.size or 0)
    end
    for _, memory in pairs(self.online) do
        total = total + memory.size
    end
    return total
end

--- Reboots the machine by the chipset's reset register; it is reset soon afterwards.
function Guest:reboot()
    self.machine:outb(RESET_PORT, HARD)
    self.machine:outb(RESET_PORT, HARD | RESET)
end

--- Writes a word into each page of a range.
function Guest:fill(address, size, seed)
    for at = address, address + size - PAGE, PAGE do
        self.machine:store(at, 8, at ~ (seed or 0))
    end
end

--- Reads those words back. Returns true, or nil and where one differs.
function Guest:verify(address, size, seed)
    for at = address, address + size - PAGE, PAGE do
        local value = self.machine:load(at, 8)
        if value ~= at ~ (seed or 0) then
            return nil, ("0x%x reads 0x%x, not 0x%x"):format(at, value, at ~ (seed or 0))
        end
    end
    return true
end

return Guest
