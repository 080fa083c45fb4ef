--- `lunik --json`: prints what happens as JSON, one object a line. docs/command.md lists the kinds.

local console = require "lunik.console"
local core = require "lunik.core"
local json = require "lunik.json"
local observe = require "lunik.observe"

local json_events = {}

local stdout = io.stdout
local methods = getmetatable(stdout).__index
local write = methods.write
local began = core.now()

-- Prints an object.
local function put(kind, m, fields)
  fields.type, fields.time = kind, core.now() - began
  fields.machine = m and m.name or nil
  write(stdout, json.encode(setmetatable(fields, json.Object)), "\n")
  stdout:flush()
end

local function joined(separator, ...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, separator)
end

-- Makes objects of what the script prints.
local function take_output()
  local function output(text) put("output", nil, { text = text }) end
  function _G.print(...) output(joined("\t", ...) .. "\n") end
  function methods.write(file, ...)
    if file ~= stdout then return write(file, ...) end
    output(joined("", ...))
    return file
  end
  io.write = function(...) return io.output():write(...) end -- luacheck: ignore 122
end

-- ---- what happens ------------------------------------------------------------------------------

local hidden = { name = true, machine = true, time = true }

local plain

local function plain_list(value)
  local list = {}
  for i, part in ipairs(value) do list[i] = plain(part) end
  return list
end

-- Returns a value as JSON can have it.
function plain(value)
  local kind = type(value)
  if kind == "table" and not getmetatable(value) then
    local copy = {}
    for key, part in pairs(value) do copy[core.text(key)] = plain(part) end
    return #value > 0 and plain_list(value) or setmetatable(copy, json.Object)
  elseif kind == "string" or kind == "number" or kind == "boolean" then
    return value
  end
  return core.text(value)
end

local function data_of(ev)
  local data = {}
  for name, value in pairs(ev) do
    if not hidden[name] then data[name] = plain(value) end
  end
  return setmetatable(data, json.Object)
end

-- Prints a console's whole lines.
local function tap(from)
  if not from.object:is "chardev-buffer" then return end
  local rest = ""
  console.tap(from, function(bytes)
    rest = rest .. bytes
    for text in rest:gmatch "([^\r\n]*)\r?\n" do
      put("console", from.object.machine, { device = from.object.id, text = text })
    end
    rest = rest:match "[^\n]*$"
  end)
end

local function follow(m)
  put("machine", m, { accel = m.accel })
  for _, object in ipairs(m:objects()) do
    if object:is "chardev-buffer" then console.of(object) end
  end
end

--- Begins, for all machines that are made from now on.
function json_events.start()
  take_output()
  observe.on("console", tap)
  observe.on("machine", follow)
  observe.on("event", function(m, ev) put("event", m, { event = ev.name, data = data_of(ev) }) end)
  observe.on("error", function(m, source, message)
    put("error", m, { source = source, message = message })
  end)
  local exit
  exit = observe.on("exit", function(code)
    exit:off()
    put("exit", nil, { code = (code == true or code == nil) and 0 or code or 1 })
  end)
end

return json_events
