--- m:stream(): the script's end of a character device.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"

local stream = {}

local QUEUE_MAX = 64 << 20 -- bytes that wait until the device takes them

local Stream = {}
Stream.__name = "lunik.Stream"
stream.Stream = Stream

local fields = {}

--- Whether the other side is there; a device without connections is always connected.
function fields.connected(self)
  if not self.object.alive or self.is_closed then return false end
  local ok, connected = pcall(self.object.get, self.object, "connected")
  return not ok or connected
end

function Stream.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Stream[key]
end

function Stream.__tostring(self)
  return ("stream of '%s' (%s)"):format(self.object.id,
    self.is_closed and "closed" or self.connected and "connected" or "not connected")
end

local function streams(m)
  local state = event.state(m)
  state.streams = state.streams or {}
  return state.streams
end

--- m:stream(chardev)
function stream.of(m, id)
  event.check_open(m)
  local object = id
  if not core.is_a(id, "lunik.Object") then
    object = m:object(options.value("stream: chardev", id, "string"))
    if not object then options.fail("not-found", "stream: there is no object '%s'", id) end
  end
  core.stream_open(object)
  local all = streams(object.machine)
  for other in pairs(all) do
    if not other.alive then all[other] = nil end
  end
  local self = setmetatable({
    object = object, machine = object.machine, first = 1, last = 0, queued = 0, is_closed = false,
  }, Stream)
  all[object] = self
  return self
end

local function setter(name)
  return function(self, fn)
    if fn ~= nil then options.value(name .. ": function", fn, "function") end
    self[name .. "_fn"] = fn
  end
end

--- Set the functions that are called: fn(bytes), fn(), fn(); nil: none.
Stream.on_data = setter "on_data"
Stream.on_open = setter "on_open"
Stream.on_close = setter "on_close"

-- Hands the device what it takes. Returns whether it took everything.
local function push_out(self)
  while self.first <= self.last do
    local text = self[self.first]
    local taken = core.stream_write(self.object, text, self.from)
    self.queued = self.queued - taken
    self.from = self.from + taken
    if self.from <= #text then return false end
    self[self.first] = nil
    self.first, self.from = self.first + 1, 1
  end
  self.first, self.last = 1, 0
  return true
end

--- Writes text; what the device does not take at once waits until it does.
function Stream:write(text)
  if type(text) ~= "string" then options.value("write: text", text, "string") end
  if self.is_closed then
    options.fail("gone", "the stream of '%s' is closed", self.object.id)
  elseif self.queued + #text > QUEUE_MAX then
    options.fail("no-space", "write: '%s' has not taken %d bytes: there is no room for %d more "
      .. "(want at most %d)", self.object.id, self.queued, #text, QUEUE_MAX)
  end
  self.queued = self.queued + #text
  if self.last == 0 then self.from = 1 end
  self.last = self.last + 1
  self[self.last] = text
  if self.last == self.first then push_out(self) end
  core.flush(self.machine)
end

--- Returns the descriptors received, which the caller owns, oldest first.
function Stream:fds()
  return core.stream_fds(self.object)
end

--- Closes a descriptor that fds() has returned.
function Stream:close_fd(fd)
  core.close_fd(fd)
end

--- true: no input is taken from the device until hold(false).
function Stream:hold(on)
  core.stream_hold(self.object, options.value("hold: on", on, "boolean"))
end

local function forget_output(self)
  for i = self.first, self.last do self[i] = nil end
  self.first, self.last, self.queued = 1, 0, 0
end

--- Detaches the stream; the device stays.
function Stream:close()
  if self.is_closed then return end
  self.is_closed = true
  forget_output(self)
  if self.machine.state ~= "closed" then
    streams(self.machine)[self.object] = nil
    core.stream_close(self.object)
  end
end

core.hooks.stream = function(object, what, text)
  local self = object.alive and streams(object.machine)[object]
  if not self then return end
  if what == "data" then
    if self.on_data_fn then self.on_data_fn(text) end
  elseif what == "opened" then
    if self.on_open_fn then self.on_open_fn() end
  elseif what == "closed" then
    forget_output(self)
    if self.on_close_fn then self.on_close_fn() end
  else
    push_out(self)
    if self.queued == 0 and self.on_drained then self.on_drained() end
  end
end

options.guard(Stream.__name, Stream, Stream)
Stream.__close = Stream.close

return stream
