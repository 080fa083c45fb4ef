--- The options of QEMU's command line that become options of lunik.machine(). Each function takes
-- the plan that command_line.lua makes, and the option's value.

local core = require "lunik.core"
local names = require "lunik.qmp.names"
local option_string = require "lunik.qemu.option_string"
local option_value = require "lunik.qemu.option_value"
local options = require "lunik.options"

local machine_options = {}

local MiB = 1 << 20
local each, number, switch = option_value.each, option_value.number, option_value.switch

-- Returns a size in bytes; without a unit it is in `unit` bytes.
local function size(what, value, unit)
  if value:find "^%d+$" then return number(what, value) * unit end
  return core.parse_size(value, what)
end

-- Fails unless an option has a value that changes nothing.
local function only(...)
  local wanted = { ... }
  return function(value, name) options.choice(name, value, wanted) end
end

-- ---- -machine, -accel, -cpu --------------------------------------------------------------------

--- The machines: name -> what -machine help says.
machine_options.machines = {
  pc = "i440FX/PIIX PC (alias of " .. names.MACHINE .. ")",
  [names.MACHINE] = "i440FX/PIIX PC (default)",
  none = "no board: for questions about what there is",
}

local function machine_type(plan, value)
  if not machine_options.machines[value] and not value:find "^pc%-i440fx%-" then
    options.fail("invalid", "unsupported machine type '%s'%s (want pc, %s or none)", value,
      options.hint(value, options.keys(machine_options.machines)), names.MACHINE)
  end
  plan.no_board = value == "none"
end

function machine_options.machine(plan, text)
  each(text, "type", {
    type = function(value) machine_type(plan, value) end,
    accel = function(value)
      for name in value:gmatch "[^:]+" do table.insert(plan.accels, name) end
    end,
    ["memory-backend"] = function(value) plan.machine.memdev = value end,
    ["kernel-irqchip"] = function(value)
      plan.machine.irqchip = options.choice("kernel-irqchip", value, { "on", "split" }) == "split"
        and "split" or nil
    end,
    nvdimm = function(value) plan.machine.nvdimm = switch("nvdimm", value) or nil end,
    acpi = function(value)
      plan.machine.acpi = switch("acpi", value == "auto" and "on" or value)
    end,
    ["max-ram-below-4g"] = function(value)
      plan.machine.lowmem = size("max-ram-below-4g", value, 1)
    end,
    usb = true, ["dump-guest-core"] = true, ["mem-merge"] = true, vmport = true, hpet = true,
    smm = true, graphics = true, i8042 = only("on"), pcspk = true, hmat = only("off"),
  }, function() end)
end

function machine_options.accel(plan, text)
  each(text, "accel", {
    accel = function(value) table.insert(plan.accels, value) end,
    ["kernel-irqchip"] = function(value)
      plan.machine.irqchip = value == "split" and "split" or nil
    end,
    ["dirty-ring-size"] = function(value)
      plan.machine.dirty_ring = number("dirty-ring-size", value)
    end,
    thread = true, ["tb-size"] = true,
  }, function() end)
end

-- Chooses the first accelerator that is usable; with tcg, whose guests run everywhere on QEMU, and
-- none there are no processors that run.
local function choose_accel(plan)
  local wanted = plan.accels[1] and plan.accels or { "kvm" }
  for _, name in ipairs(wanted) do options.choice("accel", name, { "kvm", "tcg", "none" }) end
  for i, name in ipairs(wanted) do
    if name ~= "kvm" then
      plan.machine.accel = "none"
      plan.emulated = name == "tcg"
      return
    elseif i == #wanted or plan.no_board or names.kvm_is_usable() then
      plan.machine.accel = plan.no_board and "none" or "kvm"
      return
    end
  end
end

--- The models of -cpu, which all are what the host has.
machine_options.cpus = { "host", "max", "qemu64", "kvm64", "base" }

local without_effect = { migratable = true, ["host-cache-info"] = true, ["l3-cache"] = true,
  check = true, enforce = true, ["host-phys-bits"] = true, pmu = true }

-- Features are written as Lunik has them but for on and off.
function machine_options.cpu(plan, text)
  local model, rest = text:match "^([^,]*),?(.*)$"
  for _, known in ipairs(machine_options.cpus) do
    if model == known then model = nil end
  end
  if model then
    options.fail("invalid", "unable to find CPU model '%s' (want %s)", model,
      table.concat(machine_options.cpus, ", "))
  end
  local features = {}
  for word in rest:gmatch "[^,]+" do
    local name, value = word:match "^([^=]+)=(.*)$"
    local is_switch = value == "on" or value == "off"
    if is_switch then word = (value == "on" and "+" or "-") .. name end
    if not name and not word:find "^[+-]" then word = "+" .. word end
    if not without_effect[name or word:sub(2)] then features[#features + 1] = word end
  end
  plan.machine.cpu = features[1] and features or nil
end

-- ---- -m, -smp, -numa ---------------------------------------------------------------------------

function machine_options.memory(plan, text)
  each(text, "size", { size = true, slots = true, maxmem = true }, function(value, name)
    if name == "slots" then
      plan.machine.slots = number(name, value)
    else
      plan.machine[name == "size" and "memory" or name] = size(name, value, MiB)
    end
  end)
end

local smp_known = {
  cpus = true, maxcpus = true, sockets = true, dies = true, cores = true, threads = true,
  clusters = only("1"),
}

function machine_options.smp(plan, text)
  each(text, "cpus", smp_known, function(value, name)
    plan.machine[name] = number(name, value)
  end)
  local m = plan.machine
  if not m.cpus and not m.maxcpus and (m.sockets or m.cores or m.threads) then
    m.cpus = (m.sockets or 1) * (m.dies or 1) * (m.cores or 1) * (m.threads or 1)
  end
end

-- Adds "0-3" or "2" to a list of processors.
local function add_cpus(cpus, value)
  local first, last = value:match "^(%d+)%-?(%d*)$"
  if first then
    first, last = number("cpus", first), number("cpus", last ~= "" and last or first)
  end
  if not first or last < first or last > 0xffff then
    options.fail("invalid", "cpus: '%s' is not a range (want N or N-N)", value)
  end
  for cpu = first, last do cpus[#cpus + 1] = cpu end
end

local function numa_node(plan, text)
  local nodes, node = plan.nodes, { cpus = {} }
  local id = #nodes
  each(text, "type", {
    type = true, nodeid = function(value) id = number("nodeid", value) end,
    cpus = function(value) add_cpus(node.cpus, value) end,
    memdev = function(value) node.memdev = value end,
    mem = function(value) node.memory = size("mem", value, MiB) end,
    initiator = true,
  }, function() end)
  if id ~= #nodes then
    options.fail("invalid", "nodeid: '%d' is out of order (want %d)", id, #nodes)
  end
  nodes[#nodes + 1] = node
end

local function numa_distance(plan, text)
  local given = option_string.parse(text, "type")
  for _, name in ipairs { "src", "dst", "val" } do
    if not given[name] then options.fail("invalid", "dist: %s is missing", name) end
    given[name] = number(name, given[name])
  end
  table.insert(plan.distances, given)
end

function machine_options.numa(plan, text)
  plan.nodes = plan.nodes or {}
  local kind = text:match "^[^,]*"
  if kind == "node" then return numa_node(plan, text) end
  if kind == "dist" then return numa_distance(plan, text) end
  options.fail("invalid", "'%s' is not supported (want node or dist)", kind)
end

-- Puts the distances into the nodes: one that is not given is that of the other direction, or 20.
local function set_distances(plan)
  local nodes, given = plan.nodes, {}
  for _, d in ipairs(plan.distances) do
    if not nodes[d.src + 1] or not nodes[d.dst + 1] then
      options.fail("invalid", "-numa dist: there is no node %d",
        nodes[d.src + 1] and d.dst or d.src)
    end
    given[d.src << 16 | d.dst] = d.val
  end
  if not next(given) then return end
  for i, node in ipairs(nodes) do
    node.distances = {}
    for k = 1, #nodes do
      node.distances[k] = given[i - 1 << 16 | k - 1] or i == k and 10
        or given[k - 1 << 16 | i - 1] or 20
    end
  end
end

-- ---- names, firmware ---------------------------------------------------------------------------

function machine_options.name(plan, text)
  local known = { guest = true, ["debug-threads"] = true, process = true }
  each(text, "guest", known, function(value, name)
    if name == "guest" then plan.machine.name = value end
  end)
end

function machine_options.uuid(plan, text)
  plan.smbios.uuid = text:lower()
end

local SMBIOS = {
  ["0"] = { vendor = "bios_vendor", version = "bios_version", date = "bios_date", type = false,
    uefi = false, release = false },
  ["1"] = { manufacturer = true, product = true, version = true, serial = true, uuid = true,
    sku = true, family = true, type = false },
}

function machine_options.smbios(plan, text)
  local given = option_string.parse(text, "type")
  local fields = option_value.kind("type", SMBIOS, given.type)
  for name, value in pairs(option_value.renamed("type " .. given.type, given, fields)) do
    plan.smbios[name] = value
  end
end

function machine_options.boot(plan, text)
  each(text, "order", {
    menu = function(value) plan.boot.menu = switch("menu", value) end,
    ["splash-time"] = function(value) plan.boot.menu_wait = number("splash-time", value) end,
    ["reboot-timeout"] = function(value)
      plan.boot.fail_wait = value ~= "-1" and number("reboot-timeout", value) or nil
    end,
    order = true, once = true, strict = true,
  }, function() end)
end

function machine_options.rtc(plan, text)
  each(text, "base", {
    base = only("utc"), driftfix = only("none", "slew"),
    clock = function(value)
      options.choice("clock", value, { "host", "rt", "vm" })
      plan.machine.rtc = value == "vm" and "machine" or "host"
    end,
  }, function() end)
end

-- ---- -global -----------------------------------------------------------------------------------

local globals = {
  ["PIIX4_PM.disable_s3"] = function(m, value) m.disable_s3 = value end,
  ["PIIX4_PM.disable_s4"] = function(m, value) m.disable_s4 = value end,
  ["PIIX4_PM.s4_val"] = function(m, _, text) m.s4_val = number("s4_val", text) end,
  ["kvm-pit.lost_tick_policy"] = function(_, _, text)
    options.choice("kvm-pit.lost_tick_policy", text, { "delay" })
  end,
}

--- "DRIVER.PROPERTY=VALUE", or "driver=DRIVER,property=PROPERTY,value=VALUE".
function machine_options.global(plan, text)
  local name, value = text:match "^([^=,]+%.[^=]+)=(.*)$"
  if not name then
    local given = option_string.parse(text)
    name = ("%s.%s"):format(given.driver, given.property)
    value = tostring(given.value)
  end
  option_value.kind("property", globals, name)(plan.machine, value == "1" or value == "on", value)
end

-- ---- the whole ---------------------------------------------------------------------------------

--- Completes the machine's options when all others are known.
function machine_options.finish(plan)
  local m = plan.machine
  choose_accel(plan)
  if plan.nodes then
    set_distances(plan)
    m.numa = plan.nodes
  elseif plan.distances[1] then
    options.fail("invalid", "-numa dist: there are no nodes")
  end
  if m.slots == 0 then m.slots = nil end
  if m.maxmem and m.maxmem == (m.memory or 128 * MiB) then m.maxmem, m.slots = nil, nil end
  m.fw_cfg = true
  m.smbios = next(plan.smbios) and plan.smbios
  m.boot = next(plan.boot) and plan.boot
end

return machine_options
