--- A channel to an agent: one request at a time, which is repeated until its answer has come whole.
--
-- The agent answers a repeated request with the answer that it had, so repeating does no harm; it
-- is how the channel copes with bytes that are lost or, on a port that the kernel's log shares,
-- mixed with others.

local core = require "lunik.core"
local event = require "lunik.event"
local list = require "lunik.list"
local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"
local wait = require "lunik.wait"

local Channel = {}
Channel.__index = Channel

local PATIENCE = 2        -- seconds after which a request is repeated the first time
local LONGEST_PATIENCE = 10
local PAUSE = 0.01        -- the same, after a garbled line
local LONGEST_PAUSE = 1
local LONGEST_LINE = 32768 -- bytes that are kept without an end of the line

-- Error names of the guest's kernel -> codes of errors.
local CODES = {
  ENOENT = "not-found", ENODEV = "not-found", ENXIO = "not-found", EEXIST = "exists",
  EBUSY = "busy", ENOSPC = "no-space", ENOMEM = "no-memory", EACCES = "denied", EPERM = "denied",
  EROFS = "denied", EINVAL = "invalid", EBADF = "invalid", ENOSYS = "unsupported",
  EOPNOTSUPP = "unsupported", ENOTTY = "unsupported", ETIMEDOUT = "timeout",
}

--- A channel that sends by a function; m: the machine whose end ends all waits, or nil. What the
-- agent prints is given to feed().
function Channel.new(send, m)
  local self = setmetatable({
    send = send, machine = m, pending = "", waiting = list.new(), turns = list.new(),
    id = math.random(1, 0x3fffffff), ready = false, boots = 0,
  }, Channel)
  if m then m:on_reset(function() self:restarted() end) end
  return self
end

--- The agent has begun anew, or will: nothing that was asked before will be answered.
function Channel:restarted()
  self.ready, self.pending, self.boots = false, "", self.boots + 1
  wait.wake_all(self.waiting)
end

-- ---- what comes --------------------------------------------------------------------------------

local function take_line(self, line)
  local id, kind, fields = protocol.answer(line)
  if not id then
    self.garbled = self.garbled or line:find("@", 1, true) ~= nil
  elseif id == 0 and fields.ready then
    if self.ready then return self:restarted() end
    self.garbled = true -- what was sent before that is lost
  elseif id == 0 then
    self.garbled = true
  elseif id == self.id then
    self.answer = { kind = kind, fields = fields }
  end
end

--- Takes what the agent has printed.
function Channel:feed(bytes)
  local first, from = 1, #self.pending + 1
  local pending = self.pending .. bytes
  while true do
    local stop = pending:find("\n", from, true)
    if not stop then break end
    take_line(self, pending:sub(first, stop - 1))
    first, from = stop + 1, stop + 1
  end
  self.pending = pending:sub(first)
  if #self.pending > LONGEST_LINE then self.pending = "" end
  if self.answer or self.garbled then wait.wake_all(self.waiting) end
end

-- ---- requests ----------------------------------------------------------------------------------

local function no_answer(what, timeout)
  error(core.error("timeout", ("no answer of the agent to %s within %g s"):format(what, timeout)),
    0)
end

-- Waits until feed() has something, or for some seconds. Raises an error if the machine has ended.
local function await(self, what, seconds)
  if self.answer or self.garbled then return end
  local ok, err = pcall(wait.block, {
    what = ("the agent's answer to %s"):format(what), timeout = seconds, machine = self.machine,
    start = wait.joins(self.waiting),
  })
  if not ok and not (getmetatable(err) and err.code == "timeout") then error(err, 0) end
end

-- Sends; what the guest has no room for is lost, and sent again later.
local function transmit(self, line)
  local ok, err = pcall(self.send, line)
  if not ok and not (getmetatable(err) and err.code == "no-space") then error(err, 0) end
end

-- Sends a request and waits for its answer.
local function exchange(self, command, arguments, what, timeout)
  local deadline, patience, pause = core.now() + timeout, PATIENCE, PAUSE
  local boots = self.boots
  self.id = self.id % 0xfffffffe + 1
  local line = protocol.request(self.id, command, arguments)
  self.answer, self.garbled = nil, false
  transmit(self, line)
  local again = core.now() + patience
  while not self.answer do
    local now = core.now()
    if now >= deadline then no_answer(what, timeout) end
    if self.garbled then
      self.garbled, again = false, math.min(again, now + pause)
      pause = math.min(pause * 2, LONGEST_PAUSE)
    elseif now >= again then
      patience = math.min(patience * 2, LONGEST_PATIENCE)
      again = now + patience
      transmit(self, line)
    end
    await(self, what, math.max(math.min(again, deadline) - core.now(), 0))
    if self.boots ~= boots and command ~= "hello" then
      options.fail("gone", "agent: the guest has started again while waiting for the answer to %s",
        what)
    end
  end
  return self.answer
end

local function raise(command, fields, what, timeout)
  local name = fields.errno or "E"
  if name == "ETIMEDOUT" and what then
    options.fail("timeout", "agent: no %s within %g s", what, timeout)
  end
  local message = ("agent: %s: %s%s"):format(command,
    fields.message and fields.message .. ": " or "", name)
  local err = core.error(CODES[name] or "io", (message:gsub("%c", "?")))
  err.errno = name
  error(err, 0)
end

-- Waits for this request's turn, and returns a value that ends it when closed.
local function turn(self, what, timeout)
  local deadline = core.now() + timeout
  while self.busy do
    wait.block {
      what = ("the agent to be free for %s"):format(what), machine = self.machine,
      timeout = math.max(deadline - core.now(), 0), start = wait.joins(self.turns),
    }
  end
  self.busy = true
  return setmetatable({}, { __close = function()
    self.busy = false
    wait.wake_all(self.turns)
  end })
end

-- Waits until the agent answers.
local function make_ready(self, timeout)
  if self.ready then return end
  local answer = exchange(self, "hello", {}, "'hello'", timeout)
  self.about = answer.fields
  self.ready = true
end

--- Has the agent run a command; returns the fields of its answer. how: timeout = how long the
-- channel has to answer, in seconds; takes = what the command itself may take; what = words for
-- what it waits for.
function Channel:call(command, arguments, how)
  local timeout = how.timeout + (how.takes or 0)
  if self.machine then event.check_open(self.machine) end
  local words = ("'%s'"):format(command)
  local _ <close> = turn(self, words, timeout)
  make_ready(self, timeout)
  local answer = exchange(self, command, arguments, words, timeout)
  if answer.kind == "ok" then return answer.fields end
  raise(command, answer.fields, how.what, how.takes or timeout)
end

--- Waits until the agent answers; returns what it says of itself.
function Channel:await_ready(timeout)
  if self.machine then event.check_open(self.machine) end
  local _ <close> = turn(self, "'hello'", timeout)
  make_ready(self, timeout)
  return self.about
end

return Channel
