--- Commands about character devices.

local core = require "lunik.core"
local json = require "lunik.json"
local console = require "lunik.console"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"

local function array(list) return setmetatable(list or {}, json.Array) end

-- ---- descriptions ------------------------------------------------------------------------------

local function socket_filename(object)
  local path = object:get "path"
  return (object.connected and "" or "disconnected:") .. "unix:" .. (path or "")
    .. (object.server and ",server=on" or "")
end

local filenames = {
  ["chardev-pty"] = function(object) return "pty:" .. object:get "path" end,
  ["chardev-socket"] = socket_filename,
  ["chardev-file"] = function() return "file" end,
  ["chardev-buffer"] = function() return "ringbuf" end,
  ["chardev-null"] = function() return "null" end,
  ["chardev-stdio"] = function() return "stdio" end,
}

-- The character devices that a device has open.
local function open_ones(m)
  local open = {}
  for _, object in ipairs(m:objects()) do
    for _, p in ipairs(core.type(object).props) do
      if p.kind == "link" and p.link == "chardev" then
        local used = object:get(p.name)
        if used then open[used] = true end
      end
    end
  end
  for object in pairs(require("lunik.event").state(m).streams or {}) do
    if object.alive then open[object.id] = true end
  end
  return open
end

local function query_chardev(m)
  local list, open = array(), open_ones(m)
  for _, object in ipairs(m:objects()) do
    if object:is "chardev" then
      local filename = filenames[object.type]
      list[#list + 1] = { label = object.id, filename = filename and filename(object)
        or object.type, ["frontend-open"] = open[object.id] or false }
    end
  end
  return list
end

-- ---- chardev-add, chardev-remove ---------------------------------------------------------------

-- The type, and the properties out of a back end's data.
local backends = {
  socket = { "chardev-socket", function(m, data)
    local addr = data.addr or failure.generic("Parameter 'addr' is missing")
    local inner = addr.data or addr
    if addr.type ~= "unix" and addr.type ~= "fd" then
      failure.generic("Parameter 'type' does not accept value '%s'", tostring(addr.type))
    end
    local server = data.server
    if server == nil then server = true end
    if addr.type == "fd" then return { fd = fds.number(inner.str) } end
    return { path = inner.path, server = server }
  end },
  file = { "chardev-file", function(m, data)
    return { path = fds.path(m, data.out or failure.generic("Parameter 'out' is missing")),
      append = data.append }
  end },
  pty = { "chardev-pty", function() return {} end },
  null = { "chardev-null", function() return {} end },
  ringbuf = { "chardev-buffer", function(_, data) return { size = data.size } end },
  memory = { "chardev-buffer", function(_, data) return { size = data.size } end },
  stdio = { "chardev-stdio", function(_, data) return { signal = data.signal } end },
}

local function backend_names()
  local list = array()
  for name in pairs(backends) do list[#list + 1] = { name = name } end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function chardev_add(m, args)
  local kind = backends[args.backend.type]
  if not kind then
    failure.generic("Parameter 'type' does not accept value '%s'", args.backend.type)
  elseif m:object(args.id) then
    failure.generic("Chardev with id '%s' already exists", args.id)
  end
  local data = args.backend.data or {}
  local props = kind[2](m, data)
  props.id = args.id
  props.logfile, props.logappend = data.logfile and fds.path(m, data.logfile), data.logappend
  local object = m:object_add(kind[1], props)
  return { pty = object.type == "chardev-pty" and object:get "path" or nil }
end

local function find(m, id)
  local object = m:object(id)
  if not object or not object:is "chardev" then
    failure.generic("Chardev '%s' not found", id)
  end
  return object
end

local function chardev_remove(m, args)
  local object = find(m, args.id)
  if open_ones(m)[args.id] then failure.generic("Chardev '%s' is busy", args.id) end
  m:object_del(object)
end

-- ---- ring buffers ------------------------------------------------------------------------------

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function to_base64(bytes)
  local text = bytes:gsub("..?.?", function(part)
    local a, b, c = part:byte(1, 3)
    local n, out = a << 16 | (b or 0) << 8 | (c or 0), {}
    for i = 0, 3 do
      local digit = n >> 18 - 6 * i & 63
      out[i + 1] = i <= #part and DIGITS:sub(digit + 1, digit + 1) or "="
    end
    return table.concat(out)
  end)
  return text
end

local function from_base64(text)
  local bits, count, out = 0, 0, {}
  local body = text:gsub("%s", ""):gsub("=+$", "")
  if #body % 4 == 1 then failure.generic("Invalid base64 data '%s'", text) end
  for char in body:gmatch "." do
    local digit = DIGITS:find(char, 1, true)
    if not digit then failure.generic("Invalid base64 data '%s'", text) end
    bits, count = bits << 6 | digit - 1, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 255)
      bits = bits & (1 << count) - 1
    end
  end
  return table.concat(out)
end

local function ringbuf(m, id)
  local object = m:object(id)
  if not object or not object:is "chardev" then failure.generic("Device '%s' not found", id) end
  if object.type ~= "chardev-buffer" then
    failure.generic("%s is not a ringbuf device", id)
  end
  return console.of(object)
end

local function ringbuf_read(m, args)
  if args.size <= 0 then failure.generic("size must be greater than zero") end
  local port = ringbuf(m, args.device)
  local text = port:peek():sub(1, args.size)
  port.position = math.max(port.position, port.object.written - #port:peek()) + #text
  return args.format == "base64" and to_base64(text) or text
end

-- What is written goes where the device reads it.
local function ringbuf_write(m, args)
  local text = args.format == "base64" and from_base64(args.data) or args.data
  ringbuf(m, args.device):write(text)
end

return {
  { name = "query-chardev", returns = "[ChardevInfo]", run = query_chardev },
  { name = "query-chardev-backends", returns = "[ChardevBackendInfo]", run = backend_names },
  { name = "chardev-add", args = { id = "str", backend = "ChardevBackend" },
    returns = "ChardevReturn", run = chardev_add },
  { name = "chardev-remove", args = { id = "str" }, run = chardev_remove },
  { name = "chardev-send-break", args = { id = "str" },
    run = function(m, args) find(m, args.id):send_break() end },
  { name = "ringbuf-read", args = { device = "str", size = "int", format = "?DataFormat" },
    returns = "str", run = ringbuf_read },
  { name = "ringbuf-write", args = { device = "str", data = "str", format = "?DataFormat" },
    run = ringbuf_write },
}
