--- A monitor: one QMP server on a character device, for one client at a time.
--
-- Commands run one after the other in a coroutine, so that they may wait; those given with exec-oob
-- run at once. While many commands or answers wait, no more input is taken.

local core = require "lunik.core"
local json = require "lunik.json"
local json_decode = require "lunik.json_decode"
local events = require "lunik.qmp.events"
local dispatch = require "lunik.qmp.dispatch"
local failure = require "lunik.qmp.failure"
local framing = require "lunik.qmp.framing"
local wait = require "lunik.wait"

local monitor = {}

local QUEUE_MAX = 8        -- commands that wait before input is held
local OUTPUT_MAX = 1 << 20 -- bytes that wait before input is held
local TURN = 64            -- commands before other tasks have a turn

local Monitor = {}
Monitor.__index = Monitor
Monitor.__name = "lunik.Monitor"
monitor.Monitor = Monitor

local function greeting()
  return json.exact { QMP = {
    version = dispatch.version(), capabilities = setmetatable({ "oob" }, json.Array) } }
end

-- ---- output ------------------------------------------------------------------------------------

-- Sends a message; a client that does not read any of its 64 MiB loses what does not fit.
local function send(self, text)
  if not self.present then return end
  local ok, err = pcall(self.stream.write, self.stream, text .. "\r\n")
  if not ok and err.code ~= "gone" and err.code ~= "no-space" then error(err, 0) end
end

local function answer(self, request, key, value)
  if request.client ~= self.client then return end
  local id = request.id and (', "id": %s'):format(request.id) or ""
  send(self, ('{"%s": %s%s}'):format(key, value, id))
end

local function refuse(self, request, class, text)
  answer(self, request, "error", json.exact { class = class, desc = text })
end

--- Sends an event to the client, if it has negotiated.
function Monitor:event(name, data, time)
  if not self.negotiated then return end
  local seconds, microseconds = core.real_time(time or math.floor(core.now() * 1e9))
  local more = data and (', "data": %s'):format(json.exact(data)) or ""
  send(self, ('{"timestamp": {"seconds": %d, "microseconds": %d}, "event": "%s"%s}')
    :format(seconds, microseconds, name, more))
end

-- ---- commands ----------------------------------------------------------------------------------

local function negotiate(self, args)
  for _, capability in ipairs(args.enable or {}) do
    if capability == "oob" then self.oob = true end
  end
  self.negotiated = true
  return setmetatable({}, json.Object)
end

local function call(self, request)
  if not self.negotiated then
    if request.name ~= "qmp_capabilities" then
      failure.raise("CommandNotFound",
        "Expecting capabilities negotiation with 'qmp_capabilities'")
    end
    dispatch.check(request.name, request.args)
    return negotiate(self, request.args)
  elseif request.name == "qmp_capabilities" then
    failure.raise("CommandNotFound",
      "Capabilities negotiation is already complete, command ignored")
  end
  return dispatch.call(self.machine, request.name, request.args, self)
end

-- Carries out a command. The events that it causes go out before its answer.
local function run(self, request)
  if request.wrong then return refuse(self, request, "GenericError", request.wrong) end
  local ok, result = pcall(call, self, request)
  if ok then ok, result = pcall(json.exact, result) end
  core.deliver_events()
  if ok then
    answer(self, request, "return", result)
  else
    refuse(self, request, failure.describe(result))
  end
  if request.after then request.after() end
end

-- Takes input again if there is room for what comes.
local function release(self)
  if self.held and not self.stream.is_closed and self.last - self.first < QUEUE_MAX
    and self.stream.queued < OUTPUT_MAX then
    self.held = false
    pcall(self.stream.hold, self.stream, false)
  end
end

local function hold(self)
  if self.held or self.last - self.first < QUEUE_MAX and self.stream.queued < OUTPUT_MAX then
    return
  end
  self.held = true
  self.stream:hold(true)
end

local function work(self)
  local count = 0
  while self.first <= self.last do
    local request = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    run(self, request)
    count = count + 1
    if count % TURN == 0 then coroutine.yield() end
    release(self)
  end
  self.first, self.last = 1, 0
end

-- Works off the queue, unless that is being done.
local function start_work(self)
  if self.working then return end
  self.working = true
  wait.spawn(function()
    local ok, err = pcall(work, self)
    self.working = false
    if not ok then error(err, 0) end
  end)
end

-- ---- input -------------------------------------------------------------------------------------

local members = { execute = true, ["exec-oob"] = true, arguments = true, id = true }

-- Returns what is wrong with a request.
local function mistake(self, message)
  if getmetatable(message) ~= json.Object then return "QMP input must be a JSON object" end
  for name in pairs(message) do
    if not members[name] then return ("QMP input member '%s' is unexpected"):format(name) end
  end
  local name = message["exec-oob"]
  if name ~= nil and not self.oob then return "QMP input member 'exec-oob' is unexpected" end
  if name ~= nil and message.execute ~= nil then
    return "QMP input has both 'execute' and 'exec-oob'"
  end
  name = name or message.execute
  if name == nil then return "QMP input lacks member 'execute'" end
  if type(name) ~= "string" then return "QMP input member 'execute' must be a string" end
  local args = message.arguments
  if args ~= nil and getmetatable(args) ~= json.Object then
    return "QMP input member 'arguments' must be an object"
  end
end

-- Makes a request of a message; an id stays the text that it is.
local function read(self, text, wrong)
  local message
  if not wrong then
    message, wrong = json_decode(text, "id")
    wrong = wrong and "Invalid JSON syntax: " .. wrong
  end
  local is_object = getmetatable(message) == json.Object
  local request = { client = self.client, id = is_object and message.id or nil }
  if request.id then request.id = request.id:gsub("[\r\n]", " ") end
  request.wrong = wrong or mistake(self, message)
  if not request.wrong then
    request.name = message["exec-oob"] or message.execute
    request.args = message.arguments or setmetatable({}, json.Object)
    request.oob = message["exec-oob"] ~= nil
    if request.oob and not dispatch.is_oob(request.name) then
      request.wrong = ("The command %s does not support OOB"):format(request.name)
    end
  end
  return request
end

local function take(self, text, wrong)
  local request = read(self, text, wrong)
  if request.oob then
    return wait.spawn(run, self, request)
  end
  self.last = self.last + 1
  self[self.last] = request
  start_work(self)
end

-- ---- clients -----------------------------------------------------------------------------------

local function forget_client(self)
  self.client = self.client + 1
  self.present, self.negotiated, self.oob = false, false, false
  for i = self.first, self.last do self[i] = nil end
  self.first, self.last = 1, 0
  self.framing:reset()
  for _, all in ipairs { self.fds, self.spare_fds } do
    for _, fd in pairs(all) do core.close_fd(fd) end
  end
  self.fds, self.spare_fds = {}, {}
  events.forget(self)
  release(self)
end

local function greet(self)
  forget_client(self)
  self.present = true
  send(self, greeting())
end

--- Makes a monitor on a stream.
function monitor.new(m, stream, opts)
  local self = setmetatable({
    machine = m, stream = stream, client = 0, first = 1, last = 0, fds = {}, spare_fds = {},
    negotiated = false, held = false, on_quit = opts.on_quit,
  }, Monitor)
  self.framing = framing.new(function(text, wrong) take(self, text, wrong) end)
  stream:on_open(function() greet(self) end)
  stream:on_close(function() forget_client(self) end)
  stream:on_data(function(bytes)
    self.framing:feed(bytes)
    hold(self)
  end)
  stream.on_drained = function() release(self) end
  events.follow(self)
  if stream.connected then greet(self) end
  return self
end

--- Ends the monitor: its client is disconnected if the monitor made the device.
function Monitor:close()
  if self.is_closed then return end
  self.is_closed = true
  forget_client(self)
  events.leave(self)
  local object = self.stream.object
  self.stream:close()
  if self.owns and object.alive then self.machine:object_del(object) end
end

require("lunik.options").guard(Monitor.__name, Monitor, Monitor)
Monitor.__close = Monitor.close

return monitor
