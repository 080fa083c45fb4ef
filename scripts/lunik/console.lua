--- Consoles: access to a serial port whose output is kept in memory (serial = "buffer" or a
-- function).

local core = require "lunik.core"
local event = require "lunik.event"
local list = require "lunik.list"
local observe = require "lunik.observe"
local options = require "lunik.options"
local recent = require "lunik.recent"
local wait = require "lunik.wait"

local console = {}

local Console = {}
Console.__index = Console
Console.__name = "lunik.Console"
console.Console = Console

-- Returns the machine's table object -> console. The machine keeps it: a function that takes output
-- is called even if the script holds neither object nor console.
local function consoles(m)
  return event.state(m).consoles
end

--- Returns the console of a chardev-buffer object; or of another character device, of which only
-- taps are of use.
function console.of(object)
  local all = consoles(object.machine)
  if not all[object] then
    for other in pairs(all) do
      if not other.alive then all[other] = nil end
    end
    all[object] = setmetatable({
      object = object, position = 0, fed = { at = 0 }, taps = {}, waiting = list.new(),
    }, Console)
    core.buffer_watch(object)
    observe.notify("console", all[object])
  end
  return all[object]
end

-- Calls functions for the last time if a script ends without closing its machines: Lua finalizes
-- what was made last first, so this runs while the machine is still open.
local AtEnd = { __gc = function(at_end)
  if at_end.object.alive then core.hooks.console(at_end.object) end
end }

--- Calls fn(bytes) with all output, soon after it is printed.
function Console:feed(fn)
  self.fn = fn
  self.at_end = setmetatable({ object = self.object }, AtEnd)
end

-- Returns the output from a reader's position `at` on, which it moves, and how many bytes before
-- that are lost.
local function take(self, reader)
  local text, at = core.buffer_peek(self.object, reader.at)
  local lost = at - reader.at
  reader.at = at + #text
  return text, lost
end

local function take_unfed(self)
  local text, lost = take(self, self.fed)
  if lost > 0 then
    core.emit(self.object.machine, "chardev-error", { object = self.object.id,
      message = ("%d bytes of output are lost: the function was not called in time")
        :format(lost) })
  end
  return text
end

--- Calls fn(bytes, lost) with all output, in addition to whatever reads it; lost: how many bytes
-- before them could not be kept; from_now: without what has been printed so far. For observers.
function console.tap(self, fn, from_now)
  table.insert(self.taps, { at = from_now and self.object.written or 0, fn = fn })
  return self.taps[#self.taps]
end

--- Ends a tap.
function console.untap(self, tap)
  for i, other in ipairs(self.taps) do
    if other == tap then table.remove(self.taps, i) end
  end
end

--- Calls the functions of taps with what they have not had.
function console.feed_taps(self)
  for _, tap in ipairs(self.taps) do
    local text, lost = take(self, tap)
    if text ~= "" then tap.fn(text, lost) end
  end
end

core.hooks.console = function(object)
  local self = object.alive and consoles(object.machine)[object]
  if not self then return end
  if self.taps[1] then
    event.protected(object.machine, "an observer of a console", console.feed_taps, self)
  end
  if self.fn then
    local text = take_unfed(self)
    if text ~= "" then
      event.protected(object.machine, "a function that takes a console's output", self.fn, text)
    end
  end
  wait.wake_all(self.waiting)
end

-- A new character device. A report may want what goes through it.
core.hooks.chardev = function(object) observe.notify("chardev", object) end

--- Sends a break: the line held in the state of a start bit for longer than a character.
function Console:send_break()
  recent.acted(self.object.machine)
  self.object:send_break()
end

--- Types text into the guest's serial port.
function Console:write(text)
  options.value("write: text", text, "string")
  recent.acted(self.object.machine)
  local taken = core.buffer_write(self.object, text)
  if taken < #text then
    options.fail("no-space", "write: the guest has not read its serial port for a while: %d of %d "
      .. "bytes were taken", taken, #text)
  end
end

--- Returns the output that has been neither read nor matched yet, without taking it.
function Console:peek()
  local text = core.buffer_peek(self.object, self.position)
  return text
end

--- Returns the same and takes it.
function Console:read()
  local text, at = core.buffer_peek(self.object, self.position)
  self.position = at + #text
  return text
end

--- Returns all output that is kept, read or not.
function Console:text()
  local text = core.buffer_peek(self.object, 0)
  return text
end

--- Returns the end of the output, for an error message.
local function tail(self)
  local from = math.max(self.position, self.object.written - 400)
  local text = core.buffer_peek(self.object, from):gsub("\r", ""):sub(-200)
  return text == "" and "nothing more was printed" or ("the last text is:\n%s"):format(text)
end

-- A look that took some time is followed by a pause that is so many times longer.
local PAUSE = 3

-- Looks for the pattern once. Returns the end of the match and its captures in a table (false:
-- there is more to search; nil: no match yet), and how long to wait before the next look.
local function look(self, search)
  if self.object.machine.state == "closed" then return {}, 0 end
  local began = core.now()
  local found = table.pack(core.buffer_search(self.object, search, self.position))
  return found, PAUSE * (core.now() - began)
end

-- Waits until more is printed; with a pause, until that is over.
local function wait_for_output(self, what, timeout, pause)
  wait.block {
    what = what, timeout = timeout, machine = self.object.machine,
    start = function(wake)
      if not pause then return wait.joins(self.waiting)(wake) end
      local timer
      local function cancel() timer:cancel() end
      timer = core.timer(pause, function() wake(true) end, true)
      return cancel
    end,
  }
end

-- Waits; returns whether the timeout is over. Ignores the machine's end: the caller looks at the
-- last output first.
local function waited(self, what, left, pause)
  local ok, err = pcall(wait_for_output, self, what, left, pause)
  if ok or event.has_ended(self.object.machine) then return false end
  if getmetatable(err) and err.code == "timeout" then return true end
  error(err, 0)
end

--- Waits until the guest has printed something that matches the pattern (a Lua pattern, or plain
-- text with plain = true). Text before and up to the match is taken.
function Console:expect(pattern, opts)
  options.value("expect: pattern", pattern, "string")
  opts = options.parse("expect", opts, { timeout = "seconds", plain = "boolean" })
  local deadline = opts.timeout and core.now() + opts.timeout
  local what = ("'%s' on the console"):format(pattern)
  local search, m = core.search(pattern, opts.plain), self.object.machine
  local over = false
  recent.begin(m)
  while true do
    local found, pause = look(self, search)
    if found[1] then
      self.position = found[1]
      return table.unpack(found, 2, found.n)
    elseif over then
      error(core.error("timeout", ("no %s within %g s; %s"):format(what, opts.timeout,
        tail(self))), 0)
    elseif found[1] == nil and event.has_ended(m) then
      error(wait.ended_error(m, what), 0)
    end
    over = waited(self, what, deadline and math.max(deadline - core.now(), 0),
      (found[1] == false or pause > 0.001) and pause)
  end
end

--- Gives the prompt's terminal to the guest until Ctrl-] is typed.
function Console:attach() require("lunik.prompt.console_keys").attach(self) end

options.guard(Console.__name, Console, Console)

return console
