--- The CPUs of the guest in Lua (lunik.guest): does what a kernel does for CPU hotplug.
--
-- Register layout: QEMU's docs/specs/acpi_cpu_hotplug.rst; _OST codes: ACPI 6.4, section 6.3.5.

local Cpus = {}
Cpus.__index = Cpus

-- Offsets in the register block.
local SELECT, FLAGS, COMMAND, DATA = 0x0, 0x4, 0x5, 0x8
-- Bits of the flags.
local ENABLED, INSERTED, REMOVING, EJECT = 1, 2, 4, 8
-- Commands.
local NEXT_WITH_EVENT, OST_EVENT, OST_STATUS, ARCH_ID = 0, 1, 2, 3
-- _OST source and status codes.
local DEVICE_CHECK, EJECT_REQUEST = 1, 3
local SUCCESS, FAILURE, EJECT_IN_PROGRESS, EJECT_DENIED = 0, 1, 0x84, 0x80

--- Returns the CPU side of a guest, or nil: the machine's CPUs can't be plugged.
function Cpus.new(guest)
    for _, object in ipairs(guest.machine:objects()) do
        if object.type == "acpi-cpu-hotplug" then
            return setmetatable({
                guest = guest, machine = guest.machine, base = object.iobase, gpe = object.gpe,
                online = {},
            }, Cpus)
        end
    end
end

function Cpus:select(cpu)
    self.machine:outl(self.base + SELECT, cpu)
end

function Cpus:command(command)
    self.machine:outb(self.base + COMMAND, command)
end

function Cpus:flags()
    return self.machine:inb(self.base + FLAGS)
end

--- Whether the firmware's tables name the CPU, as far as the registers show it: the first always.
function Cpus:exists(cpu)
    self:select(cpu)
    self:command(ARCH_ID)
    return cpu == 0 or self.machine:inl(self.base + DATA) ~= 0
end

--- Switches to the registers, and takes the CPUs that are there.
function Cpus:boot()
    self.guest:enable(self.gpe)
    self:select(0) -- switches from the bitmap
    self:select(0)
    self.online, self.count = {}, 0
    while self:exists(self.count) do
        self.online[self.count] = self:flags() & ENABLED ~= 0 or nil
        self.count = self.count + 1
    end
    self.guest:say("hotplug: %d CPUs", self.count)
end

--- Handles the events of all CPUs.
function Cpus:scan()
    while true do
        self:select(0)
        self:command(NEXT_WITH_EVENT)
        local flags = self:flags()
        if flags & (INSERTED | REMOVING) == 0 then return end
        local cpu = self.machine:inl(self.base + DATA)
        if flags & INSERTED ~= 0 then
            self.machine:outb(self.base + FLAGS, INSERTED)
            self:insert(cpu)
        else
            self.machine:outb(self.base + FLAGS, REMOVING)
            self:remove(cpu)
        end
    end
end

function Cpus:answer(cpu, source, status)
    self:select(cpu)
    self:command(OST_EVENT)
    self.machine:outl(self.base + DATA, source)
    self:command(OST_STATUS)
    self.machine:outl(self.base + DATA, status)
end

function Cpus:insert(cpu)
    self.guest:say("hotplug: CPU %d added", cpu)
    if self.guest:wants("refuse_insert", cpu, "CPU") then
        self.guest:say("hotplug: CPU %d refused", cpu)
        self:answer(cpu, DEVICE_CHECK, FAILURE)
        return
    end
    self.online[cpu] = true
    self:answer(cpu, DEVICE_CHECK, SUCCESS)
    self.guest:say("hotplug: CPU %d online", cpu)
end

function Cpus:remove(cpu)
    self.guest:say("hotplug: CPU %d eject requested", cpu)
    if self.guest:wants("refuse_eject", cpu, "CPU") then
        self.guest:say("hotplug: CPU %d eject refused", cpu)
        self:answer(cpu, EJECT_REQUEST, EJECT_DENIED)
        return
    end
    self:answer(cpu, EJECT_REQUEST, EJECT_IN_PROGRESS)
    self.online[cpu] = nil
    self:select(cpu)
    self.machine:outb(self.base + FLAGS, EJECT)
    self.guest:say("hotplug: CPU %d ejected", cpu)
end

return Cpus
