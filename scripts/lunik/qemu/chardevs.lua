--- -chardev, and what -serial, -qmp and -monitor say in short, as Lunik's types and properties.

local option_string = require "lunik.qemu.option_string"
local option_value = require "lunik.qemu.option_value"
local options = require "lunik.options"

local chardevs = {}

local common = { id = true, backend = false, logfile = true, logappend = true, mux = false }

local function with_common(map)
  for name, to in pairs(common) do map[name] = to end
  return map
end

--- QEMU's name of a back end -> Lunik's type, and its properties' names.
chardevs.types = {
  null = { "chardev-null", with_common {} },
  stdio = { "chardev-stdio", with_common { signal = true } },
  pty = { "chardev-pty", with_common {} },
  file = { "chardev-file", with_common { path = true, append = true } },
  ringbuf = { "chardev-buffer", with_common { size = true } },
  socket = { "chardev-socket", with_common {
    path = true, fd = true, server = true, wait = false, reconnect = false,
  } },
}

--- Returns type and properties of a character device: {backend=, id=, ...}.
function chardevs.parse(given)
  local found = option_value.kind("backend", chardevs.types, given.backend)
  local props = option_value.renamed(given.backend, given, found[2])
  if not props.id then options.fail("invalid", "id is missing") end
  if given.backend == "socket" then
    if (props.path == nil) == (props.fd == nil) then
      options.fail("invalid", "socket: want either path or fd (sockets of the Internet are not "
        .. "supported)")
    end
    if props.fd then props.server = nil else props.server = props.server or "off" end
  end
  return found[1], props
end

local short = { stdio = true, pty = true, null = true, vc = true }

local function fail_short(text)
  options.fail("unsupported", "'%s' is not supported (want stdio, pty, null, none, file:PATH, "
    .. "unix:PATH or chardev:ID)", text)
end

--- Parses "file:PATH", "unix:PATH,server=on", "stdio", ... as well as "chardev:ID". Returns the
-- type and properties of a new device, or nil and the id of one that is there; nothing for "none".
function chardevs.short(text, id)
  local kind, rest = text:match "^([%w+]+):(.*)$"
  if text == "none" then return end
  if kind == "mon" then return chardevs.short(rest, id) end
  if kind == "chardev" then return nil, rest end
  local given
  if kind == "unix" then
    given = option_string.parse(rest, "path")
    given.backend = "socket"
  elseif kind == "file" then
    given = option_string.parse(rest, "path")
    given.backend = "file"
  elseif short[text] then
    given = { backend = text == "vc" and "null" or text }
  else
    fail_short(text)
  end
  given.id = id
  return chardevs.parse(given)
end

return chardevs
