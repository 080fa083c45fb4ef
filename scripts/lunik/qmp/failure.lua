--- Errors of QMP commands: an error object whose field class is QMP's.

local core = require "lunik.core"

local failure = {}

local codes = {
  CommandNotFound = "not-found", DeviceNotFound = "not-found", DeviceNotActive = "state",
}

--- Raises an error of a class that clients distinguish.
function failure.raise(class, format, ...)
  local err = core.error(codes[class] or "invalid", (format:format(...):gsub("%c", "?")))
  err.class = class
  error(err, 0)
end

--- Raises one of class GenericError.
function failure.generic(format, ...)
  failure.raise("GenericError", format, ...)
end

--- Raises that there is no such device.
function failure.no_device(name)
  failure.raise("DeviceNotFound", "Device '%s' not found", name)
end

--- Returns class and description of whatever was raised.
function failure.describe(err)
  if type(err) == "table" and getmetatable(err) and err.code then
    return err.class or "GenericError", tostring(err.message)
  end
  return "GenericError", (core.text(err):gsub("\n.*", ""))
end

return failure
