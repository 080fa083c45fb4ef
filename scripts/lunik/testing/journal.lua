--- The journal: every event of a machine, from the first, in order. Nothing is lost.

local core = require "lunik.core"
local inspect = require "lunik.inspect"
local runner = require "lunik.testing.runner"
local wait = require "lunik.wait"

local Journal = {}
Journal.__index = Journal

local await -- required late: it needs a journal's test

--- A journal of test t's machine, which has just been made (at `start`, in seconds): its events are
-- still to be delivered.
function Journal.new(t, start)
  local self = setmetatable({ test = t, events = {}, cursor = 0, made = 0, start = start }, Journal)
  self.subscription = t.m:on("*", function(ev) table.insert(self.events, ev) end)
  return self
end

--- The machine is made: expect(), none() and text() begin here. all(), count() and find() have the
-- board's own events as well.
function Journal:begin()
  self.cursor, self.made = #self.events, #self.events
end

--- How many events there are.
function Journal:position()
  return #self.events
end

--- All events, oldest first.
function Journal:all()
  return table.move(self.events, 1, #self.events, 1, {})
end

-- ---- events as text ----------------------------------------------------------------------------

local HIDDEN = { name = true, machine = true, time = true, device = true, path = true, dump = true,
  traceback = true }

-- "acpi-ost dimm1 slot=0 source=1 status=0"
local function text_of(ev)
  local parts = { ev.name, ev.device or ev.path or ev.object }
  local keys = {}
  for key in pairs(ev) do
    if not HIDDEN[key] and ev[key] ~= parts[2] then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local value = ev[key]
    parts[#parts + 1] = ("%s=%s"):format(key, type(value) == "table" and inspect(value)
      or core.text(value))
  end
  return table.concat(parts, " ")
end

--- The events from an index on in one line, the last few if there are many.
function Journal:line(from)
  local texts, last = {}, #self.events
  if last < from then return "no event" end
  local first = math.max(from, last - 7)
  if first > from then texts[1] = ("%d earlier events"):format(first - from) end
  for i = first, last do texts[#texts + 1] = text_of(self.events[i]) end
  return table.concat(texts, ", ")
end

--- The last count events (default: all) as lines, each with its time since the machine's making.
function Journal:text(count)
  local first = math.max(self.made, #self.events - (count or #self.events)) + 1
  local lines = {}
  for i = first, #self.events do
    local ev = self.events[i]
    lines[#lines + 1] = ("%8.3f s  %s"):format(ev.time / 1e9 - self.start, text_of(ev))
  end
  return table.concat(lines, "\n")
end

-- ---- what is expected --------------------------------------------------------------------------

-- "acpi-ost dimm1" or {"acpi-ost", device = "dimm1", status = 0} -> name, fields
local function parse(pattern)
  if type(pattern) == "table" then
    local fields = {}
    for key, value in pairs(pattern) do
      if key ~= 1 then fields[key] = value end
    end
    return pattern[1], fields
  end
  local name, device = pattern:match "^(%S+)%s+(%S+)$"
  return name or pattern, { device = device }
end

local function show(pattern)
  local name, fields = parse(pattern)
  local parts = { name }
  local keys = {}
  for key in pairs(fields) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = ("%s=%s"):format(key, core.text(fields[key]))
  end
  return table.concat(parts, " ")
end

local function matches(ev, pattern)
  local name, fields = parse(pattern)
  if ev.name ~= name then return false end
  for key, value in pairs(fields) do
    local got = ev[key]
    if key == "device" and got == nil then got = ev.object end
    if got ~= value then return false end
  end
  return true
end

--- The index of the first event from an index on that matches; nil if there is none yet.
function Journal:find(pattern, from)
  for i = from, #self.events do
    if matches(self.events[i], pattern) then return i, self.events[i] end
  end
end

--- Waits until the events have come, in this order; later calls look at later events. Each is
-- "name", "name device" or {name, field = value}. exactly: no other events may come between. Errors
-- that are expected are no complaints for check().
function Journal:expect(patterns, options)
  await = await or require "lunik.testing.await"
  options = options or {}
  local found = {}
  for i, pattern in ipairs(patterns) do
    local what = ("event %d, %s"):format(i, show(pattern))
    local from = self.cursor + 1
    local index = await.on(self.test, what, options.timeout or self.test.timeout, function()
      if options.exactly then return #self.events >= from and from end
      return self:find(pattern, from)
    end, from)
    if not matches(self.events[index], pattern) then
      runner.fail(("%s: instead came %s"):format(what, text_of(self.events[index])))
    end
    self.cursor, found[i] = index, self.events[index]
    self.test.pardoned[found[i]] = true
  end
  return table.unpack(found)
end

--- Fails if one of the events has come since the last mark() or expect().
function Journal:none(patterns)
  for _, pattern in ipairs(type(patterns) == "table" and patterns or { patterns }) do
    local _, ev = self:find(pattern, self.cursor + 1)
    if ev then runner.fail(("%s must not come, but did: %s"):format(show(pattern), text_of(ev))) end
  end
end

--- Later calls of expect() and none() look only at events after this moment.
function Journal:mark()
  wait.sleep(0)
  self.cursor = #self.events
end

--- How many of all events match.
function Journal:count(pattern)
  local count = 0
  for _, ev in ipairs(self.events) do
    if matches(ev, pattern) then count = count + 1 end
  end
  return count
end

return Journal
