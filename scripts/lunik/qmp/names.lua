--- What QEMU calls the types, paths and buses that have other names here.

local core = require "lunik.core"
local event = require "lunik.event"
local failure = require "lunik.qmp.failure"

local names = {}

-- Lunik's name -> QEMU's.
local types = {
  serial16550 = "isa-serial", debugcon = "isa-debugcon", mc146818 = "mc146818rtc",
  ["debug-exit"] = "isa-debug-exit", i440fx = "i440FX", piix3 = "PIIX3",
  ["piix4-pm"] = "PIIX4_PM", ["fw-cfg"] = "fw_cfg_io",
  ["chardev-buffer"] = "chardev-ringbuf", ["blockdev-file"] = "raw",
}
-- QEMU's other names of types.
local lunik_types = {
  ["virtio-blk"] = "virtio-blk-pci", ["virtio-net"] = "virtio-net-pci",
  ["virtio-balloon"] = "virtio-balloon-pci", ["virtio-rng"] = "virtio-rng-pci",
  ["virtio-serial"] = "virtio-serial-pci", ["virtio-mem"] = "virtio-mem-pci",
}
for ours, qemu in pairs(types) do lunik_types[qemu] = ours end

-- Types of machine and CPU: QEMU has a type for each.
names.MACHINE = "pc-i440fx-7.2"
names.CPU = "qemu64-x86_64-cpu"

local kvm_is_usable

--- Whether guests can run on this host.
function names.kvm_is_usable()
  if kvm_is_usable == nil then
    local ok, m = pcall(core.machine, { name = "kvm?", accel = "kvm", cpus = 1, maxcpus = 1 })
    if ok then m:close() end
    kvm_is_usable = ok
  end
  return kvm_is_usable
end

--- QEMU has a type for each accelerator as well. By that of the processors it emulates programs
-- know that there are machines without KVM; here their processors stay off, so that it is there
-- where KVM is not.
function names.accels()
  return { [names.kvm_is_usable() and "kvm-accel" or "tcg-accel"] = true }
end

--- Objects that QEMU's clients make and that have no effect here.
names.stand_ins = { secret = true }

--- Properties of these types on the wire that have another form: name -> function(properties),
-- which changes them.
names.forms = {}

--- QEMU's name of a type.
function names.of_type(name)
  if name == "cpu" then return names.CPU end
  return types[name] or name
end

--- Lunik's name of a type, by either.
function names.type(name)
  return lunik_types[name] or name
end

local com_ports = { [0] = { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } }

--- The serial port's index is its place among the PC's four.
names.forms["serial16550"] = function(m, props)
  local index = math.tointeger(tonumber(props.index)) or props.index
  props.index = nil
  if index ~= nil and not com_ports[index] then
    failure.generic("isa-serial: index %s is out of range (want 0 to 3)", tostring(index))
  elseif index == nil and not props.iobase then
    local taken = {}
    for _, object in ipairs(m:objects()) do
      if object.type == "serial16550" then taken[object.iobase] = true end
    end
    index = 0
    while com_ports[index] and taken[com_ports[index][1]] do index = index + 1 end
  end
  local port = com_ports[index]
  if port then props.iobase, props.irq = props.iobase or port[1], props.irq or port[2] end
end

names.forms["pvpanic"] = function(_, props)
  props.iobase, props.ioport = props.iobase or props.ioport, nil
end

--- Properties of QEMU's PCI devices that mean nothing here, where a type does not have them.
local without_effect = { "multifunction", "rombar", "romfile", "disable-modern", "disable-legacy",
  "page-per-vq", "ats", "share-rw", "bootindex" }

local function drop_without_effect(info, props)
  local has = {}
  for _, p in ipairs(info.props) do has[p.name] = true end
  for _, name in ipairs(has.bus and without_effect or {}) do
    if not has[name] then props[name] = nil end
  end
end

--- The node of a disk that has this name, which may be another one of it.
function names.node(m, name)
  local others = event.state(m).node_names
  return others and others[name] or name
end

--- The host bridge whose bus QEMU calls pci.0.
function names.host_bridge(m)
  for _, object in ipairs(m:objects()) do
    if object.type == "i440fx" then return object end
  end
end

--- Brings the properties of a device on the wire into Lunik's form: buses by the id of the device
-- that has them.
function names.device_properties(m, info, props)
  local form = names.forms[info.name]
  if form then form(m, props) end
  drop_without_effect(info, props)
  if type(props.drive) == "string" then props.drive = names.node(m, props.drive) end
  for _, p in ipairs(info.props) do
    if p.name == "bus" and p.link == "pci-bus" and props.bus == "pci.0" then
      local bridge = names.host_bridge(m)
      props.bus = bridge and bridge.id or props.bus
    elseif p.name == "bus" and type(props.bus) == "string" then
      props.bus = props.bus:gsub("%.0$", "")
    end
  end
end

--- QEMU's path of an object: devices with an id are in /machine/peripheral.
function names.path(object)
  if object.is_device and object.id ~= "" then return "/machine/peripheral/" .. object.id end
  return object.path
end

--- The same for the path that an event has.
function names.event_path(path)
  local id = path:match "^/machine/([^/]+)$"
  return id and "/machine/peripheral/" .. id or path
end

--- Returns the object of a path of QEMU's or Lunik's, or of an id; nil: there is none.
function names.object(m, path)
  path = path:gsub("^/machine/peripheral/", "/machine/")
  local object = m:object(path)
  if object and path:sub(1, 1) ~= "/" and object.id ~= path then return nil end
  return object
end

return names
