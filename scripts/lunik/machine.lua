--- lunik.machine{}: makes a machine, built by its board, from a table of options.

local core = require "lunik.core"
require "lunik.blockdev"
local boards = require "lunik.board_loader"
local chardev = require "lunik.chardev"
local fw_cfg = require "lunik.fw_cfg"
local netdev = require "lunik.netdev"
local console = require "lunik.console"
local cpus = require "lunik.cpus"
local dirty = require "lunik.dirty"
local event = require "lunik.event"
local observe = require "lunik.observe"
local options = require "lunik.options"
local recent = require "lunik.recent"
local request = require "lunik.request"
require "lunik.memory"
local sandbox = require "lunik.sandbox"
local sandbox_paths = require "lunik.sandbox_paths"
local unplug = require "lunik.unplug"
local watch = require "lunik.watch"

local fail = options.fail

local machine = {}

-- ---- options -----------------------------------------------------------------------------------

--- The options that every machine has, and their kinds. The board gets all of them.
local common = {
  board = "any", name = "string", accel = "string", cpus = "count", maxcpus = "count",
  sockets = "count", dies = "count", cores = "count", threads = "count",
  memory = "size", maxmem = "size", slots = "count",
  kernel = "string", initrd = "string", cmdline = "string", modules = "table",
  firmware = "string", serial = "any", memdev = "string", objects = "table", devices = "table",
  numa = "table", cpu = "table", clock = "string", dirty_ring = "count", dirty_log = "string",
  irqchip = "string", drain_timeout = "seconds",
  sandbox = "any",
}

local DEFAULT_MEMORY = "128M"

local function kind_and_default(board_options, name)
  local own = board_options[name]
  if common[name] then return common[name], own and own.default end
  return own.kind, own.default, own.choices
end

--- Returns the names of all options: name -> true.
local function names(board_options)
  local known = {}
  for name in pairs(common) do known[name] = true end
  for name in pairs(board_options) do known[name] = true end
  return known
end

--- Returns the kinds of the options of a machine with this board: name -> kind.
function machine.kinds(board)
  local own = boards.options(boards.load(board))
  local kinds = names(own)
  for name in pairs(kinds) do kinds[name] = kind_and_default(own, name) end
  return kinds
end

-- At least 1: C takes 0 for the default.
local function milliseconds(seconds)
  return math.max(1, math.ceil(math.min(seconds, 4e6) * 1000))
end

--- Returns all options, checked and converted, with the board's defaults filled in.
local function parse(given, board_options)
  local known, opt = names(board_options), {}
  options.known("machine", given, known)
  for name in pairs(known) do
    local kind, default, choices = kind_and_default(board_options, name)
    local value = given[name]
    if value == nil then value = default end
    if value ~= nil then
      opt[name] = options.value("machine: " .. name, value, kind)
      if choices then options.choice("machine: " .. name, opt[name], choices) end
    end
  end
  return opt
end

--- Converts "family", 6 to "family=6"; true and false to "+name" and "-name".
local function named_feature(name, value)
  if value == true then return "+" .. name end
  if value == false then return "-" .. name end
  if type(value) ~= "string" and math.type(value) ~= "integer" then
    fail("invalid", "machine: cpu: %s: %s is not a value (want a number, string or boolean)", name,
      options.show(value))
  end
  return ("%s=%s"):format(name, value)
end

--- Converts {"-xsave", "+hypervisor", family = 6} to a list of strings.
local function cpu_features(cpu)
  local list = {}
  for i, feature in ipairs(cpu or {}) do
    local what = ("machine: cpu: [%d]"):format(i)
    list[i] = options.value(what, feature, "string")
    if not feature:find "^[+-]." and not feature:find "^[^=]+=." then
      fail("invalid", "%s: '%s' is not a feature (want +name, -name or name=value)", what, feature)
    end
  end
  for _, key in ipairs(options.keys(cpu or {})) do
    if type(key) == "string" then
      list[#list + 1] = named_feature(key, cpu[key])
    elseif not list[key] then
      fail("invalid", "machine: cpu: [%s] is out of order (want a list)", tostring(key))
    end
  end
  return list
end

local node_fields = { cpus = "table", memory = "size", memdev = "string", distances = "table" }

local function parse_nodes(numa)
  local nodes, sized = {}, false
  for i, node in ipairs(numa) do
    nodes[i] = options.parse(("machine: numa: node %d"):format(i - 1), node, node_fields)
    nodes[i].cpus = nodes[i].cpus or {}
    sized = sized or nodes[i].memdev or (nodes[i].memory or 0) ~= 0
    if nodes[i].memory and nodes[i].memdev then nodes[i].memory = nil end
  end
  if #nodes == 0 then fail("invalid", "machine: numa: is empty (want a list of nodes)") end
  return nodes, sized
end

local function node_config(nodes)
  local out = {}
  for i, node in ipairs(nodes or {}) do
    out[i] = { cpus = node.cpus, distances = node.distances }
  end
  return nodes and out
end

--- Whether {type, properties} is right without doubt. Saves check_thing(), whose argument for
-- errors is a new string, as there may be hundreds of them.
local function plain(thing)
  return type(thing) == "table" and rawlen(thing) == 2 and next(thing, 2) == nil
    and type(thing[1]) == "string" and not thing[1]:find("\0", 1, true)
    and type(thing[2]) == "table"
end

local function check_thing(where, thing)
  options.table(where, thing)
  options.known(where, thing, { true, true })
  options.value(where .. ": type", thing[1], "string")
  options.table(where .. ": properties", thing[2] or {})
end

--- Checks a list of {type, properties}.
local function check_things(what, list)
  for key in pairs(list or {}) do
    if math.type(key) ~= "integer" or key < 1 or key > #list then
      fail("invalid", "machine: %s: %s is not a list index (want {{type, properties}, ...})",
        what, options.show(key))
    end
  end
  for i, thing in ipairs(list or {}) do
    if not plain(thing) then check_thing(("machine: %s: [%d]"):format(what, i), thing) end
  end
end

local function finish_options(opt, board)
  opt.name = opt.name or board.name or "machine"
  opt.accel = options.choice("machine: accel", opt.accel or "kvm", { "kvm", "none" })
  if opt.cpus == 0 then fail("invalid", "machine: cpus: '0' is too few (want 1 or more)") end
  opt.cpus = opt.cpus or 1
  opt.maxcpus = opt.maxcpus or opt.cpus
  if opt.clock then options.choice("machine: clock", opt.clock, { "manual" }) end
  if opt.kernel == nil and (opt.initrd or opt.cmdline or opt.modules) then
    fail("invalid", "machine: %s: needs a kernel (want kernel as well)",
      opt.initrd and "initrd" or opt.cmdline and "cmdline" or "modules")
  end
  if opt.dirty_log then
    options.choice("machine: dirty_log", opt.dirty_log, { "auto", "bitmap", "manual" })
  end
  opt.irqchip = options.choice("machine: irqchip", opt.irqchip or "kernel", { "kernel", "split" })
  if opt.dirty_ring == 0 then opt.dirty_ring = nil end
  if opt.sandbox ~= nil then opt.sandbox = sandbox.parse("machine: sandbox", opt.sandbox) end
  check_things("objects", opt.objects)
  check_things("devices", opt.devices)
  local sized = false
  if opt.numa then opt.numa, sized = parse_nodes(opt.numa) end
  if not opt.memory and not opt.memdev and not sized then
    opt.memory = core.parse_size(DEFAULT_MEMORY, "memory")
  end
end

--- Adds the files that the options name to the sandbox's paths.
local function name_files(opt)
  for _, name in ipairs { "board", "kernel", "initrd", "firmware" } do
    sandbox_paths.name("read", opt[name])
  end
  for _, module in ipairs(opt.modules or {}) do
    sandbox_paths.name("read", type(module) == "string" and module:match "^%S+")
  end
  for _, list in ipairs { opt.objects or {}, opt.devices or {} } do
    for _, thing in ipairs(list) do
      local props = thing[2] or {}
      sandbox_paths.name("write",
        props.path or props.mem_path or props["mem-path"] or props.filename)
      sandbox_paths.name("write", props.logfile)
    end
  end
end

-- ---- building ----------------------------------------------------------------------------------

local function build(m, board, opt)
  for _, object in ipairs(opt.objects or {}) do m:object_add(object[1], object[2] or {}) end
  local port = chardev.add(m, opt.serial, "serial-chardev", "machine: serial")
  event.state(m).console = port
  opt.serial = port and port.id
  board.build(m, opt)
  for _, device in ipairs(opt.devices or {}) do m:device_add(device[1], device[2] or {}) end
  if board.finish then board.finish(m, opt) end
end

--- lunik.machine{...}
function machine.new(given)
  options.table("machine", given)
  local board = boards.load(given.board or "pc")
  local opt = parse(given, boards.options(board))
  finish_options(opt, board)
  name_files(opt)
  local m = core.machine {
    name = opt.name, accel = opt.accel, cpus = opt.cpus, maxcpus = opt.maxcpus,
    sockets = opt.sockets, dies = opt.dies, cores = opt.cores, threads = opt.threads,
    cpu_features = cpu_features(opt.cpu),
    nodes = node_config(opt.numa), manual_clock = opt.clock == "manual",
    dirty_ring = opt.dirty_ring, dirty_log = opt.dirty_log, irqchip = opt.irqchip,
    drain_timeout = opt.drain_timeout and milliseconds(opt.drain_timeout),
  }
  event.greet(m)
  event.state(m).dirty_ring = opt.dirty_ring
  event.state(m).sandbox = opt.sandbox
  event.state(m).uuid = type(opt.smbios) == "table" and opt.smbios.uuid or nil
  local ok, err = xpcall(build, function(err)
    -- A string is an error in the board's code, which needs a traceback; a refused option does not.
    return type(err) == "string" and debug.traceback(err, 2) or err
  end, m, board, opt)
  if not ok then
    m:close()
    error(err, 0)
  end
  event.check_open(m) -- a board may have closed it
  observe.notify("machine", m, given)
  return m
end

--- The machines that are not closed.
machine.list = core.machines

-- ---- methods -----------------------------------------------------------------------------------

local Machine = {}

-- The C half's methods for actions of a script on a machine; kept when the library is loaded again.
local actions = { "resume", "shutdown", "powerdown", "device_add" }

core.shared.actions = core.shared.actions or {}
for _, name in ipairs(actions) do
  local act = core.shared.actions[name] or core.classes.Machine.methods[name]
  core.shared.actions[name] = act
  Machine[name] = function(m, ...)
    recent.acted(m)
    return act(m, ...)
  end
end

function Machine.start(m)
  sandbox.before_start(event.state(m).sandbox)
  recent.acted(m)
  request.ask(m, "start")
  return m
end

for _, name in ipairs { "reset", "pause", "wakeup" } do
  Machine[name] = function(m)
    recent.acted(m)
    request.ask(m, name)
  end
end

function Machine.close(m)
  if m.state == "closed" then return end
  observe.notify("closing", m)
  request.ask(m, "close")
end

Machine.drain = request.drain

Machine.on = event.on
Machine.once = event.once
Machine.on_irq = event.on_irq
Machine.on_reset = event.on_reset
Machine.on_rejected = event.on_rejected
Machine.emit = event.emit
Machine.watch = watch.new
Machine.wait = watch.wait

function Machine.device_del(m, device)
  recent.acted(m)
  return unplug.request(m, device)
end

-- Drawings and the recorder are loaded late: few scripts need them.
function Machine.record(m, opts) return require("lunik.record.recorder").start(m, opts) end
function Machine.memory_map(m, opts) return require("lunik.memory_map").draw(m, opts) end
function Machine.balloon(m, size) return require("lunik.balloon").balloon(m, size) end
function Machine.pci(m) return require("lunik.pci").list(m) end
function Machine.pic(m) return require("lunik.interrupts").pic(m) end
function Machine.ioapic(m) return require("lunik.interrupts").ioapic(m) end
function Machine.irqs(m) return require("lunik.interrupts").irqs(m) end
function Machine.hmp(m, line)
  event.check_open(m)
  options.value("hmp: line", line, "string")
  local state = event.state(m)
  state.monitor = state.monitor or require("lunik.hmp.monitor").new(m)
  return state.monitor:run(line)
end
Machine.dirty_rate = dirty.rate
function Machine.sample(m, opts) return require("lunik.sample").sample(m, opts) end
function Machine.plot(m, opts) return require("lunik.sample").plot(m, opts) end

Machine.fw_cfg_add = fw_cfg.add
Machine.fw_cfg = fw_cfg.read
Machine.netdev = netdev.of
function Machine.qmp(m, name, args) return require("lunik.qmp.server").call(m, name, args) end
function Machine.gdb(m, opts) return require("lunik.gdb.server").new(m, opts) end
function Machine.stream(m, id) return require("lunik.stream").of(m, id) end
Machine.set_link = netdev.set_link

function Machine.chardev(m, spec, id)
  return chardev.add(m, spec, id)
end

--- Returns the console of the machine's serial port, or of another chardev-buffer.
function Machine.console(m, id)
  event.check_open(m)
  local object = event.state(m).console
  if id ~= nil then
    object = core.is_a(id, "lunik.Object") and id or m:object(id)
    if not object then fail("not-found", "console: there is no object '%s'", tostring(id)) end
  end
  if not object or not object:is "chardev-buffer" then
    fail("unsupported", "machine '%s': %s is not kept in memory (want serial = \"buffer\" or a "
      .. "function)", m.name, object and ("the output of '%s'"):format(object.id) or
      "there is no serial port, or its output")
  end
  return console.of(object)
end

local function through(space, method)
  return function(m, ...)
    local s = m[space]
    return s[method](s, ...)
  end
end

Machine.read = through("memory", "read")
Machine.write = through("memory", "write")
Machine.load = through("memory", "load")
Machine.store = through("memory", "store")
Machine.fill = through("memory", "fill")
Machine.hash = through("memory", "hash")
Machine.search = through("memory", "search")
Machine.map = through("memory", "map")
Machine.why = through("memory", "why")

Machine.hotpluggable_cpus = cpus.list

local function memory_device(m, object)
  local memdev = object.memdev and m:object(object.memdev)
  local data = {
    id = object.id ~= "" and object.id or nil, size = object.size, node = object.node,
    memdev = memdev and memdev.path, hotplugged = object.hotplugged,
    hotpluggable = core.type(object.type).hotplug,
  }
  if object.type ~= "virtio-mem-pci" then
    data.addr, data.slot = object.addr, object.slot
    return { type = object.type == "pc-dimm" and "dimm" or object.type, data = data }
  end
  data.addr, data.block_size = object.memaddr, object.block_size
  data.max_size, data.requested_size = object.max_size, object.requested_size
  return { type = "virtio-mem", data = data }
end

--- Lists the memory devices by address, in the form of QEMU's query-memory-devices.
function Machine.memory_devices(m)
  local list = {}
  for _, object in ipairs(m:objects()) do
    if object:is "memory-device" then list[#list + 1] = memory_device(m, object) end
  end
  table.sort(list, function(a, b) return math.ult(a.data.addr, b.data.addr) end)
  return list
end

options.guard("lunik.Machine", Machine, core.classes.Machine.methods)

return machine
