--- query-qmp-schema: what the declarations of commands and events, and the table of types, say, in
-- QEMU's form (SchemaInfo).

local core = require "lunik.core"
local json = require "lunik.json"
local arguments = require "lunik.qmp.arguments"
local dispatch = require "lunik.qmp.dispatch"
local events = require "lunik.qmp.events"
local names = require "lunik.qmp.names"
local shapes = require "lunik.qmp.shapes"

local schema = {}

local function array(list) return setmetatable(list or {}, json.Array) end

local builtins = { str = "string", int = "int", size = "int", number = "number", bool = "boolean",
  any = "value", object = "object", null = "null" }

local function sorted(t)
  local keys = {}
  for key in pairs(t) do
    if key ~= "..." then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

-- ---- entries -----------------------------------------------------------------------------------

local Schema = {}
Schema.__index = Schema

local function put(self, entry)
  self.known[entry.name] = true
  self.list[#self.list + 1] = entry
end

local function put_enum(self, name, values)
  local members = array()
  for i, value in ipairs(values) do members[i] = { name = value } end
  put(self, { name = name, ["meta-type"] = "enum", members = members,
    values = array(table.move(values, 1, #values, 1, {})) })
end

-- Returns the name of a type's entry, which is made if it is not there.
function Schema:type(kind)
  local element = kind:match "^%[(.+)%]$"
  local shape = shapes.all[kind]
  if self.known[kind] then return kind end
  self.known[kind] = true
  if element then
    put(self, { name = kind, ["meta-type"] = "array", ["element-type"] = self:type(element) })
  elseif kind == "object" then
    put(self, { name = kind, ["meta-type"] = "object", members = array() })
  elseif not shape then
    put(self, { name = kind, ["meta-type"] = "builtin", ["json-type"] = builtins[kind] })
  elseif shape.enum then
    put_enum(self, kind, shapes.values(shape))
  else
    self:object(kind, shape.members)
  end
  return kind
end

-- Makes the entry of an object with these members.
function Schema:object(name, members, more)
  local entry = { name = name, ["meta-type"] = "object", members = array() }
  for i, key in ipairs(sorted(members)) do
    local kind, optional = arguments.kind(members[key])
    entry.members[i] = { name = key, type = self:type(kind),
      default = optional and json.null or nil }
  end
  for key, value in pairs(more or {}) do entry[key] = value end
  put(self, entry)
  return name
end

-- ---- types -------------------------------------------------------------------------------------

local kinds = { size = "size", uint = "int", int = "int", bool = "bool", string = "str",
  link = "str", list = "[int]" }

-- The members that a type's properties are, as a declaration.
function Schema:properties(info)
  local members = {}
  for _, p in ipairs(info.props) do
    if not p.readonly then
      local kind = kinds[p.kind]
      if p.kind == "enum" then
        kind = ("%s.%s"):format(names.of_type(info.name), p.name)
        if not self.known[kind] then put_enum(self, kind, p.choices) end
      end
      members[p.name] = (p.required and "" or "?") .. kind
    end
  end
  return members
end

-- The variants of object-add: a type's properties as an object.
function Schema:variants()
  local variants = array()
  for _, name in ipairs(core.types()) do
    local info = core.type(name)
    if not info.abstract and not info.device then
      local qemu = names.of_type(name)
      variants[#variants + 1] = { case = qemu,
        type = self:object("properties of " .. qemu, self:properties(info)) }
    end
  end
  for name in pairs(names.stand_ins) do
    variants[#variants + 1] = { case = name,
      type = self:object("properties of " .. name, {}) }
  end
  return variants
end

-- ---- the whole ---------------------------------------------------------------------------------

function Schema:command(command)
  local name = "arguments of " .. command.name
  local more = command.by_type and { tag = command.by_type, variants = self:variants() }
  local members = {}
  for key, kind in pairs(command.args or {}) do members[key] = kind end
  if more then members.props = nil end
  self:object(name, members, more)
  put(self, {
    name = command.name, ["meta-type"] = "command", ["arg-type"] = name,
    ["ret-type"] = command.returns and self:type(command.returns) or self:nothing(),
    ["allow-oob"] = command.oob or nil,
    features = command.features and array(command.features) or nil,
  })
end

-- What a command without result returns.
function Schema:nothing()
  return self.known["nothing"] and "nothing" or self:object("nothing", {})
end

function Schema:event(kind)
  if self.known[kind.name] then return end
  local name = "data of " .. kind.name
  self:object(name, kind.args or {})
  put(self, { name = kind.name, ["meta-type"] = "event", ["arg-type"] = name })
end

--- Returns the schema, a list of SchemaInfo.
function schema.all()
  local self = setmetatable({ known = {}, list = array() }, Schema)
  for _, command in ipairs(dispatch.sorted()) do self:command(command) end
  for _, name in ipairs(sorted(events.table)) do
    for _, kind in ipairs(events.table[name]) do self:event(kind) end
  end
  return self.list
end

return schema
