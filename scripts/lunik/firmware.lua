--- Items of a board for firmware through the fw-cfg device: SMBIOS tables, boot order, a kernel.

local linuxboot = require "lunik.linuxboot"
local options = require "lunik.options"
local smbios = require "lunik.smbios"

local firmware = {}

local GiB = 1 << 30

local boot_options = { order = "table", menu = "boolean", menu_wait = "count", fail_wait = "count" }
local wait_limits = { menu_wait = 0xffff, fail_wait = 0xffffffff }

-- Returns a byte for each of S0 to S5: the value for the register; bit 7: there is that state.
local function system_states(opt)
  local s3 = 1 | (opt.disable_s3 and 0 or 0x80)
  local s4 = (opt.s4_val or 2) | (opt.disable_s4 and 0 or 0x80)
  return string.char(0x80, 0, 0, s3, s4, 0x80)
end

--- Whether the machine has the device.
function firmware.wanted(opt)
  if opt.fw_cfg == false and opt.firmware then
    options.fail("invalid", "fw_cfg: 'false' is not possible with firmware (want none, or true)")
  end
  return opt.firmware ~= nil or opt.fw_cfg == true
end

local function check_boot(boot)
  options.known("boot", boot, boot_options)
  for name, value in pairs(boot) do options.value("boot: " .. name, value, boot_options[name]) end
  for name, limit in pairs(wait_limits) do
    if boot[name] and boot[name] > limit then
      options.fail("invalid", "boot: %s: '%d' is out of range (want 0 to %d)", name, boot[name],
        limit)
    end
  end
  for i, path in ipairs(boot.order or {}) do
    options.value(("boot: order: [%d]"):format(i), path, "string")
    if path:find "%c" or path == "" then
      options.fail("invalid", "boot: order: [%d]: '%s' is no path of a device (want one like "
        .. "'/pci@i0cf8/scsi@4/disk@0,0')", i, path)
    end
  end
end

--- Checks the options for firmware.
function firmware.check(opt)
  if opt.smbios then smbios.check(opt.smbios) end
  if opt.boot then check_boot(opt.boot) end
  if firmware.wanted(opt) then return end
  if opt.boot or opt.smbios then
    options.fail("invalid", "%s: needs the fw-cfg device (want firmware, or fw_cfg = true)",
      opt.boot and "boot" or "smbios")
  end
end

-- Returns the machine's ranges of RAM, joined to one below and one above 4 GiB.
local function ram_ranges(m)
  local low, high = 0, 0
  for _, range in ipairs(m:fwmap()) do
    local last = range.base + range.size
    if range.type == "ram" and last <= 4 * GiB then low = math.max(low, last) end
    if range.type == "ram" and last > 4 * GiB then high = math.max(high, last) end
  end
  local ranges = { { base = 0, size = low } }
  if high > 0 then ranges[2] = { base = 4 * GiB, size = high - 4 * GiB } end
  return ranges
end

-- Returns how many sockets there are, if neither they nor cores are given: one for each node, if
-- the vCPUs can be divided like that.
local function default_sockets(opt, inner)
  local nodes = math.max(#(opt.numa or {}), 1)
  local each = opt.maxcpus // nodes // inner
  return nodes * each * inner == opt.maxcpus and each & (each - 1) == 0 and nodes or 1
end

-- Returns how many sockets there can be, and how many cores and threads each has.
local function topology(opt)
  local threads, dies = opt.threads or 1, opt.dies or 1
  local inner = threads * dies
  local sockets = opt.sockets or not opt.cores and default_sockets(opt, inner)
  local cores = opt.cores or opt.maxcpus // (sockets * inner)
  return sockets or opt.maxcpus // (cores * inner), dies * cores, threads
end

local function add_smbios(m, opt)
  local sockets, cores, threads = topology(opt)
  local tables = smbios.tables(opt.smbios or {}, {
    sockets = sockets, cores = cores, threads = threads, memory = ram_ranges(m),
    bios = not opt.firmware,
  })
  m:fw_cfg_add("etc/smbios/smbios-tables", tables)
  m:fw_cfg_add("etc/smbios/smbios-anchor", smbios.anchor(tables, 0,
    opt.smbios and opt.smbios.entry))
  if opt.smbios and opt.smbios.uuid then m:fw_cfg_add(0x02, smbios.uuid(opt.smbios.uuid)) end
end

-- Returns the name that SeaBIOS has for a disk on the first bus, by its slot and function.
local function disk_path(addr)
  local slot, fn = tostring(addr):match "^(%x+)%.?(%x*)$"
  return slot and ("/pci@i0cf8/scsi@%s%s/disk@0,0"):format(slot, fn:find "^0*$" and "" or "," .. fn)
end

-- Returns the names of the disks that have a bootindex, the lowest first.
local function disks_to_boot(devices)
  local disks, names = {}, {}
  for _, device in ipairs(devices) do
    local index = device[2] and device[2].bootindex
    if math.type(index) == "integer" and index >= 0 then disks[#disks + 1] = device[2] end
  end
  table.sort(disks, function(a, b) return a.bootindex < b.bootindex end)
  for _, props in ipairs(disks) do names[#names + 1] = disk_path(props.addr) end
  return names
end

local function add_boot(m, boot, kernel, devices)
  local order = table.move(boot.order or {}, 1, #(boot.order or {}), kernel and 2 or 1, {})
  if kernel then order[1] = "/rom@" .. linuxboot.NAME end
  for _, name in ipairs(disks_to_boot(devices)) do order[#order + 1] = name end
  if order[1] then m:fw_cfg_add("bootorder", table.concat(order, "\n") .. "\0") end
  if boot.menu_wait then m:fw_cfg_add("etc/boot-menu-wait", ("<I2"):pack(boot.menu_wait)) end
  if boot.fail_wait then m:fw_cfg_add("etc/boot-fail-wait", ("<I4"):pack(boot.fail_wait)) end
end

-- Returns the end of all memory, with the windows for DIMMs; nil if there are none.
local function memory_end(m)
  local last
  for _, range in ipairs(m:fwmap()) do
    if range.type == "hotplug" then last = math.max(last or 0, range.base + range.size) end
  end
  return last and (last + GiB - 1) // GiB * GiB
end

--- Adds the files that follow from the machine's options.
function firmware.add_files(m, opt)
  local kernel = opt.firmware and opt.kernel
  local reserved = memory_end(m)
  if kernel then linuxboot.add(m, opt, ram_ranges(m)[1].size) end
  add_smbios(m, opt)
  add_boot(m, opt.boot or {}, kernel, opt.devices or {})
  m:fw_cfg_add("etc/system-states", system_states(opt))
  if reserved then m:fw_cfg_add("etc/reserved-memory-end", ("<I8"):pack(reserved)) end
end

return firmware
