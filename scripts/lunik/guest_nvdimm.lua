--- What lunik.guest does for NVDIMMs: reads the structures that name them when it boots and when
-- general-purpose event 4 asks for it, and calls the functions that a kernel calls through _DSM.
--
-- Page and port: QEMU's docs/specs/acpi_nvdimm.rst; structures: ACPI 6.0, section 5.2.25. A kernel
-- learns from the methods in the DSDT where the page is, and so does this guest; it asks the
-- machine's device for the port.

local Nvdimms = {}
Nvdimms.__index = Nvdimms

local FIT_HANDLE, READ_FIT, REVISION = 0x10000, 1, 1
local CHANGED = 0x100 -- status: the structures changed while they were read
local RANGE, MAP = 0, 1
local NOT_ARMED = 8

--- Returns the NVDIMM side of a guest, or nil: the machine can have none.
function Nvdimms.new(guest)
    for _, object in ipairs(guest.machine:objects()) do
        if object.type == "acpi-nvdimm" then
            return setmetatable({
                guest = guest, machine = guest.machine, port = object.iobase, gpe = object.gpe,
                online = {},
            }, Nvdimms)
        end
    end
end

--- Finds the page that calls go through: Name (MEMA, <four bytes>).
local function find_page(m)
    local dsdt = m:acpi_table "DSDT"
    local at = select(2, dsdt:find("MEMA\x0c", 1, true))
    return (string.unpack("<I4", dsdt, at + 1))
end

--- Calls a function for a handle. Returns the status and the rest of the answer.
function Nvdimms:dsm(handle, fn, argument)
    local m = self.machine
    local page = find_page(m)
    m:write(page, string.pack("<I4I4I4", handle, REVISION, fn) .. (argument or ""))
    m:outl(self.port, page)
    local length, status = string.unpack("<I4I4", m:read(page, 8))
    return status, m:read(page + 8, length - 8)
end

--- Reads the structures, from the start again if they change meanwhile.
function Nvdimms:read_fit()
    local fit = ""
    while true do
        local status, piece = self:dsm(FIT_HANDLE, READ_FIT, string.pack("<I4", #fit))
        if status == CHANGED then
            fit = ""
        elseif status ~= 0 or piece == "" then
            return fit
        else
            fit = fit .. piece
        end
    end
end

--- Returns the NVDIMMs that structures describe: handle -> {address=, size=, node=, armed=}.
function Nvdimms.parse(fit)
    local ranges, found, at = {}, {}, 1
    while at < #fit do
        local kind, length = string.unpack("<I2I2", fit, at)
        if kind == RANGE then
            local index, _, _, node, _, address, size =
                string.unpack("<I2I2I4I4c16I8I8", fit, at + 4)
            ranges[index] = { address = address, size = size, node = node }
        elseif kind == MAP then
            local handle, _, _, range = string.unpack("<I4I2I2I2", fit, at + 4)
            local nvdimm = ranges[range]
            nvdimm.armed = string.unpack("<I2", fit, at + 44) & NOT_ARMED == 0
            found[handle] = nvdimm
        end
        at = at + length
    end
    return found
end

function Nvdimms:boot()
    self.guest:enable(self.gpe)
    self.online = {}
end

--- Takes NVDIMMs that it does not have yet.
function Nvdimms:scan()
    local found = Nvdimms.parse(self:read_fit())
    for handle, nvdimm in pairs(found) do
        if not self.online[handle] then
            self.guest:say("nvdimm: handle %d at 0x%x size 0x%x node %d%s", handle, nvdimm.address,
                nvdimm.size, nvdimm.node, nvdimm.armed and "" or ", not armed")
        end
    end
    self.online = found
end

return Nvdimms
