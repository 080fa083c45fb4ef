--- What fits at a place in a line: ids, types, events, files, values of properties and options.
-- Sets of names.

local core = require "lunik.core"
local lunik = require "lunik"
local boards = require "lunik.board_loader"
local event = require "lunik.event"
local lua_line = require "lunik.command.lua_line"
local machine = require "lunik.machine"
local reference = require "lunik.command.reference"

local fitting = {}

local function set(list, into)
  into = into or {}
  for _, name in ipairs(list or {}) do into[name] = true end
  return into
end

-- ---- what is there -----------------------------------------------------------------------------

--- Returns the ids of objects for which fits(object) is true.
function fitting.ids(fits)
  local names = {}
  for _, m in ipairs(lunik.machines()) do
    for _, object in ipairs(m:objects()) do
      if object.id ~= "" and fits(object) then names[object.id] = true end
    end
  end
  return names
end

--- Returns the ids of objects of a type, or of one derived from it.
function fitting.ids_of(type_name)
  return fitting.ids(function(object) return object:is(type_name) end)
end

-- Returns the ids of objects that a link to that type may name: of those without another user.
local function free_ids_of(type_name)
  local names = fitting.ids_of(type_name)
  fitting.ids(function(object)
    for _, p in ipairs(core.type(object).props) do
      if p.link == type_name then names[object:get(p.name) or ""] = nil end
    end
  end)
  return names
end

local function any() return true end
local function is_device(object) return object.is_device end
local function is_backend(object) return not object.is_device end

--- Returns the types that can be added as devices (true) or objects (false); nil: all.
function fitting.types(device)
  local names = {}
  for _, name in ipairs(lunik.types()) do
    local info = core.type(name)
    if device == nil or info.device == device and not info.abstract then names[name] = true end
  end
  return names
end

function fitting.events() return set(event.known) end

--- Returns the files and folders that begin with start.
function fitting.files(start)
  local folder = start:match "^(.*/)" or ""
  local names = {}
  for _, name in ipairs(core.scandir(folder == "" and "." or folder) or {}) do
    local path = folder .. name
    if name:sub(1, 1) ~= "." or start:sub(#folder + 1, #folder + 1) == "." then
      names[core.lstat(path) == "dir" and path .. "/" or path] = true
    end
  end
  return names
end

local function board_names(start)
  local names = set(lunik.boards())
  return start:find "[./]" and fitting.files(start) or names
end

local REGISTERS = [[rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cs ds
  fs gs ss tr ldt cs.base ds.base es.base fs.base gs.base ss.base gdt.base gdt.limit idt.base
  idt.limit cr0 cr2 cr3 cr4 cr8 efer apic_base]]

local function registers()
  local names = {}
  for name in REGISTERS:gmatch "%S+" do names[name] = true end
  return names
end

local function quantities() return set(require("lunik.options").keys(
  require("lunik.sample").quantities)) end

local function subjects()
  local names = reference.names()
  for name in pairs(fitting.types()) do names[name] = true end
  for name in pairs(fitting.events()) do names[name] = true end
  set(lunik.boards(), names)
  for _, command in ipairs((require("lunik.hmp.monitor").commands())) do
    names[command.name] = true
  end
  return names
end

-- ---- arguments ---------------------------------------------------------------------------------

local function of_chardevs() return fitting.ids_of "chardev" end

-- What the first argument of these functions, a string, may be.
local first = {
  object = function() return fitting.ids(any) end,
  object_del = function() return fitting.ids(is_backend) end,
  device_del = function() return fitting.ids(is_device) end,
  set_link = function() return fitting.ids(is_device) end,
  console = of_chardevs, stream = of_chardevs,
  device_add = function() return fitting.types(true) end,
  object_add = function() return fitting.types(false) end,
  type = function() return fitting.types() end,
  help = subjects, on = fitting.events, once = fitting.events, wait = fitting.events,
  watch = fitting.events, reg = registers, set_reg = registers,
  dofile = fitting.files, loadfile = fitting.files, reload = fitting.files,
  open = fitting.files, boot_firmware = fitting.files, load_kernel = fitting.files,
}

-- Returns the texts that a documented type lists: "\"kvm\"|\"none\"".
local function choices_of(kind)
  local names = {}
  for choice in (kind or ""):gmatch '"([^"]*)"' do names[choice] = true end
  if (kind or ""):find("lunik.EventName", 1, true) then set(event.known, names) end
  return next(names) and names or nil
end

-- Returns the names of an object's properties.
local function properties_of(path)
  local object = lua_line.resolve(path:match "^(.*)[.:]" or "")
  local names = {}
  for _, p in ipairs(core.is_a(object, "lunik.Object") and core.type(object).props or {}) do
    names[p.name] = true
  end
  return names
end

--- Returns what the string may be that is an argument of that call; start: what is typed of it.
function fitting.argument(call, start)
  if call.n == 1 and first[call.name] then return first[call.name](start) end
  if call.n == 1 and (call.name == "get" or call.name == "set") then
    return properties_of(call.path)
  end
  local item = lua_line.callee(call.path)
  local param = item and item.params[call.n]
  return choices_of(param and param.type) or {}
end

-- ---- fields of tables --------------------------------------------------------------------------

local FILE_NAMES = { path = true, file = true, kernel = true, initrd = true, firmware = true,
  mem_path = true, logfile = true, romfile = true, pidfile = true }

local function field_of_property(p)
  return { kind = p.kind, choices = p.choices, link = p.link }
end

local function of_type(name)
  local fields = { id = {} }
  for _, p in ipairs(core.type(name) and core.type(name).props or {}) do
    if not p.readonly then fields[p.name:gsub("-", "_")] = field_of_property(p) end
  end
  return fields
end

local function of_machine(values)
  local fields = {}
  local ok, kinds = pcall(machine.kinds, values.board or "pc")
  for name, kind in pairs(ok and kinds or {}) do fields[name] = { kind = kind } end
  for _, field in ipairs(reference.options(reference.named "lunik.machine" or { params = {} }, 1)
    or {}) do
    local known = fields[field.name] or {}
    known.documented = field.type
    fields[field.name] = known
  end
  local _, own = pcall(function() return boards.options(boards.load(values.board or "pc")) end)
  for name, option in pairs(type(own) == "table" and own or {}) do
    if fields[name] then fields[name].choices = type(option) == "table" and option.choices end
  end
  fields.board, fields.memdev = { boards = true }, { link = "memory-backend" }
  return fields
end

-- Returns the fields of the table that the function of a call takes, by name; nil: not known.
local function fields_of(call)
  if call.name == "device_add" or call.name == "object_add" then
    return call.n == 2 and call.strings[1] and of_type(call.strings[1]) or nil
  elseif call.path:find "lunik[.]machine$" then
    return of_machine(call.table.values)
  end
  local item = lua_line.callee(call.path)
  local listed = item and reference.options(item, call.n)
  if not listed then return nil end
  local fields = {}
  for _, field in ipairs(listed) do
    if field.name:find "^[%a_]" then fields[field.name] = { documented = field.type } end
  end
  return fields
end

--- Returns the names that may be given in the table, without those that are already; nil: any.
function fitting.keys(call)
  local fields = fields_of(call)
  if not fields then return nil end
  local names = {}
  for name in pairs(fields) do
    if not call.table.keys[name] then names[name] = true end
  end
  return names
end

--- Returns the texts that the field `key` may have, and whether it may be true or false; nil: it
-- is not known. start: what is typed.
function fitting.values(call, key, start)
  local fields = fields_of(call)
  local field = fields and fields[key]
  if not field then return nil end
  local kind = field.kind or field.documented or ""
  if kind:find "^bool" then return {}, true end
  if field.choices then return set(field.choices) end
  if field.link then return free_ids_of(field.link) end
  if field.boards then return board_names(start or "") end
  local choices = choices_of(field.documented)
  if choices then return choices end
  return FILE_NAMES[key] and start and fitting.files(start) or {}
end

--- Returns what the item of a list may be.
function fitting.items(call)
  return (call.name == "sample" or call.name == "plot") and quantities() or {}
end

return fitting
