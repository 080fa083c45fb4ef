--- Checks option tables and arguments. Errors name the argument, the value and what was expected.

local core = require "lunik.core"

local options = {}

local function fail(code, format, ...)
  error(core.error(code, (format:format(...):gsub("%c", "?"))), 0)
end
options.fail = fail

--- Opens a file; raises an error if that fails.
function options.open(what, path, mode)
  local file, _, errno = io.open(path, mode)
  if file then return file end
  error(core.sys_error(errno, ("%s: %s"):format(what, path)), 0)
end

--- Returns what is in a file; raises an error if it can't be read, as a folder can't.
function options.read(what, path)
  local file <close> = options.open(what, path, "rb")
  local data, _, errno = file:read "a"
  return data or error(core.sys_error(errno, ("%s: %s"):format(what, path)), 0)
end

local function show(value)
  if type(value) == "string" then return "'" .. value .. "'" end
  if type(value) == "number" or type(value) == "boolean" then return ("'%s'"):format(value) end
  return value == nil and "nil" or "a " .. type(value)
end

--- Returns " (did you mean 'x'?)" or ""; ignores values in `known` that are not strings.
function options.hint(name, known)
  if type(name) ~= "string" then return "" end
  local names = {}
  for _, other in ipairs(known) do
    if type(other) == "string" then names[#names + 1] = other end
  end
  local near = core.suggest(name, names)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

function options.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

--- Fails unless t is a table.
function options.table(what, t)
  if type(t) == "table" then return t end
  fail("invalid", "%s: %s is not a table (want a table)", what, show(t))
end

local want = {
  string = "a string", boolean = "true or false", ["function"] = "a function", table = "a table",
}

local check = {}

function check.size(what, value)
  return core.parse_size(value, what)
end

--- Accepts a size, or any integer, whose bits are the address.
function check.address(what, value)
  return math.type(value) == "integer" and value or core.parse_size(value, what)
end

function check.integer(what, value)
  local n = math.type(value) and math.tointeger(value)
  if type(value) ~= "number" or not n then
    fail("invalid", "%s: %s is not an integer (want an integer)", what, show(value))
  end
  return n
end

--- Accepts a number that is not negative, or a string such as "64K".
function check.uint(what, value)
  return type(value) == "string" and core.parse_size(value, what) or check.count(what, value)
end

function check.count(what, value)
  local n = check.integer(what, value)
  if n < 0 then fail("invalid", "%s: '%d' is negative (want 0 or more)", what, n) end
  return n
end

function check.string(what, value)
  if type(value) ~= "string" then
    fail("invalid", "%s: %s is not a string (want a string)", what, show(value))
  elseif value:find("\0", 1, true) then
    fail("invalid", "%s: contains a zero byte (want a string without one)", what)
  end
  return value
end

function check.seconds(what, value)
  if type(value) ~= "number" or not (value >= 0 and value <= 1e9) then
    fail("invalid", "%s: %s is not a time (want seconds, from 0 to 1e9)", what, show(value))
  end
  return value
end

function check.any(_, value)
  return value
end

--- The kinds that a board's options may have.
options.kinds = { "size", "address", "integer", "count", "string", "boolean", "function", "table",
  "seconds", "any" }

--- Returns the value, converted; raises an error if it is not of the kind.
function options.value(what, value, kind)
  if check[kind] then return check[kind](what, value) end
  if type(value) ~= kind then
    fail("invalid", "%s: %s is not a %s (want %s)", what, show(value), kind, want[kind])
  end
  return value
end

--- Fails for keys of t that are not in known.
function options.known(what, t, known)
  for key in pairs(t) do
    if known[key] == nil then
      fail("invalid", "%s: %s is not an option%s", what, show(key),
        options.hint(key, options.keys(known)))
    end
  end
end

--- Returns a checked copy of t (may be nil): kinds maps each option to its kind.
function options.parse(what, t, kinds)
  local out = {}
  if t == nil then return out end
  options.table(what, t)
  options.known(what, t, kinds)
  for key, value in pairs(t) do
    out[key] = options.value(what .. ": " .. key, value, kinds[key])
  end
  return out
end

--- Fails unless value is one of the choices.
function options.choice(what, value, choices)
  for _, choice in ipairs(choices) do
    if value == choice then return value end
  end
  fail("invalid", "%s: %s is not a valid choice%s (want %s)", what, show(value),
    options.hint(value, choices), table.concat(choices, ", "))
end

options.show = show

--- Makes each method check that it is called on an object of its class: m.wait() for m:wait() is an
-- easy mistake. Puts the methods into `to`, which may be the same table.
function options.guard(class, methods, to)
  for name, fn in pairs(methods) do
    if type(fn) == "function" and not name:find "^__" then
      to[name] = function(self, ...)
        local meta = getmetatable(self)
        if meta ~= class and (type(meta) ~= "table" or rawget(meta, "__name") ~= class) then
          fail("invalid", "%s: %s is not a %s (call it with ':')", name, show(self), class)
        end
        return fn(self, ...)
      end
    end
  end
end

return options
