--- The lists that lunik-qemu shows: -help, -machine help, -device help, -device TYPE,help.

local command_line = require "lunik.qemu.command_line"
local core = require "lunik.core"
local machine_options = require "lunik.qemu.machine_options"
local names = require "lunik.qmp.names"
local options = require "lunik.options"

local help = {}

local function text(lines)
  return table.concat(lines, "\n") .. "\n"
end

--- -help
function help.options(program)
  local lines, ignored = { ("usage: %s [options]"):format(program), "" }, {}
  for _, o in ipairs(command_line.options) do
    if o[3] == "" then
      ignored[#ignored + 1] = "-" .. o[1]
    else
      lines[#lines + 1] = ("-%s%s"):format(o[1], o[2] and " " .. o[2] or "")
      lines[#lines + 1] = "                " .. o[3]
    end
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Without effect: " .. table.concat(ignored, ", ") .. "."
  return text(lines)
end

--- Returns the rows of the options' table in the documentation.
function help.rows()
  local rows = {}
  for i, o in ipairs(command_line.options) do
    local params = o[2] and " " .. o[2]:gsub("|", "\\|") or ""
    rows[i] = ("| `-%s%s` | %s |"):format(o[1], params, o[3] ~= "" and o[3] or "no effect here")
  end
  return rows
end

--- -version
function help.version()
  return ("Lunik %s, which understands the command line of QEMU emulator version 7.2.0\n")
    :format(core.version)
end

local function machines()
  local lines = { "Supported machines are:" }
  for _, name in ipairs(options.keys(machine_options.machines)) do
    lines[#lines + 1] = ("%-20s %s"):format(name, machine_options.machines[name])
  end
  return text(lines)
end

local function cpus()
  local lines = { "Available CPUs:" }
  for _, name in ipairs(machine_options.cpus) do
    lines[#lines + 1] = ("x86 %-16s the host's features"):format(name)
  end
  return text(lines)
end

-- Lists the types; devices: whether these.
local function types(devices)
  local lines = { devices and "Devices:" or "List of user creatable objects:" }
  for _, name in ipairs(core.types()) do
    local info = core.type(name)
    if not info.abstract and devices == info.device then
      local of = names.of_type(name)
      lines[#lines + 1] = devices and ('name "%s", desc "%s"'):format(of, info.doc) or "  " .. of
    end
  end
  for name in pairs(devices and {} or names.stand_ins) do lines[#lines + 1] = "  " .. name end
  return text(lines)
end

local kinds = { uint = "uint64", string = "str", link = "str", enum = "str" }

local function type_options(name, devices)
  local info = core.type(names.type(name))
  if not info or info.device ~= devices then
    options.fail("not-found", devices and "'%s' is not a valid device model name"
      or "invalid object type: %s", name)
  end
  local lines = { ("%s options:"):format(name) }
  for _, p in ipairs(info.props) do
    if not p.readonly then
      local choices = p.choices and (" (%s)"):format(table.concat(p.choices, ", ")) or ""
      lines[#lines + 1] = ("  %-24s %s%s"):format(("%s=<%s>"):format(p.name,
        kinds[p.kind] or p.kind), p.doc or "", choices)
    end
  end
  return text(lines)
end

local function is_help(word) return word == "help" or word == "?" end

local lists = {
  machine = machines, M = machines, cpu = cpus,
  device = function() return types(true) end, object = function() return types(false) end,
}

--- Returns the text that an option asks for with "help" in its value, or nil.
function help.of(option, value)
  if lists[option] and is_help(value) then return lists[option]() end
  local name, last = value:match "^([^,=]+),(.*)$"
  if (option == "device" or option == "object") and name and is_help(last) then
    return type_options(name, option == "device")
  end
end

return help
