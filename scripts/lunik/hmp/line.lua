--- Lines at a prompt that takes commands of the monitor besides Lua: whether one is such a command,
-- and what may follow in it.

local core = require "lunik.core"
local monitor = require "lunik.hmp.monitor"
local names = require "lunik.qmp.names"

local line = {}

-- ---- a command or Lua --------------------------------------------------------------------------

-- Returns the name that a line begins with if what follows may be a command's arguments: the end, a
-- space or a format.
local function first_word(text)
  return text:match "^%s*([%a?][%w_-]*)%f[%s/%z]"
end

-- What only Lua has after a name and a space.
local function goes_on_as_lua(text)
  return text:find "^%s*[%a_][%w_]*%s*[=(%[{.:,\"']" ~= nil
end

--- Whether a line is a command: its first word names one, and it is either no Lua, or no more than
-- an expression whose first name has no value. defined(name): whether the name has one.
function line.is_command(text, defined)
  local name = first_word(text)
  local commands = monitor.commands()
  if not name or not commands[name] then return false end
  if load("return " .. text, "=line", "t") == nil then
    return load(text, "=line", "t") == nil and not goes_on_as_lua(text)
  end
  return load(text, "=line", "t") == nil and not (defined and defined(name) or _G[name] ~= nil)
end

-- ---- words -------------------------------------------------------------------------------------

-- Returns those that begin with a word, each once, in order.
local function matching(all, word)
  local found, seen = {}, {}
  for _, text in ipairs(all) do
    if text:sub(1, #word) == word and not seen[text] then
      seen[text] = true
      found[#found + 1] = text
    end
  end
  table.sort(found)
  return found
end

local function command_names(list)
  local all = {}
  for _, command in ipairs(list) do
    all[#all + 1] = command.name
    all[#all + 1] = command.alias
  end
  return all
end

local function objects(m)
  return m and m.state ~= "closed" and m:objects() or {}
end

local function ids(m, fits)
  local all = {}
  for _, object in ipairs(objects(m)) do
    if object.id ~= "" and fits(object) then all[#all + 1] = object.id end
  end
  return all
end

local function is_device(object) return object.is_device end
local function is_object(object) return not object.is_device end

-- ---- options of device_add and object_add ------------------------------------------------------

local function types(devices)
  local all = {}
  for _, name in ipairs(core.types()) do
    local info = core.type(name)
    if not info.abstract and (info.device and true or false) == devices then
      all[#all + 1] = names.of_type(name)
    end
  end
  return all
end

-- Links to what has one user at most.
local EXCLUSIVE = { memdev = true, drive = true, chardev = true, netdev = true }

-- The ids that properties of that name have.
local function taken(m, name)
  local used = {}
  for _, object in ipairs(objects(m)) do
    local ok, id = pcall(object.get, object, name)
    if ok and id then used[id] = true end
  end
  return used
end

local function linked(m, p)
  local used = EXCLUSIVE[p.name] and taken(m, p.name) or {}
  local found = ids(m, function(object)
    return object:is(p.link) and not used[object.id] and not used[object.path]
  end)
  if p.link == "pci-bus" and m and names.host_bridge(m) then found[#found + 1] = "pci.0" end
  return found
end

local function values(m, p)
  if p.kind == "bool" then return { "on", "off" } end
  if p.kind == "enum" then return p.choices end
  return p.kind == "link" and linked(m, p) or {}
end

local function property(info, name)
  for _, p in ipairs(info.props) do
    if p.name == name and not p.readonly then return p end
  end
end

-- Returns what may stand for one option; given: the ones before it.
local function option(m, info, given, part)
  local name = part:match "^([^=]*)="
  local all = {}
  if name then
    local p = property(info, name)
    for _, value in ipairs(p and values(m, p) or {}) do all[#all + 1] = name .. "=" .. value end
    return matching(all, part)
  end
  if not given:find ",id=" then all[1] = "id=" end
  for _, p in ipairs(info.props) do
    if not p.readonly and not given:find("," .. p.name .. "=", 1, true) then
      all[#all + 1] = p.name .. "="
    end
  end
  return matching(all, part)
end

-- Returns a function that completes the option string at a position.
local function options(devices)
  return function(m, word, at)
    local given, part = word:match "^(.*,)([^,]*)$"
    if not given then return matching(types(devices), word), at end
    local info = core.type(names.type((given:match "^([^,]*)":gsub("^[^=]*=", ""))))
    if not info then return {}, at end
    return option(m, info, given, part), at + #given
  end
end

-- ---- arguments ---------------------------------------------------------------------------------

local function words(list)
  return function(m, word, at)
    return matching(type(list) == "function" and list(m) or list, word), at
  end
end

local function paths(m)
  local all = {}
  for _, object in ipairs(objects(m)) do all[#all + 1] = names.path(object) end
  for _, id in ipairs(ids(m, function() return true end)) do all[#all + 1] = id end
  return all
end

local function properties(m, word, at, before)
  local object = m and names.object(m, before[2] or "")
  local all = {}
  for _, p in ipairs(object and core.type(object).props or {}) do all[#all + 1] = p.name end
  return matching(all, word), at
end

local function indices(m)
  local all = {}
  for i, cpu in ipairs(m and m:cpus() or {}) do all[i] = tostring(cpu.index) end
  return all
end

local function all_commands() return command_names((monitor.commands())) end

local function subcommands(_, word, at)
  local _, info = monitor.commands()
  return matching(command_names(info), word), at
end

local function help_topic(_, word, at, before)
  if before[2] == "info" then return subcommands(nil, word, at) end
  return matching(all_commands(), word), at
end

local function info_argument(m, word, at, before)
  local flags = { mtree = { "-f", "-d", "-o", "-D" }, registers = { "-a" } }
  if flags[before[2]] and word:find "^%-" then return matching(flags[before[2]], word), at end
  local by_cpu = before[2] == "registers" or before[2] == "lapic"
  return matching(by_cpu and indices(m) or {}, word), at
end

local nics = words(function(m)
  return ids(m, function(o) return o:is "netdev" or o.type:find "^virtio%-net" ~= nil end)
end)

-- What each command's arguments are; the last one repeats. Where none is given, nothing fits.
local ARGUMENTS = {
  device_add = { options(true) }, object_add = { options(false) },
  device_del = { words(function(m) return ids(m, is_device) end), words {} },
  object_del = { words(function(m) return ids(m, is_object) end), words {} },
  ["qom-get"] = { words(paths), properties, words {} },
  ["qom-set"] = { words(paths), properties, words {} },
  set_link = { nics, words { "on", "off" }, words {} },
  cpu = { words(indices), words {} }, help = { help_topic }, info = { subcommands, info_argument },
}
ARGUMENTS["?"] = ARGUMENTS.help

local function complete(m, text)
  local before = {}
  local word_at = text:match "()%S*$"
  for word in text:sub(1, word_at - 1):gmatch "%S+" do before[#before + 1] = word end
  local word = text:sub(word_at)
  if #before == 0 then return matching(all_commands(), word), word_at end
  local arguments = ARGUMENTS[before[1]]
  local argument = arguments and arguments[math.min(#before, #arguments)]
  if not argument then return {}, word_at end
  return argument(m, word, word_at, before)
end

--- Returns what may stand where the word before the cursor is, in order, and where that begins: an
-- option of device_add and object_add begins after the last comma. position: of the last character
-- before the cursor, nil: the last one. m: nil if there is no machine.
function line.complete(m, text, position)
  text = text:sub(1, position)
  local ok, found, from = pcall(complete, m, text)
  if ok then return found, from end
  return {}, #text + 1
end

return line
