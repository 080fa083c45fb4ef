--- The saved state of devices that scripts define: dev.state.

local core = require "lunik.core"
local options = require "lunik.options"

local device_state = {}

local fields = { bytes = "size", timer = "function" }

-- Names that C looks for among the functions of a type.
local function hook_name(name) return "timer " .. name end

local function check(what, name, spec)
  if type(name) ~= "string" or #name == 0 or #name > 255 then
    options.fail("invalid", "%s: %s is no name", what, options.show(name))
  end
  what = what .. ": " .. name
  if type(spec) ~= "table" then
    options.fail("invalid", "%s: %s (want {}, { bytes = N } or { timer = function(dev) })", what,
      options.show(spec))
  end
  spec = options.parse(what, spec, fields)
  if spec.bytes and spec.timer then
    options.fail("invalid", "%s: has bytes and timer (want one of them)", what)
  end
  if spec.bytes and (spec.bytes < 1 or spec.bytes > 1 << 24) then
    options.fail("invalid", "%s: bytes: %d is out of range (want 1 to 16M)", what, spec.bytes)
  end
  return spec
end

--- Returns the fields of a definition in the order of their names, as C takes them; nil: nothing is
-- said about saving.
function device_state.list(def)
  if not def.state then return nil end
  local list, what = {}, ("device: %s: state"):format(def.name)
  for _, name in ipairs(options.keys(def.state)) do
    local spec = check(what, name, def.state[name])
    list[#list + 1] = {
      name = name, bytes = spec.bytes, timer = spec.timer and hook_name(name),
    }
  end
  return list
end

--- Returns the functions of timers by the names that C calls them by.
function device_state.timers(state)
  local all = {}
  for name, spec in pairs(state or {}) do
    if type(spec) == "table" and spec.timer then all[hook_name(name)] = spec.timer end
  end
  return all
end

--- Returns the table dev.state of a device.
function device_state.open(object)
  return setmetatable({}, {
    __index = function(_, name) return core.state_get(object, name) end,
    __newindex = function(_, name, value) core.state_set(object, name, value) end,
  })
end

return device_state
