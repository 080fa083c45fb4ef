--- Commands that plug and unplug devices.

local core = require "lunik.core"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"
local names = require "lunik.qmp.names"

-- QEMU's texts for what clients, or their users, know.
local function refused(err, driver, props)
  if err.message:find("memdev: is missing", 1, true) then
    failure.generic("'memdev' property must be set")
  elseif err.code == "busy" and err.message:find("memdev: object", 1, true) then
    failure.generic("can't use already busy memdev: %s", props.memdev)
  elseif err.code == "not-found" then
    local unknown = err.message:match "has no property '(.-)'"
    local missing = err.message:match ": there is no object '(.-)'"
    if unknown then failure.generic("Property '%s.%s' not found", driver, unknown) end
    if missing then failure.no_device(missing) end
  end
  error(err, 0)
end

local function device_add(m, args)
  local info = core.type(names.type(args.driver))
  if not info or not info.device or info.abstract then
    failure.generic("'%s' is not a valid device model name", args.driver)
  end
  if args.id and m:object(args.id) then
    failure.generic("Duplicate device ID '%s'", args.id)
  end
  local props = {}
  for name, value in pairs(args) do
    if name ~= "driver" then props[name] = value end
  end
  names.device_properties(m, info, props)
  fds.paths(m, props)
  local ok, err = pcall(m.device_add, m, info.name, props)
  if not ok then refused(err, args.driver, props) end
end

local function device_del(m, args)
  local device = names.object(m, args.id)
  if not device or not device.is_device then failure.no_device(args.id) end
  m:device_del(device)
end

return {
  { name = "device_add", args = { driver = "str", bus = "?str", id = "?str", ["..."] = true },
    features = { "json-cli", "json-cli-hotplug" }, run = device_add },
  { name = "device_del", args = { id = "str" }, run = device_del },
}
