--- info pci, chardev, network, block, roms: of what the machine has besides processors and memory.

local names = require "lunik.qmp.names"

-- ---- PCI ---------------------------------------------------------------------------------------

local CLASSES = {
  [0x0100] = "SCSI controller", [0x0101] = "IDE controller", [0x0180] = "Storage controller",
  [0x0200] = "Ethernet controller", [0x0300] = "VGA controller", [0x0500] = "RAM controller",
  [0x0600] = "Host bridge", [0x0601] = "ISA bridge", [0x0604] = "PCI bridge",
  [0x0680] = "Bridge", [0x0780] = "Communication controller",
}

local function class_name(f)
  local class = f.class >> 8
  return CLASSES[class] or ("Class %04d"):format(class)
end

local function bar_line(bar)
  if bar.kind == "io" then return ("BAR%d: I/O at 0x%04x"):format(bar.index, bar.address) end
  return ("BAR%d: %d bit%s memory at 0x%08x"):format(bar.index, bar.kind == "memory64" and 64 or 32,
    bar.prefetch and " prefetchable" or "", bar.address)
end

local function pci(self)
  for _, f in ipairs(self.machine:pci()) do
    self:print("  Bus %2d, device %3d, function %d:", f.bus_number, f.slot, f.fn)
    self:print("    %s: PCI device %04x:%04x", class_name(f), f.vendor, f.device)
    local vendor, device = ("<I2I2"):unpack(f.config, 0x2d)
    if f.header == 0 and vendor ~= 0 then
      self:print("      PCI subsystem %04x:%04x", vendor, device)
    end
    if f.pin > 0 then
      self:print("      IRQ %d, pin %s", f.line, ("ABCD"):sub(f.pin, f.pin))
    end
    for _, bar in ipairs(f.bars) do self:print("      %s.", bar_line(bar)) end
    self:print('      id "%s"', f.object.id)
  end
end

-- ---- back ends ---------------------------------------------------------------------------------

-- Returns the objects of a type, with the device whose property links to each: {object, user}.
local function with_users(m, type_name, property)
  local users, found = {}, {}
  local objects = m:objects()
  for _, object in ipairs(objects) do
    local ok, linked = pcall(object.get, object, property)
    if object.is_device and ok and linked then users[linked] = object end
  end
  for _, object in ipairs(objects) do
    if object:is(type_name) then
      found[#found + 1] = { object, users[object.id] or users[object.path] }
    end
  end
  return found
end

local function chardevs(self)
  for _, chardev in ipairs(self.machine:qmp "query-chardev") do
    self:print("%s: filename=%s", chardev.label, chardev.filename)
  end
end

-- What QEMU shows of a back end after its type.
local function network_details(netdev, kind)
  if kind == "user" then
    local address = (netdev:get "net" or "10.0.2.0/24"):match "^[^/]*"
    return (",net=%s,restrict=%s"):format(address, netdev:get "restrict" and "on" or "off")
  elseif kind == "tap" then
    return (",ifname=%s"):format(netdev:get "ifname" or "")
  elseif kind == "socket" then
    return (",%s"):format(netdev:get "path" or "")
  end
  return ""
end

local function network(self)
  for _, pair in ipairs(with_users(self.machine, "netdev", "netdev")) do
    local netdev, nic = pair[1], pair[2]
    local kind = netdev.type:gsub("^netdev%-", "")
    local prefix = ""
    if nic then
      self:print("%s: index=0,type=nic,model=%s,macaddr=%s", nic.id, names.of_type(nic.type),
        nic.mac)
      prefix = " \\ "
    end
    self:print("%s%s: index=0,type=%s%s", prefix, netdev.id, kind, network_details(netdev, kind))
  end
end

local function block(self)
  for _, pair in ipairs(with_users(self.machine, "blockdev", "drive")) do
    local disk, device = pair[1], pair[2]
    local ok, filename = pcall(disk.get, disk, "filename")
    self:print("%s: %s (raw%s)", disk.id, ok and filename or disk.type,
      disk.readonly and ", read-only" or "")
    if device then self:print("    Attached to:      %s", names.path(device)) end
  end
end

-- ---- ROMs --------------------------------------------------------------------------------------

-- Prints the ROMs that the address space shows, then the files of the fw-cfg device.
local function roms(self)
  local m, seen = self.machine, {}
  for line in m:mtree({ flat = true }):gmatch "[^\n]+" do
    local from, last, name = line:match "^  (%x+)%-(%x+) %(prio %-?%d+, rom%): (%S+)"
    if from and not seen[name] then
      seen[name] = true
      local first, size = tonumber(from, 16), tonumber(last, 16) - tonumber(from, 16) + 1
      self:print('addr=%016x size=0x%06x mem=rom name="%s"', first, size, name)
    end
  end
  for _, name in ipairs(m:fw_cfg()) do
    self:print('/rom@%s size=0x%06x name="%s"', name, #(m:fw_cfg(name) or ""), name)
  end
end

return {
  { name = "roms", help = "show roms", run = roms },
  { name = "pci", help = "show PCI info", run = pci },
  { name = "chardev", help = "show the character devices", run = chardevs },
  { name = "network", help = "show the network state", run = network },
  { name = "block", help = "show info of all block devices", run = block },
}
