--- m:gdb{}: a gdb server on a character device, for one client at a time. vCPU N is thread N + 1.
--
-- Packets are worked off one after the other in a coroutine, as they may wait for the machine to
-- stop. A stop is a pause of the machine, so its clocks stand still.

local core = require "lunik.core"
local chardev = require "lunik.chardev"
local breakpoints = require "lunik.gdb.breakpoints"
local commands = require "lunik.gdb.commands"
local event = require "lunik.event"
local observe = require "lunik.observe"
local options = require "lunik.options"
local packet = require "lunik.gdb.packet"
local stream = require "lunik.stream"
local wait = require "lunik.wait"

local server = {}

local QUEUE_MAX = 64 -- packets that wait before input is held
local FAILED = "E01"

local Session = {} -- what commands.lua works on
Session.__index = Session

-- ---- output ------------------------------------------------------------------------------------

function Session:send(data)
  if not self.present then return end
  self.last_sent = packet.make(data)
  local ok, err = pcall(self.stream.write, self.stream, self.last_sent)
  if not ok and err.code ~= "gone" and err.code ~= "no-space" then error(err, 0) end
end

local function raw(self, text)
  if self.present and not self.no_ack then pcall(self.stream.write, self.stream, text) end
end

-- ---- threads -----------------------------------------------------------------------------------

--- Returns the vCPU of a thread, by default of the one selected; nil: there is none.
function Session:cpu(thread)
  local ok, cpu = pcall(self.machine.cpu, self.machine, (thread or self.thread) - 1)
  return ok and cpu or nil
end

--- Returns the numbers of the threads as digits; without vCPUs (accel none) there is thread 1.
function Session:threads()
  local list = {}
  for _, cpu in ipairs(self.machine:cpus()) do list[#list + 1] = ("%x"):format(cpu.index + 1) end
  return list[1] and list or { "1" }
end

function Session:has_thread(thread)
  for _, digits in ipairs(self:threads()) do
    if digits == ("%x"):format(thread) then return true end
  end
  return false
end

-- ---- stopping and going on ---------------------------------------------------------------------

local TRAP, INT, ABORT = 5, 2, 6

--- Returns the packet that says why the machine stands still.
function Session:stop_reply()
  local why = self.why or {}
  local more = why.reason or ""
  if more:find "^swbreak" and not self.swbreak or more:find "^hwbreak" and not self.hwbreak then
    more = ""
  end
  return ("T%02xthread:%x;%s"):format(why.signal or TRAP, self.thread, more)
end

local on = { running = true, suspended = true }

local function report_stop(self, why)
  self.why, self.running = why, false
  if why.thread then self.thread = why.thread end
  self.breakpoints:disarm()
  self:send(self:stop_reply())
end

--- Has the machine go on; step: index of a vCPU -> whether it makes one step. Returns the answer
-- if it can't.
function Session:go_on(step)
  local m = self.machine
  local begin = m.state == "paused" and m.resume or m.state == "created" and m.start
  if not begin or #m:cpus() == 0 then return FAILED end
  self.breakpoints:arm(step, commands.interrupts(self.sstep))
  self.running, self.went_on, self.pending = true, true, nil
  event.state(m).debugging = nil
  local ok = pcall(begin, m)
  if ok then return nil end
  self.running = false
  self.breakpoints:disarm()
  return FAILED
end

-- On a vCPU's thread: an exit that stops the machine.
local function on_exit(self, exit)
  if not self.present then return nil end
  local reason, own = self.breakpoints:reason(exit)
  if own then
    exit.vcpu:inject_exception(3)
    return "resume"
  elseif not reason then
    return nil
  end
  self.pending = self.pending or
    { signal = TRAP, thread = exit.vcpu.index + 1, reason = reason }
  event.state(self.machine).debugging = true
  return "pause"
end

local function on_paused(self)
  if not self.running then return end
  report_stop(self, self.pending or { signal = INT })
end

local function on_crashed(self, ev)
  if self.running then report_stop(self, { signal = ABORT, thread = (ev.vcpu or 0) + 1 }) end
end

-- Lets the loop end.
local function release_loop(self)
  if self.kept then self.kept:cancel() end
  self.kept = nil
end

local function on_shutdown(self, ev)
  release_loop(self)
  if not self.running then return end
  self.running = false
  self.breakpoints:disarm()
  self:send(("W%02x"):format(ev.code and ev.code & 0xff or 0))
end

local function interrupt(self)
  if not self.running then return end
  wait.spawn(function()
    if self.running and on[self.machine.state] then pcall(self.machine.pause, self.machine) end
  end)
end

-- ---- clients -----------------------------------------------------------------------------------

local function work(self)
  while self.first <= self.last do
    local job = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    local ok, answer = pcall(job)
    if not ok then answer = FAILED end
    if answer then self:send(answer) end
    if self.held and self.last - self.first < QUEUE_MAX and not self.stream.is_closed then
      self.held = false
      self.stream:hold(false)
    end
  end
  self.first, self.last = 1, 0
end

local function add_job(self, job)
  self.last = self.last + 1
  self[self.last] = job
  if self.working then return end
  self.working = true
  wait.spawn(function()
    local ok, err = pcall(work, self)
    self.working = false
    if not ok then error(err, 0) end
  end)
end

local function take(self, data)
  raw(self, "+")
  local client = self.client
  add_job(self, function()
    if client ~= self.client then return nil end
    return commands.run(self, data)
  end)
  if self.last - self.first >= QUEUE_MAX and not self.held then
    self.held = true
    self.stream:hold(true)
  end
end

--- Removes the client's breakpoints and has the machine go on, if it ran before or since.
function Session:leave()
  if not self.present then return end
  local m = self.machine
  self.present, self.running = false, false
  release_loop(self)
  self.breakpoints:clear()
  if m.state ~= "closed" then event.state(m).debugging = nil end
  if m.state == "paused" and (self.went_on or self.was_on) then
    wait.spawn(function() if m.state == "paused" then pcall(m.resume, m) end end)
  end
end

local function forget_client(self)
  self:leave()
  self.client = self.client + 1
  for i = self.first, self.last do self[i] = nil end
  self.first, self.last = 1, 0
  self.no_ack, self.physical, self.why, self.last_sent = false, false, nil, nil
  self.swbreak, self.hwbreak, self.went_on = false, false, false
  self.sstep, self.thread = commands.SSTEP_DEFAULT, 1
  self.reader:reset()
  if self.held and not self.stream.is_closed then
    self.held = false
    self.stream:hold(false)
  end
end

-- A client finds a machine that stands still.
local function greet(self)
  forget_client(self)
  local m = self.machine
  self.present = true
  self.was_on = on[m.state] or false
  self.kept = core.timer(1e9, function() end) -- the loop goes on while the machine is stopped
  add_job(self, function()
    if on[m.state] then pcall(m.pause, m) end
    local first = m:cpus()[1]
    self.thread = first and first.index + 1 or 1
  end)
end

-- ---- life --------------------------------------------------------------------------------------

local kinds = { listen = "string", chardev = "any", architecture = "string" }
local ARCHITECTURES = { "amd64", "i386", "i8086" }

local function device_of(m, opt)
  if opt.listen and not opt.listen:find "^unix:." and not opt.listen:find "^127%.0%.0%.1:%d+$" then
    options.fail("invalid", "gdb: listen: '%s' is not an address of this host's own (want "
      .. "unix:PATH or 127.0.0.1:PORT)", opt.listen)
  end
  local description = opt.listen and opt.listen:gsub("^127", "tcp:127") or opt.chardev
  return chardev.add(m, description, chardev.free_id(m, "gdb"), "gdb")
end

local function attach(self)
  local m = self.machine
  self.reader = packet.reader {
    packet = function(data) take(self, data) end,
    damaged = function() raw(self, "-") end,
    again = function() if self.last_sent then raw(self, self.last_sent) end end,
    interrupt = function() interrupt(self) end,
  }
  self.subscriptions = {
    m:on("vcpu-exit", function(exit) return on_exit(self, exit) end),
    m:on("paused", function() on_paused(self) end),
    m:on("crashed", function(ev) on_crashed(self, ev) end),
    m:on("shutdown", function(ev) on_shutdown(self, ev) end),
    observe.on("closing", function(of) if of == m then release_loop(self) end end),
  }
  self.stream:on_open(function() greet(self) end)
  self.stream:on_close(function() forget_client(self) end)
  self.stream:on_data(function(bytes) self.reader:feed(bytes) end)
  if self.stream.connected then greet(self) end
end

local Gdb = {}
Gdb.__name = "lunik.Gdb"
server.Gdb = Gdb

function Gdb.__index(self, key)
  if key == "connected" then return self.session.present end
  return Gdb[key]
end

function Gdb.__tostring(self)
  return ("gdb server of machine '%s' (%s)"):format(self.machine.name,
    self.session.is_closed and "closed" or self.connected and "connected" or "waiting")
end

--- m:gdb{listen= or chardev=, architecture=}
function server.new(m, given)
  event.check_open(m)
  local opt = options.parse("gdb", given, kinds)
  if (opt.listen == nil) == (opt.chardev == nil) then
    options.fail("invalid", "gdb: %s (want either listen or chardev)",
      opt.listen and "listen and chardev can't go together" or "listen is missing")
  end
  options.choice("gdb: architecture", opt.architecture or "amd64", ARCHITECTURES)
  local object = device_of(m, opt)
  local ok, result = pcall(stream.of, m, object)
  if not ok then
    if opt.listen then m:object_del(object) end
    error(result, 0)
  end
  local self = setmetatable({
    machine = m, stream = result, owns = opt.listen ~= nil, client = 0, first = 1, last = 0,
    architecture = opt.architecture or "amd64", breakpoints = breakpoints.new(m), thread = 1,
    sstep = commands.SSTEP_DEFAULT, present = false,
  }, Session)
  attach(self)
  return setmetatable({ machine = m, session = self }, Gdb)
end

--- Ends the server: a client is disconnected, as if it had detached.
function Gdb:close()
  local session = self.session
  if session.is_closed then return end
  session.is_closed = true
  forget_client(session)
  for _, subscription in ipairs(session.subscriptions) do subscription:off() end
  local object = session.stream.object
  session.stream:close()
  if session.owns and object.alive then self.machine:object_del(object) end
end

options.guard(Gdb.__name, Gdb, Gdb)
Gdb.__close = Gdb.close

return server
