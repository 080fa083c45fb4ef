--- Character devices from a short description: "stdio", "file:log.txt", a function, ...

local core = require "lunik.core"
local options = require "lunik.options"
local console = require "lunik.console"
local sandbox_paths = require "lunik.sandbox_paths"

local chardev = {}

local plain = {
  stdio = "chardev-stdio", pty = "chardev-pty", buffer = "chardev-buffer", null = "chardev-null",
}
local with_path = {
  file = { "chardev-file", {} }, unix = { "chardev-socket", { server = true } },
}
local names = { "stdio", "pty", "buffer", "null", "none", "file:PATH", "unix:PATH",
  "tcp:127.0.0.1:PORT" }

local function fail_kind(what, spec)
  options.fail("invalid", "%s: %s is not a character device%s (want %s, a function, {type, "
    .. "properties}, or the id of one)", what, options.show(spec), options.hint(spec, names),
    table.concat(names, ", "))
end

--- Returns the type and properties that a description such as "file:PATH" stands for.
local function parse(what, text)
  if plain[text] then return plain[text], {} end
  local kind, path = text:match "^(%l+):(.*)$"
  local found = with_path[kind]
  local port = text:match "^tcp:127%.0%.0%.1:(%d+)$"
  if port and #port < 6 then
    return "chardev-socket", { port = tonumber(port) }
  elseif not found then
    fail_kind(what, text)
  elseif path == "" then
    options.fail("invalid", "%s: '%s' has no path (want %s:PATH)", what, text, kind)
  end
  local props = { path = path }
  for key, value in pairs(found[2]) do props[key] = value end
  return found[1], props
end

local function with_id(props, id)
  local out = { id = id }
  for key, value in pairs(props) do out[key] = value end
  return out
end

--- Makes the character device described by spec: "stdio", "pty", "buffer", "null", "file:PATH",
-- "unix:PATH", function(bytes), {type, properties}, or an existing one's id or object. Returns the
-- object, nil for "none".
function chardev.add(m, spec, id, what)
  what, id = what or "chardev", id or "chardev"
  if spec == nil or spec == "none" then return nil end
  if core.is_a(spec, "lunik.Object") then return spec end
  if type(spec) == "function" then
    local object = m:object_add("chardev-buffer", { id = id })
    console.of(object):feed(spec)
    return object
  elseif type(spec) == "table" then
    options.known(what, spec, { true, true })
    options.value(what .. ": type", spec[1], "string")
    local object = m:object_add(spec[1], with_id(options.table(what, spec[2] or {}), id))
    sandbox_paths.name("write", object.logfile)
    return object
  end
  if type(spec) ~= "string" then
    fail_kind(what, spec)
  end
  local existing = m:object(spec)
  if existing and existing:is "chardev" then return existing end
  local type_name, props = parse(what, spec)
  local object = m:object_add(type_name, with_id(props, id))
  sandbox_paths.name("write", props.path or spec == "pty" and object:get "path")
  return object
end

--- Returns an id that no object of the machine has: the prefix and a number.
function chardev.free_id(m, prefix)
  local n = 0
  while m:object(prefix .. n) do n = n + 1 end
  return prefix .. n
end

return chardev
