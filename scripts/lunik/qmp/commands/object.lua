--- Commands about objects, their properties and types.

local core = require "lunik.core"
local event = require "lunik.event"
local json = require "lunik.json"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"
local names = require "lunik.qmp.names"

local function array(list) return setmetatable(list or {}, json.Array) end

-- ---- object-add, object-del --------------------------------------------------------------------

-- Objects without effect: id -> type.
local function stand_ins(m)
  local state = event.state(m)
  state.stand_ins = state.stand_ins or {}
  return state.stand_ins
end

local function properties(args)
  local props = {}
  for name, value in pairs(args.props or {}) do props[name] = value end
  for name, value in pairs(args) do
    if name ~= "qom-type" and name ~= "props" then props[name] = value end
  end
  return props
end

local function object_add(m, args)
  local kind, props = args["qom-type"], properties(args)
  if names.stand_ins[kind] then
    stand_ins(m)[args.id] = kind
    return
  end
  if m:object(args.id) then
    failure.generic("attempt to add duplicate property '%s' to object (type 'container')", args.id)
  end
  fds.paths(m, props)
  local ok, err = pcall(m.object_add, m, names.type(kind), props)
  if ok then return end
  local unknown = err.code == "not-found" and err.message:match "has no property '(.-)'"
  if unknown then failure.generic("Parameter '%s' is unexpected", unknown) end
  error(err, 0)
end

local function object_del(m, args)
  if stand_ins(m)[args.id] then
    stand_ins(m)[args.id] = nil
    return
  end
  local object = m:object(args.id)
  if not object or object.is_device or object.id ~= args.id then
    failure.generic("object '%s' not found", args.id)
  end
  local ok, err = pcall(m.object_del, m, object)
  if ok then return end
  if err.code == "busy" then
    failure.generic("object '%s' is in use, can not be deleted", args.id)
  end
  error(err, 0)
end

-- ---- the tree ----------------------------------------------------------------------------------

local containers = {
  ["/machine"] = { "peripheral", "peripheral-anon", "unattached" },
  ["/"] = { "machine", "objects" },
  ["/machine/peripheral"] = {}, ["/machine/peripheral-anon"] = {}, ["/machine/unattached"] = {},
  ["/objects"] = {},
}

local function is_in(path, folder)
  return path:sub(1, #folder + 1) == folder .. "/" and not path:find("/", #folder + 2, true)
end

-- Lists what is in a folder; nil: there is no such folder.
local function list_folder(m, path)
  if not containers[path] then return nil end
  local list = array { { name = "type", type = "string" } }
  for _, name in ipairs(containers[path]) do
    list[#list + 1] = { name = name, type = "child<container>" }
  end
  for _, object in ipairs(m:objects()) do
    local of = names.path(object)
    if is_in(of, path) then
      list[#list + 1] = { name = of:match "[^/]+$",
        type = ("child<%s>"):format(names.of_type(object.type)) }
    end
  end
  for id, kind in pairs(path == "/objects" and stand_ins(m) or {}) do
    list[#list + 1] = { name = id, type = ("child<%s>"):format(kind) }
  end
  return list
end

local kinds = {
  size = "size", uint = "uint64", int = "int64", bool = "bool", enum = "str", string = "str",
  list = "list",
}

local function type_of(p)
  return p.kind == "link" and ("link<%s>"):format(names.of_type(p.link)) or kinds[p.kind]
end

-- Describes the properties of a type.
local function list_properties(info)
  local list = array()
  for _, p in ipairs(info.props) do
    list[#list + 1] = { name = p.name, type = type_of(p), description = p.doc,
      ["default-value"] = p.default }
  end
  return list
end

-- What clients look for that has another name here.
local extra = {
  ["virtio-balloon-pci"] = {
    ["guest-stats"] = { type = "guest statistics", get = function(m)
      return require("lunik.qmp.balloon_stats")(m)
    end },
  },
}

local function extras(object) return extra[object.type] or {} end

local function find(m, path)
  local object = names.object(m, path)
  if not object then failure.no_device(path) end
  return object
end

local function qom_list(m, args)
  local folder = list_folder(m, (args.path:gsub("(.)/$", "%1")))
  if folder then return folder end
  local object = find(m, args.path)
  local list = array { { name = "type", type = "string" } }
  for _, p in ipairs(list_properties(core.type(object))) do
    list[#list + 1] = { name = p.name, type = p.type }
  end
  for name, p in pairs(extras(object)) do list[#list + 1] = { name = name, type = p.type } end
  return list
end

local function property(object, name)
  for _, p in ipairs(core.type(object).props) do
    if p.name == name then return p end
  end
  failure.generic("Property '%s.%s' not found", names.of_type(object.type), name)
end

local function qom_get(m, args)
  if args.property == "type" and list_folder(m, args.path) then return "container" end
  local object = find(m, args.path)
  if args.property == "type" then return names.of_type(object.type) end
  local more = extras(object)[args.property]
  if more then return more.get(m, object) end
  local p = property(object, args.property)
  local value = object:get(p.name)
  if p.kind == "link" then
    local target = value and m:object(value)
    return target and names.path(target) or ""
  elseif p.kind == "list" then
    return array(value)
  elseif value == nil then
    return ""
  end
  return value
end

local function qom_set(m, args)
  local object = find(m, args.path)
  local p = property(object, args.property)
  local value = args.value
  if value == json.null then
    failure.generic("Invalid parameter type for '%s', expected: %s", args.property, type_of(p))
  end
  object:set(p.name, value)
end

-- ---- types -------------------------------------------------------------------------------------

local function inherits(info, parent)
  while info do
    if info.name == parent then return true end
    info = info.parent and core.type(info.parent)
  end
  return false
end

local function qom_list_types(_, args)
  local list, wanted = array(), args.implements and names.type(args.implements)
  for _, name in ipairs(core.types()) do
    local info = core.type(name)
    local fits = not wanted or inherits(info, wanted)
      or wanted == "device" and info.device or wanted == "object"
    if fits and (args.abstract or not info.abstract) then
      list[#list + 1] = { name = names.of_type(name), abstract = info.abstract or nil,
        parent = names.of_type(info.parent or (info.device and "device" or "object")) }
    end
  end
  for name in pairs(names.accels()) do
    if not wanted or wanted == "accel" or wanted == "object" then
      list[#list + 1] = { name = name, parent = "accel" }
    end
  end
  return list
end

local function device_list_properties(_, args)
  local info = core.type(names.type(args.typename))
  if not info then failure.no_device(args.typename) end
  if not info.device then
    failure.generic("Parameter 'typename' expects a non-abstract device type")
  end
  return list_properties(info)
end

-- Types of QEMU's that have no counterpart, which libvirt asks for and must not be refused.
local bare = { ["none-machine"] = true, ["max-x86_64-cpu"] = true }

local function qom_list_properties(_, args)
  local name = args.typename
  if bare[name] or name == names.MACHINE .. "-machine" then return array() end
  local info = core.type(names.type(name))
  if not info then failure.raise("DeviceNotFound", "Class '%s' not found", name) end
  return list_properties(info)
end

return {
  { name = "object-add", args = { ["qom-type"] = "ObjectType", id = "str", props = "?object",
    ["..."] = true }, by_type = "qom-type", run = object_add },
  { name = "object-del", args = { id = "str" }, run = object_del },
  { name = "qom-list", args = { path = "str" }, returns = "[ObjectPropertyInfo]",
    run = qom_list },
  { name = "qom-get", args = { path = "str", property = "str" }, returns = "any",
    run = qom_get },
  { name = "qom-set", args = { path = "str", property = "str", value = "any" }, run = qom_set },
  { name = "qom-list-types", args = { implements = "?str", abstract = "?bool" },
    returns = "[ObjectTypeInfo]", run = qom_list_types },
  { name = "qom-list-properties", args = { typename = "str" },
    returns = "[ObjectPropertyInfo]", run = qom_list_properties },
  { name = "device-list-properties", args = { typename = "str" },
    returns = "[ObjectPropertyInfo]", run = device_list_properties },
}
