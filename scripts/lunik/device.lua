--- Devices defined by scripts: lunik.device{...} makes a type for m:device_add().

local core = require "lunik.core"
local device_pci = require "lunik.device_pci"
local device_state = require "lunik.device_state"
local options = require "lunik.options"
local event = require "lunik.event"

local fail = options.fail

local device = { DevPci = device_pci.Pci }

local shared = core.shared
shared.devices = shared.devices or {} -- object -> dev, from realize to unrealize

-- ---- instances ---------------------------------------------------------------------------------

local Dev = {}
Dev.__index = Dev
Dev.__name = "lunik.Dev"
device.Dev = Dev

--- Returns the instance of a device that is realized: m:object("id").dev.
function core.classes.Object.getters.dev(object)
  return shared.devices[object]
end

--- Makes the table dev.props, which reads and writes properties: dev.props["io-base"],
-- dev.props.io_base.
local function properties(object)
  return setmetatable({}, {
    __index = function(_, name) return object:get(name) end,
    __newindex = function(_, name, value) object:set(name, value) end,
  })
end

local function add_region(dev, space, what, spec)
  options.known(what, spec, { name = 1, base = 1, size = 1, read = 1, write = 1, peek = 1,
    valid = 1, impl = 1, endian = 1, priority = 1, overlap = 1 })
  local function number(key, kind)
    local value = spec[key]
    if type(value) == "function" then value = value(dev) end
    if type(value) == "string" and not value:find "^%d" then value = dev.object:get(value) end
    return options.value(("%s: %s"):format(what, key), value, kind)
  end
  local read, write, peek = spec.read, spec.write, spec.peek
  local region = dev.machine:region {
    kind = "io", name = spec.name or dev.object.type, owner = dev.object,
    size = number("size", "size"),
    read = read and function(offset, size) return read(dev, offset, size) end,
    write = write and function(offset, size, value) return write(dev, offset, size, value) end,
    peek = peek and function(offset, size) return peek(dev, offset, size) end,
    valid = spec.valid, impl = spec.impl, endian = spec.endian,
  }
  table.insert(dev.regions, region) -- before it is mapped, for cleanup() to find it
  space.root:add(region, number("base", "address"),
    { priority = spec.priority, overlap = spec.overlap })
  return region
end

--- Adds I/O ports: {base=, size=, read=function(dev, offset, size), write=function(dev, offset,
-- size, value)}; base and size may be a property's name. The ports must be free, unless priority or
-- overlap is given, which have the same meaning as for Region:add().
function Dev:ports(spec)
  return add_region(self, self.machine.io, self.object.type .. ": ports", spec)
end

--- The same in the memory space.
function Dev:mmio(spec)
  return add_region(self, self.machine.memory, self.object.type .. ": mmio", spec)
end

--- Makes a source of an interrupt line, which is closed with the device.
function Dev:irq(gsi)
  local source = self.machine:irq(gsi)
  table.insert(self.irqs, source)
  return source
end

--- Makes a timer on the machine's clock that calls fn(dev); it is cancelled with the device.
function Dev:timer(fn)
  options.value("timer: function", fn, "function")
  local timer = self.machine:timer(function() fn(self) end)
  table.insert(self.timers, timer)
  return timer
end

--- Sends an event of the machine; its field `device` is the device's id or path.
function Dev:emit(name, fields)
  local all = { device = self.id ~= "" and self.id or self.object.path }
  for key, value in pairs(fields or {}) do all[key] = value end
  self.machine:emit(name, all)
end

--- Answers unplug: removes the device.
function Dev:eject()
  core.ejected(self.object)
end

--- Answers unplug: keeps the device.
function Dev:refuse(source, status)
  core.refused(self.object, source or 0, status or 0)
end

local function cleanup(dev)
  if dev.machine.state == "closed" then return end
  for _, timer in ipairs(dev.timers) do timer:cancel() end
  for _, region in ipairs(dev.regions) do
    local parent = region.parent
    if parent then parent:del(region) end
  end
  for _, source in ipairs(dev.irqs) do source:close() end
end

local function as_list(specs)
  if specs == nil then return {} end
  return specs[1] and specs or { specs }
end

local function build(dev, def)
  shared.devices[dev.object] = dev
  for _, spec in ipairs(as_list(def.ports)) do dev:ports(spec) end
  for _, spec in ipairs(as_list(def.mmio)) do dev:mmio(spec) end
  if def.pci then dev.pci = device_pci.open(dev, def.pci) end
  if def.realize then def.realize(dev) end
end

-- Builds the device in a transaction: without memory, regions that are mapped already could not be
-- removed again. Inside another transaction, which a failure must not abort, nothing is mapped yet.
local function realize(def, object, in_transaction)
  local dev = setmetatable({
    object = object, machine = object.machine, id = object.id, props = properties(object),
    regions = {}, irqs = {}, timers = {}, state = device_state.open(object),
  }, Dev)
  local ok, err
  if in_transaction then
    ok, err = pcall(build, dev, def)
  else
    ok, err = pcall(dev.machine.transaction, dev.machine, build, dev, def)
  end
  if not ok then
    cleanup(dev)
    shared.devices[object] = nil
    error(err, 0)
  end
end

local function unrealize(def, object)
  local dev = shared.devices[object]
  if not dev then return end
  if def.unrealize then
    event.protected(dev.machine, def.name .. ": unrealize", def.unrealize, dev)
  end
  cleanup(dev)
  shared.devices[object] = nil
end

-- One that fails, or is not there any more, has nothing in flight that would ever finish.
local function drain(def, object, done)
  local dev = shared.devices[object]
  local asked = dev and event.protected(dev.machine, def.name .. ": drain", function()
    def.drain(dev, done)
    return true
  end)
  if not asked then done() end
end

-- ---- definitions -------------------------------------------------------------------------------

local fields = {
  name = "string", doc = "string", properties = "table", ports = "table", mmio = "table",
  realize = "function", unrealize = "function", reset = "function", run_state = "function",
  drain = "function", undrain = "function", unplug = "function", hotplug = "boolean",
  pci = "table", state = "table", loaded = "function",
}

local property_fields = {
  name = "string", kind = "string", doc = "string", default = "any", min = "any", max = "any",
  choices = "table", required = "boolean", live = "boolean", link = "string",
}

local kinds = { "size", "uint", "int", "bool", "enum", "string", "link", "list" }

local kind_of_default = { boolean = "bool", string = "string" }

local function index_of(list, value)
  for i, item in ipairs(list) do
    if item == value then return i - 1 end
  end
end

-- Kinds of options.value() for numbers: unsigned ones may be written as "4K".
local number_kinds = { size = "size", uint = "uint", int = "integer" }

--- Puts the default into the field that C reads: default_string or default_number.
local function set_default(what, p)
  local default = p.default
  p.default = nil
  if p.kind == "enum" then
    if not p.choices then
      fail("invalid", "%s: choices: is missing (want a list of strings)", what)
    end
    p.default_number = default == nil and 0 or index_of(p.choices, default)
    if not p.default_number then
      fail("invalid", "%s: default: %s is not one of the choices", what, options.show(default))
    end
  elseif default == nil then
    return
  elseif p.kind == "string" then
    p.default_string = options.value(what .. ": default", default, "string")
  elseif p.kind == "bool" then
    p.default_number = options.value(what .. ": default", default, "boolean") and 1 or 0
  elseif p.kind == "link" or p.kind == "list" then
    fail("invalid", "%s: default: a %s has none", what, p.kind)
  else
    p.default_number = options.value(what .. ": default", default, number_kinds[p.kind])
  end
end

--- Checks the limits, fills in a missing limit of an integer, and checks that the default lies
-- within them.
local function set_limits(what, p)
  for _, limit in ipairs { "min", "max" } do
    if p[limit] ~= nil and not number_kinds[p.kind] and p.kind ~= "list" then
      fail("invalid", "%s: %s: a %s has none", what, limit, p.kind)
    elseif p[limit] ~= nil then
      p[limit] = options.value(what .. ": " .. limit, p[limit],
        p.kind == "int" and "integer" or "address")
    end
  end
  if p.kind == "int" and (p.min or p.max) then
    p.min, p.max = p.min or math.mininteger, p.max or math.maxinteger
  end
  local n = p.default_number
  if not n or not (p.min or p.max) then return end
  local signed = p.kind == "int"
  local function below(a, b)
    if signed then return a < b end
    return math.ult(a, b)
  end
  if below(n, p.min or 0) or p.max and below(p.max, n) then
    fail("invalid", "%s: default: %d is out of range (want %s)", what, n,
      p.max and ("%d to %d"):format(p.min or 0, p.max) or ("at least %d"):format(p.min))
  end
end

local function property(type_name, name, spec)
  local what = ("device: %s: %s"):format(type_name, name)
  if type(spec) ~= "table" then spec = { default = spec } end
  local p = options.parse(what, spec, property_fields)
  p.name = name:gsub("_", "-")
  p.kind = p.kind or (p.choices and "enum") or (p.link and "link")
    or kind_of_default[type(p.default)]
    or (math.type(p.default) == "integer" and p.default < 0 and "int") or "uint"
  options.choice(what .. ": kind", p.kind, kinds)
  p.doc = p.doc or ""
  set_default(what, p)
  set_limits(what, p)
  return p
end

local function property_list(def)
  local list = {}
  for _, key in ipairs(options.keys(def.properties or {})) do
    local spec = def.properties[key]
    local name = type(key) == "string" and key or (type(spec) == "table" and spec.name)
    if type(name) ~= "string" then
      fail("invalid", "device: %s: properties: %s has no name", def.name, options.show(key))
    end
    list[#list + 1] = property(def.name, name, spec)
  end
  return list
end

--- Returns the functions that C calls with the object.
local function hooks_of(def)
  local hooks = {
    realize = function(...) realize(def, ...) end,
    unrealize = function(object) unrealize(def, object) end,
  }
  local all = device_state.timers(def.state)
  all.reset = def.reset or def.pci and function() end
  all.run_state, all.undrain = def.run_state, def.undrain
  all.unplug_request, all.loaded = def.unplug, def.loaded or function() end
  for key, fn in pairs(all) do
    hooks[key] = function(object, ...)
      local dev = shared.devices[object]
      if dev then fn(dev, ...) end
    end
  end
  hooks.drain = def.drain and function(object, done) drain(def, object, done) end
  return hooks
end

--- Defines a device type, or replaces it for devices made from now on; see library/lunik.lua for
-- the fields.
function device.define(def)
  def = options.parse("device", def, fields)
  if not def.name then fail("invalid", "device: name: is missing (want a string)") end
  if def.pci and def.unplug then
    fail("invalid", "device: %s: unplug: is not for a PCI device (its guest is asked through ACPI)",
      def.name)
  end
  def.pci = def.pci and device_pci.check(def.name, def.pci)
  core.type_add {
    name = def.name, doc = def.doc or "Defined by a script.", hotplug = def.hotplug ~= false,
    unplug = true, props = property_list(def), pci = def.pci, state = device_state.list(def),
    hooks = hooks_of(def),
  }
  return def.name
end

return device
