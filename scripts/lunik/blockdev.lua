--- Disks whose contents a script's functions provide: object_add of a "blockdev-lua".

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"

local shared = core.shared
local methods = core.classes.Machine.methods
shared.object_add = shared.object_add or methods.object_add -- kept when the library is loaded again

local NAMES = { "read", "write", "flush", "discard" }

--- Returns the functions of a machine's disks: path -> functions.
local function functions_of(m)
  local state = event.state(m)
  state.blockdevs = state.blockdevs or {}
  return state.blockdevs
end

--- Takes the functions out of the properties; returns both.
local function split(properties)
  local rest, functions = {}, {}
  for name, value in pairs(options.table("blockdev-lua", properties)) do rest[name] = value end
  for _, name in ipairs(NAMES) do
    local fn = rest[name]
    rest[name] = nil
    if fn ~= nil then functions[name] = options.value("blockdev-lua: " .. name, fn, "function") end
  end
  if not functions.read then
    options.fail("invalid", "blockdev-lua: read: is missing (want a function)")
  elseif not functions.write and not rest.readonly then
    options.fail("invalid", "blockdev-lua: write: is missing (want a function, or readonly=true)")
  end
  return rest, functions
end

function methods.object_add(m, type_name, properties)
  if type_name ~= "blockdev-lua" then return shared.object_add(m, type_name, properties) end
  local rest, functions = split(properties)
  local object = shared.object_add(m, type_name, rest)
  functions_of(m)[object.path] = functions
  core.blockdev_functions(object)
  return object
end

core.hooks.blockdev = function(object, what, offset, argument)
  local fn = functions_of(object.machine)[object.path][what]
  if not fn then return end
  if what == "flush" then return fn() end
  return fn(offset, argument)
end
