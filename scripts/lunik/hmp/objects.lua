--- Commands that make and remove objects and devices.

local core = require "lunik.core"
local names = require "lunik.qmp.names"
local option_string = require "lunik.qemu.option_string"
local options = require "lunik.options"
local properties = require "lunik.qemu.properties"

-- Returns what an option string that begins with a type asks for: the type in Lunik's words, and
-- its properties.
local function thing(args, implied)
  local text = args:rest()
  if text == "" then options.fail("invalid", "%s: is missing", implied) end
  local given = option_string.parse(text, implied)
  local type_name = names.type(given[implied])
  given[implied] = nil
  return type_name, properties.of(type_name, given)
end

local function object_add(self, args)
  local type_name, props = thing(args, "qom-type")
  self.machine:object_add(type_name, props)
end

local function device_add(self, args)
  local type_name, props = thing(args, "driver")
  names.device_properties(self.machine, core.type(type_name), props)
  self.machine:device_add(type_name, props)
end

local function found(self, id, kind)
  local object = names.object(self.machine, id)
  if not object then options.fail("not-found", "%s '%s' not found", kind, id) end
  return object
end

local function number(text)
  return math.type(tonumber(text)) == "integer" and math.tointeger(tonumber(text)) or text
end

local function qom_set(self, args)
  local object = found(self, args:need_word "path", "Device")
  local name, text = args:need_word "property", args:rest()
  local typed = properties.of(object.type, { [name] = text })[name]
  object:set(name, typed or number(text))
end

local function qom_get(self, args)
  local object = found(self, args:need_word "path", "Device")
  local name = args:need_word "property"
  args:finish()
  local value = object:get(name)
  self:print(type(value) == "string" and '"%s"' or "%s", tostring(value))
end

return {
  {
    name = "object_add", params = "[qom-type=]type,id=str[,prop=value][,...]",
    help = "create QOM object", run = object_add,
  },
  {
    name = "object_del", params = "id", help = "destroy QOM object",
    run = function(self, args)
      local id = args:need_word "id"
      args:finish()
      self.machine:object_del(id)
    end,
  },
  {
    name = "device_add", params = "driver[,prop=value][,...]",
    help = "add device, like -device on the command line", run = device_add,
  },
  {
    name = "device_del", params = "device", help = "remove device",
    run = function(self, args)
      local device = found(self, args:need_word "id", "Device")
      args:finish()
      self.machine:device_del(device)
    end,
  },
  {
    name = "qom-get", params = "path property", help = "print QOM property", run = qom_get,
  },
  {
    name = "qom-set", params = "path property value", help = "set QOM property", run = qom_set,
  },
  {
    name = "balloon", params = "target",
    help = "request VM to change its memory allocation (in MB)",
    run = function(self, args)
      local megabytes = args:need_number "target"
      args:finish()
      self.machine:balloon(megabytes << 20)
    end,
  },
  {
    name = "set_link", params = "name on|off", help = "change the link status of a network adapter",
    run = function(self, args)
      local id, state = args:need_word "name", args:need_word "up"
      args:finish()
      options.choice("up", state, { "on", "off" })
      self.machine:set_link(id, state == "on")
    end,
  },
}
