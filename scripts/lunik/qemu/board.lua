--- The pc board of QEMU's command line: the back ends before it, the devices after it.
--
-- Objects, networks, disks and devices are made by the commands of QMP that make them, with their
-- names and messages.

local boards = require "lunik.board_loader"
local chardevs = require "lunik.qemu.chardevs"
local command_line = require "lunik.qemu.command_line"
local core = require "lunik.core"
local disks = require "lunik.qemu.disks"
local dispatch = require "lunik.qmp.dispatch"
local fds = require "lunik.qmp.fds"
local json = require "lunik.json"
local machine_options = require "lunik.qemu.machine_options"
local names = require "lunik.qmp.names"
local option_string = require "lunik.qemu.option_string"
local option_value = require "lunik.qemu.option_value"
local options = require "lunik.options"
local properties = require "lunik.qemu.properties"

local board = {}

local checked = command_line.checked

local function call(m, name, args)
  return dispatch.call(m, name, setmetatable(args, json.Object))
end

-- Returns the arguments of a command for an option: a string's values get the types of the object's
-- properties. implied: the argument that names the type.
local function typed(item, implied, type_of)
  local given = item.given
  if item.is_json then return given end
  local name = given[implied]
  local lunik_type = name and type_of(name)
  if not lunik_type or not core.type(lunik_type) then return given end
  local strings = {}
  for key, value in pairs(given) do
    if key ~= implied then strings[key] = value end
  end
  local args = properties.of(lunik_type, strings)
  args[implied] = name
  return args
end

-- ---- before the board --------------------------------------------------------------------------

local function add_fd(m, item)
  local given = item.given
  local fd, set = option_value.number("fd", given.fd), option_value.number("set", given.set)
  local file = io.open(("/proc/self/fdinfo/%d"):format(fd))
  if not file then options.fail("invalid", "fd: '%d' is not open", fd) end
  file:close()
  fds.add(m, fd, set, given.opaque)
end

-- Makes a character device of type and properties, which are strings or typed.
local function add_chardev(m, type_name, props)
  if not type_name then return props end
  local strings, rest = {}, {}
  for name, value in pairs(props) do
    local kind = type(value) == "string" and strings or rest
    kind[name] = value
  end
  local out = properties.of(type_name, strings)
  for name, value in pairs(rest) do out[name] = value end
  if out.path and names.object(m, props.id) then
    options.fail("exists", "Chardev with id '%s' already exists", props.id)
  end
  fds.paths(m, out)
  return m:object_add(type_name, out).id
end

--- Makes the character device that -serial and the like say in short; returns its id, or nil.
function board.short_chardev(m, item, id)
  return checked(item.where, function()
    return add_chardev(m, chardevs.short(item.text, id))
  end)
end

local function add_netdev(m, item)
  local forwards = {}
  for _, pair in ipairs(item.is_json and {} or option_string.list(item.text, "type")) do
    if pair[1] == "hostfwd" then forwards[#forwards + 1] = pair[2] end
  end
  local list = item.is_json and item.given.hostfwd
  for i, forward in ipairs(type(list) == "table" and list or {}) do forwards[i] = forward.str end
  local kinds = require "lunik.qemu.netdevs"
  local args = typed(item, "type", function(name) return kinds[name] and kinds[name][1] end)
  args.hostfwd = forwards[1] and table.concat(forwards, ",") or nil
  call(m, "netdev_add", args)
end

local function add_drive(m, item, plan, number)
  local node, device = disks.drive(item.given, number)
  call(m, "blockdev-add", node)
  if device then
    table.insert(plan.devices, { where = item.where, given = device, is_json = true })
  end
end

local function add_back_ends(m, plan)
  for _, item in ipairs(plan.fds) do checked(item.where, add_fd, m, item) end
  for _, item in ipairs(plan.chardevs) do
    checked(item.where, function() add_chardev(m, chardevs.parse(item.given)) end)
  end
  for _, item in ipairs(plan.objects) do
    checked(item.where, function() call(m, "object-add", typed(item, "qom-type", names.type)) end)
  end
  for _, item in ipairs(plan.netdevs) do checked(item.where, add_netdev, m, item) end
  for _, item in ipairs(plan.blockdevs) do
    checked(item.where, function()
      call(m, "blockdev-add", disks.blockdev(item.given, item.is_json))
    end)
  end
  for i, item in ipairs(plan.drives) do checked(item.where, add_drive, m, item, plan, i - 1) end
end

-- ---- after it ----------------------------------------------------------------------------------

local function add_ports(m, plan)
  local ports = plan.ports
  if not ports[1] and not plan.nodefaults then
    ports = { { where = "-serial", text = plan.nographic and "stdio" or "null" } }
  end
  for i, item in ipairs(ports) do
    local id = board.short_chardev(m, item, ("serial%d-chardev"):format(i - 1))
    if id then
      checked(item.where, call, m, "device_add",
        { driver = "isa-serial", index = i - 1, chardev = id })
    end
  end
end

-- Adds the devices; returns them as the board takes them, {type, properties}...
local function add_devices(m, plan)
  local list = {}
  for _, item in ipairs(plan.devices) do
    checked(item.where, function()
      local args = typed(item, "driver", names.type)
      list[#list + 1] = { names.type(args.driver), args }
      call(m, "device_add", args)
    end)
  end
  return list
end

local function add_files(m, plan)
  for _, item in ipairs(plan.fw_cfg) do
    local given = item.given
    checked(item.where, function()
      if not given.name then options.fail("invalid", "name is missing") end
      m:fw_cfg_add(given.name, given.file and { file = given.file } or given.string or "")
    end)
  end
end

-- ---- the machine -------------------------------------------------------------------------------

local function on_pc(plan)
  local pc = boards.load "pc"
  return {
    name = "pc", options = boards.options(pc),
    build = function(m, opt)
      add_back_ends(m, plan)
      pc.build(m, opt)
      add_ports(m, plan)
      plan.added = add_devices(m, plan)
      add_files(m, plan)
    end,
    finish = function(m, opt)
      opt.devices = plan.added -- those with a bootindex are booted
      pc.finish(m, opt)
    end,
  }
end

local function is_file(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local folders = { "/usr/share/seabios", "/usr/share/qemu" }

-- Finds the firmware: what -bios names, or without a kernel SeaBIOS.
local function find_firmware(plan)
  local m = plan.machine
  local wanted = m.firmware and { m.firmware } or not m.kernel and { "bios-256k.bin", "bios.bin" }
  for _, name in ipairs(wanted or {}) do
    if m.firmware and is_file(name) then return end
    for _, list in ipairs { plan.folders, folders } do
      for _, folder in ipairs(list) do
        local path = ("%s/%s"):format(folder, name)
        if is_file(path) then
          m.firmware = path
          return
        end
      end
    end
  end
  if m.firmware then command_line.fail("-bios %s: there is no such file", m.firmware) end
  if not m.kernel and m.accel ~= "none" then
    command_line.fail("-bios: there is nothing to boot (want -bios, -kernel or Debian's package "
      .. "seabios)")
  end
end

--- Builds the machine of a plan.
function board.build(plan)
  checked("-machine", machine_options.finish, plan)
  local given = plan.machine
  if plan.no_board then
    return require("lunik.machine").new { name = given.name, accel = "none", memory = "1M",
      board = { name = "none", build = function(m) add_back_ends(m, plan) end } }
  end
  find_firmware(plan)
  given.board = on_pc(plan)
  given.serial_port = false
  local ok, result = pcall(require("lunik.machine").new, given)
  if ok then return result end
  if type(result) == "table" and not command_line.is_usage(result) then
    command_line.fail("%s", tostring(result.message or result))
  end
  error(result, 0)
end

return board
