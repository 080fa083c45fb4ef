--- QEMU's command line: a table of its options, and what they ask for.
--
-- parse() returns a plan: `machine`, options of lunik.machine(); lists of what to make, each
-- {where=, text=, given=}: objects, chardevs, netdevs, blockdevs, drives, devices, fw_cfg, fds,
-- ports (-serial), monitors, mons; and what the process does: actions, stopped, daemonize, pidfile,
-- sandbox, timestamp, help, version.

local core = require "lunik.core"
local machine_options = require "lunik.qemu.machine_options"
local option_string = require "lunik.qemu.option_string"
local option_value = require "lunik.qemu.option_value"
local options = require "lunik.options"

local command_line = {}

local Usage = { __tostring = function(err) return err.message end }

--- Raises that the command line is wrong.
function command_line.fail(...)
  error(setmetatable({ message = string.format(...) }, Usage), 0)
end

--- Whether an error was raised because the command line is wrong.
function command_line.is_usage(err)
  return getmetatable(err) == Usage
end

--- Calls fn(...); an error of the library becomes one that names the option. Returns fn's results.
function command_line.checked(where, fn, ...)
  local results = table.pack(pcall(fn, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local err = results[2]
  if command_line.is_usage(err) or type(err) ~= "table" then error(err, 0) end
  command_line.fail("%s: %s", where, tostring(err.message or err))
end

-- ---- what an option does -----------------------------------------------------------------------

local function accepted() end

local function flag(key)
  return function(plan) plan[key] = true end
end

local function text(key)
  return function(plan, value) plan[key] = value end
end

local function machine_text(key)
  return function(plan, value) plan.machine[key] = value end
end

-- Appends the parsed value to a list.
local function parsed(list, implied)
  return function(plan, value, where)
    local given, is_json = option_value.parse(value, implied)
    table.insert(plan[list], { where = where, given = given, is_json = is_json, text = value })
  end
end

-- Appends the value as it is.
local function listed(list, more)
  return function(plan, value, where)
    table.insert(plan[list], { where = where, text = value, more = more })
  end
end

local function only(...)
  local wanted = { ... }
  return function(_, value, where)
    for _, known in ipairs(wanted) do
      if value == known then return end
    end
    command_line.fail("%s: '%s' is not supported (want %s)", where, value,
      table.concat(wanted, " or "))
  end
end

-- The values of actions, as set-action has them.
local action_values = {
  reboot = { "reset", "shutdown" }, shutdown = { "poweroff", "pause" },
  panic = { "pause", "shutdown", "exit-failure", "none" },
  watchdog = { "reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi" },
}

local function set_action(name, value)
  return function(plan, given)
    plan.actions[name] = options.choice(name, value or given, action_values[name])
  end
end

local function action(plan, value)
  option_value.each(value, nil, action_values, function(to, name)
    set_action(name, to)(plan)
  end)
end

local function sandbox(plan, value)
  local given = option_string.parse(value, "enable")
  plan.sandbox = option_value.switch("sandbox", given.enable or "on")
end

local function message(plan, value)
  local given = option_string.parse(value)
  plan.timestamp = given.timestamp and option_value.switch("timestamp", given.timestamp)
end

-- ---- the table ---------------------------------------------------------------------------------

--- The options: name (without the dash), params, help and apply(plan, value, where). "" as help:
-- programs that drive QEMU write the option, which has no effect here.
command_line.options = {
  { "machine", "[type=]TYPE[,PROP=VALUE]...", "the board: pc or none; accel=, memory-backend=, "
    .. "kernel-irqchip=on|split, nvdimm=, acpi=, max-ram-below-4g=", machine_options.machine },
  { "M", "[type=]TYPE[,PROP=VALUE]...", "as -machine", machine_options.machine },
  { "accel", "NAME", "kvm, or tcg and none: the processors stay off", machine_options.accel },
  { "enable-kvm", nil, "as -accel kvm", function(plan) machine_options.accel(plan, "kvm") end },
  { "cpu", "MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off]", "features of the processors; all "
    .. "models are what the host has", machine_options.cpu },
  { "m", "[size=]MEGS[,slots=N][,maxmem=SIZE]", "memory, and what it may grow to",
    machine_options.memory },
  { "smp", "[cpus=]N[,maxcpus=N][,sockets=N][,dies=N][,cores=N][,threads=N]", "processors",
    machine_options.smp },
  { "numa", "node[,nodeid=N][,cpus=N-N][,memdev=ID][,mem=SIZE] or dist,src=N,dst=N,val=N",
    "a NUMA node, or a distance", machine_options.numa },
  { "object", "TYPE,id=ID[,PROP=VALUE]... or JSON", "an object; help lists the types",
    parsed("objects", "qom-type") },
  { "device", "DRIVER[,PROP=VALUE]... or JSON", "a device; help lists the drivers",
    parsed("devices", "driver") },
  { "global", "DRIVER.PROP=VALUE", "a property of the board: PIIX4_PM.disable_s3, .disable_s4, "
    .. ".s4_val", machine_options.global },
  { "chardev", "BACKEND,id=ID[,PROP=VALUE]...", "a character device: socket, file, pty, stdio, "
    .. "ringbuf or null", parsed("chardevs", "backend") },
  { "serial", "stdio|pty|null|none|file:PATH|unix:PATH|chardev:ID", "a serial port",
    listed "ports" },
  { "debugcon", "stdio|file:PATH|chardev:ID|...", "the debug console at port 0xe9",
    function(plan, value) plan.machine.debugcon = value:gsub("^chardev:", "") end },
  { "qmp", "stdio|unix:PATH[,server=on]|chardev:ID", "a monitor for programs",
    listed("monitors", "control") },
  { "monitor", "stdio|unix:PATH[,server=on]|chardev:ID|none", "a monitor for people",
    listed("monitors", "readline") },
  { "mon", "[chardev=]ID[,mode=readline|control]", "a monitor on a character device",
    parsed("mons", "chardev") },
  { "netdev", "user|tap|socket,id=ID[,PROP=VALUE]... or JSON", "the back end of a network",
    parsed("netdevs", "type") },
  { "nic", "none", "no network, as there is none without -netdev and -device", only("none") },
  { "net", "none", "the same", only("none") },
  { "blockdev", "[driver=]file|raw,node-name=NAME[,PROP=VALUE]... or JSON", "the back end of a "
    .. "disk", parsed("blockdevs", "driver") },
  { "drive", "file=PATH[,format=raw][,if=virtio|none][,id=ID][,read-only=on][,cache=none]...",
    "a disk", parsed("drives", "file") },
  { "kernel", "FILE", "boot this kernel", machine_text "kernel" },
  { "initrd", "FILE", "its initial RAM disk", machine_text "initrd" },
  { "append", "TEXT", "its command line", machine_text "cmdline" },
  { "bios", "FILE", "boot this firmware; without -bios and -kernel it is SeaBIOS, where that is "
    .. "installed", machine_text "firmware" },
  { "L", "FOLDER", "where firmware is", function(plan, value)
    table.insert(plan.folders, value)
  end },
  { "boot", "[order=LETTERS][,menu=on|off][,splash-time=MS][,reboot-timeout=MS][,strict=on]",
    "the boot menu; disks are booted by their bootindex", machine_options.boot },
  { "fw_cfg", "[name=]NAME,file=PATH or [name=]NAME,string=TEXT",
    "a file of the firmware configuration", parsed("fw_cfg", "name") },
  { "smbios", "type=0|1[,NAME=VALUE]...", "texts of the SMBIOS tables", machine_options.smbios },
  { "name", "[guest=]NAME", "the machine's name", machine_options.name },
  { "uuid", "UUID", "the machine's UUID", machine_options.uuid },
  { "rtc", "[base=utc][,clock=host|vm]", "what the real-time clock follows", machine_options.rtc },
  { "S", nil, "do not start the machine: a monitor's cont does", flag "stopped" },
  { "no-reboot", nil, "end instead of a reset by the guest", set_action("reboot", "shutdown") },
  { "no-shutdown", nil, "stay when the guest has powered off",
    set_action("shutdown", "pause") },
  { "action", "[reboot=reset|shutdown][,shutdown=poweroff|pause][,panic=ACTION][,watchdog=ACTION]",
    "the same, and what a panic and a watchdog do", action },
  { "watchdog-action", "ACTION", "what watchdogs do that have no action of their own",
    set_action "watchdog" },
  { "nographic", nil, "the serial port is on the terminal", flag "nographic" },
  { "nodefaults", nil, "no serial port that is not asked for", flag "nodefaults" },
  { "no-acpi", nil, "no ACPI tables", function(plan) plan.machine.acpi = false end },
  { "daemonize", nil, "go on in the background when all is set up", flag "daemonize" },
  { "pidfile", "FILE", "write the number of the process", text "pidfile" },
  { "add-fd", "fd=N,set=N[,opaque=TEXT]", "an inherited descriptor for /dev/fdset/N",
    parsed("fds", "fd") },
  { "sandbox", "on|off[,...]", "Lunik's sandbox, which by default is on where the host allows it: "
    .. "no programs, no network", sandbox },
  { "msg", "timestamp=on|off", "put the time before messages", message },
  { "display", "none", "there is no other", only("none") },
  { "vga", "none", "there is no other", only("none") },
  { "vnc", "none", "there is no other", only("none") },
  { "parallel", "none", "there is no other", only("none") },
  { "no-user-config", nil, "", accepted },
  { "no-hpet", nil, "", accepted },
  { "no-fd-bootchk", nil, "", accepted },
  { "usb", nil, "", accepted },
  { "overcommit", "TEXT", "", accepted },
  { "audiodev", "TEXT", "", accepted },
  { "version", nil, "show the version", flag "version" },
  { "help", nil, "show this", flag "help" },
  { "h", nil, "show this", flag "help" },
}

local known, names = {}, {}
for i, o in ipairs(command_line.options) do
  known[o[1]] = { name = o[1], params = o[2], help = o[3], apply = o[4] }
  names[i] = o[1]
end

-- ---- parsing -----------------------------------------------------------------------------------

local function find(word)
  local name = word:match "^%-%-?(.+)$"
  if not name then
    command_line.fail("%s: is no option (disk images are given with -drive or -blockdev)", word)
  end
  if known[name] then return known[name] end
  local near = core.suggest(name, names)
  command_line.fail("%s: is not supported%s; -help lists what is", word,
    near and (" (did you mean -%s?)"):format(near) or "")
end

local lists = { "objects", "devices", "chardevs", "netdevs", "blockdevs", "drives", "ports",
  "mons", "monitors", "fw_cfg", "fds", "folders", "accels", "distances" }

local function new_plan()
  local plan = { machine = { rtc = "host" }, smbios = {}, boot = {},
    actions = {} }
  for _, name in ipairs(lists) do plan[name] = {} end
  return plan
end

--- Returns the plan for a command line, a list of words.
function command_line.parse(words)
  local plan, i = new_plan(), 1
  while i <= #words do
    local option, where, value = find(words[i]), words[i], nil
    if option.params then
      i = i + 1
      value = words[i]
      if not value then
        command_line.fail("%s: requires an argument (want %s)", where, option.params)
      end
      where = ("%s %s"):format(where, value)
    end
    command_line.checked(where, option.apply, plan, value, where)
    i = i + 1
  end
  return plan
end

return command_line
