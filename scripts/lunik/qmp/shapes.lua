--- The enumerations and structures that commands and events are declared with.
--
-- A structure's members are declared as a command's arguments are. A name in all is either
-- {enum = {values}} or {members = {name -> type}}; for what the table of types says, enum is a
-- function, and has(value) looks for one.

local core = require "lunik.core"
local names = require "lunik.qmp.names"

local shapes = {}

local function enum(...) return { enum = { ... } } end
local function struct(members) return { members = members } end

-- Whether that is QEMU's name of a type that object-add makes.
local function is_object_type(name)
  local info = core.type(names.type(name))
  return names.stand_ins[name] or info and not info.device and not info.abstract or false
end

-- All such names.
local function object_types()
  local list = {}
  for _, name in ipairs(core.types()) do
    local info = core.type(name)
    if not info.abstract and not info.device then list[#list + 1] = names.of_type(name) end
  end
  for name in pairs(names.stand_ins) do list[#list + 1] = name end
  table.sort(list)
  return list
end

shapes.all = {
  RunState = enum("prelaunch", "running", "paused", "shutdown", "internal-error", "suspended",
    "debug"),
  ShutdownCause = enum("none", "host-error", "host-qmp-quit", "host-qmp-system-reset",
    "host-signal", "host-ui", "guest-shutdown", "guest-reset", "guest-panic"),
  ACPISlotType = enum("DIMM", "CPU", "PCI"),
  IoOperationType = enum("read", "write"),
  BlockErrorAction = enum("ignore", "report", "stop"),
  WatchdogAction = enum("reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"),
  GuestPanicAction = enum("pause", "poweroff", "run", "shutdown"),
  DumpGuestMemoryFormat = enum("elf", "kdump-zlib", "kdump-lzo", "kdump-snappy"),
  DumpStatus = enum("none", "active", "completed", "failed"),
  DumpQueryResult = struct { status = "DumpStatus", completed = "int", total = "int" },
  DumpGuestMemoryCapability = struct { formats = "[DumpGuestMemoryFormat]" },
  RebootAction = enum("reset", "shutdown"),
  ShutdownAction = enum("poweroff", "pause"),
  PanicAction = enum("pause", "shutdown", "exit-failure", "none"),
  StatsType = enum("cumulative", "instant", "peak", "linear-histogram", "log2-histogram"),
  StatsUnit = enum("bytes", "seconds", "cycles", "boolean"),
  StatsProvider = enum("kvm", "lunik"),
  StatsTarget = enum("vm", "vcpu"),
  StatsRequest = struct { provider = "StatsProvider", names = "?[str]" },
  Stats = struct { name = "str", value = "any" },
  StatsResult = struct { provider = "StatsProvider", ["qom-path"] = "?str", stats = "[Stats]" },
  StatsSchemaValue = struct { name = "str", type = "StatsType", unit = "?StatsUnit",
    base = "?int", exponent = "int", ["bucket-size"] = "?int" },
  StatsSchema = struct { provider = "StatsProvider", target = "StatsTarget",
    stats = "[StatsSchemaValue]" },
  QMPCapability = enum("oob"),
  DataFormat = enum("utf8", "base64"),
  DirtyRateMeasureMode = enum("page-sampling", "dirty-ring", "dirty-bitmap"),
  DirtyRateStatus = enum("unstarted", "measuring", "measured"),
  MigrationCapability = enum("events"),
  ObjectType = { enum = object_types, has = is_object_type },

  ACPIOSTInfo = struct { device = "?str", slot = "str", ["slot-type"] = "ACPISlotType",
    source = "int", status = "int" },
  VersionTriple = struct { major = "int", minor = "int", micro = "int" },
  VersionInfo = struct { qemu = "VersionTriple", package = "str" },
  CommandInfo = struct { name = "str" },
  NameInfo = struct { name = "?str" },
  UuidInfo = struct { UUID = "str" },
  TargetInfo = struct { arch = "str" },
  KvmInfo = struct { enabled = "bool", present = "bool" },
  StatusInfo = struct { running = "bool", singlestep = "bool", status = "RunState" },
  MachineInfo = struct { name = "str", alias = "?str", ["is-default"] = "?bool",
    ["cpu-max"] = "int", ["hotpluggable-cpus"] = "bool", ["numa-mem-supported"] = "bool",
    deprecated = "bool", ["default-cpu-type"] = "?str", ["default-ram-id"] = "?str" },
  CurrentMachineParams = struct { ["wakeup-suspend-support"] = "bool" },
  CpuDefinitionInfo = struct { name = "str", typename = "str", static = "bool",
    ["unavailable-features"] = "?[str]" },
  CommandLineOptionInfo = struct { option = "str", parameters = "[object]" },
  IOThreadInfo = struct { id = "str", ["thread-id"] = "int" },
  ObjectPropertyInfo = struct { name = "str", type = "str", description = "?str",
    ["default-value"] = "?any" },
  ObjectTypeInfo = struct { name = "str", abstract = "?bool", parent = "?str" },
  MemoryDeviceInfo = struct { type = "str", data = "object" },
  MemoryInfo = struct { ["base-memory"] = "size", ["plugged-memory"] = "?size" },
  Memdev = struct { id = "?str", size = "size", merge = "bool", dump = "bool", prealloc = "bool",
    share = "bool", reserve = "?bool", ["host-nodes"] = "[int]", policy = "str" },
  DirtyRateVcpu = struct { id = "int", ["dirty-rate"] = "int" },
  DirtyRateInfo = struct { ["dirty-rate"] = "?int", status = "DirtyRateStatus",
    ["start-time"] = "int", ["calc-time"] = "int", ["sample-pages"] = "int",
    mode = "DirtyRateMeasureMode", ["vcpu-dirty-rate"] = "?[DirtyRateVcpu]" },
  CpuInfoFast = struct { ["cpu-index"] = "int", ["qom-path"] = "str", ["thread-id"] = "int",
    props = "?CpuInstanceProperties", target = "str" },
  CpuInstanceProperties = struct { ["node-id"] = "?int", ["socket-id"] = "?int",
    ["die-id"] = "?int", ["core-id"] = "?int", ["thread-id"] = "?int" },
  HotpluggableCPU = struct { type = "str", ["vcpus-count"] = "int",
    props = "CpuInstanceProperties", ["qom-path"] = "?str" },
  ChardevInfo = struct { label = "str", filename = "str", ["frontend-open"] = "bool" },
  ChardevBackendInfo = struct { name = "str" },
  ChardevReturn = struct { pty = "?str" },
  ChardevBackend = struct { type = "str", data = "?object" },
  PciInfo = struct { bus = "int", devices = "[object]" },
  BlockInfo = struct { device = "str", qdev = "?str", type = "str", removable = "bool",
    locked = "bool", inserted = "?BlockDeviceInfo" },
  BlockDeviceInfo = struct { file = "str", ["node-name"] = "?str", ro = "bool", drv = "str",
    encrypted = "bool", detect_zeroes = "str", image = "object" },
  BlockStats = struct { device = "?str", qdev = "?str", ["node-name"] = "?str",
    stats = "object" },
  BalloonInfo = struct { actual = "int" },
  AddfdInfo = struct { ["fdset-id"] = "int", fd = "int" },
  FdsetFdInfo = struct { fd = "int", opaque = "?str" },
  FdsetInfo = struct { ["fdset-id"] = "int", fds = "[FdsetFdInfo]" },
  MigrationCapabilityStatus = struct { capability = "MigrationCapability", state = "bool" },
  MigrationInfo = struct { status = "?str" },
  JobInfo = struct { id = "str", type = "str", status = "str" },
}

--- The values of an enumeration.
function shapes.values(shape)
  return type(shape.enum) == "function" and shape.enum() or shape.enum
end

--- Whether it has that one.
function shapes.has(shape, value)
  if shape.has then return shape.has(value) end
  for _, known in ipairs(shapes.values(shape)) do
    if known == value then return true end
  end
  return false
end

return shapes
