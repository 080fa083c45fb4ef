--- m:record{}: the flight recorder of a machine.
--
-- C keeps the steps in a ring (core.record); here they are taken out and grouped into flights, when
-- the script asks for them, or when the loop calls hooks.recorded.

local core = require "lunik.core"
local drawing = require "lunik.drawing"
local event = require "lunik.event"
local flight = require "lunik.record.flight"
local Grouping = require "lunik.record.grouping"
local list = require "lunik.list"
local options = require "lunik.options"

local recorder = {}

local FLIGHTS, STEPS = 100, 10000
local RING = 1024 -- entries at least: steps are taken out of the ring before they are counted
local MOST_FLIGHTS, MOST_STEPS = 1000000, 1 << 24

local Recorder = {}
Recorder.__name = "lunik.Recorder"
recorder.Recorder = Recorder

local kinds = { flights = "count", steps = "count", accesses = "string" }

local function bounded(name, value, default, most)
  if value == nil then return default end
  if value < 1 or value > most then
    options.fail("invalid", "record: %s: '%d' is out of range (want 1 to %d)", name, value, most)
  end
  return value
end

local function tell(self, ...)
  local followers = {}
  list.copy(self.followers, followers, 0)
  for _, subscription in ipairs(followers) do
    if subscription.list then
      event.protected(self.machine, "a follower of flights", subscription.fn, ...)
    end
  end
end

local function feed(ring, grouping)
  while true do
    local entry, skipped = ring:take(grouping:idle())
    if skipped then grouping:skipped() end
    if not entry then return end
    grouping:feed(entry)
  end
end

-- Takes the steps out of the ring. A follower may ask for flights meanwhile: what it causes to be
-- taken comes after what is being taken.
local function take(self)
  if self.taking then return end
  self.taking = true
  local ok, err = pcall(feed, self.ring, self.grouping)
  self.taking = false
  if not ok then error(err, 0) end
end

local fields = {}

--- { flights = how many, steps = how many } have not been kept.
function fields.dropped(self)
  take(self)
  local dropped = self.grouping.dropped
  return { flights = dropped.flights, steps = dropped.steps + self.ring:dropped() }
end

--- Whether it still records.
function fields.recording(self)
  return not self.stopped and self.machine.state ~= "closed"
end

function Recorder.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Recorder[key]
end

--- m:record{flights=, steps=, accesses=}
function recorder.start(m, opts)
  event.check_open(m)
  local opt = options.parse("record", opts, kinds)
  local limits = {
    flights = bounded("flights", opt.flights, FLIGHTS, MOST_FLIGHTS),
    steps = bounded("steps", opt.steps, STEPS, MOST_STEPS),
  }
  local accesses = options.choice("record: accesses", opt.accesses or "hotplug",
    { "hotplug", "all" })
  local self = setmetatable({
    machine = m, ring = core.record(m, math.max(limits.steps, RING), accesses == "all"),
    followers = list.new(), stopped = false, taking = false,
  }, Recorder)
  self.grouping = Grouping.new(limits, flight.maker(m.name), function(...) tell(self, ...) end,
    function(serial) return self.ring:find(serial) end)
  event.record(m, self)
  return self
end

--- Ends the recording; what has been recorded stays. Does nothing the second time.
function Recorder:stop()
  if self.stopped then return end
  self.stopped = true
  self.ring:stop()
  event.record(self.machine, self, true)
end

--- The flights that are kept, oldest first.
function Recorder:flights()
  take(self)
  local flights = self.grouping.flights
  return table.move(flights, 1, #flights, 1, {})
end

local kinds_of_flights = { "plug", "unplug", "reset", "boot" }

local function newest(self, wanted)
  take(self)
  local flights = self.grouping.flights
  for i = #flights, 1, -1 do
    if wanted(flights[i]) then return flights[i] end
  end
end

--- The newest flight (of a kind), or nil.
function Recorder:last(kind)
  if kind ~= nil then options.choice("last: kind", kind, kinds_of_flights) end
  return newest(self, function(f) return kind == nil or f.kind == kind end)
end

--- The newest flight (of a kind) of a device, or nil.
function Recorder:flight(device, kind)
  if core.is_a(device, "lunik.Object") then
    device = device.id ~= "" and device.id or device.path
  end
  options.value("flight: device", device, "string")
  if kind ~= nil then options.choice("flight: kind", kind, kinds_of_flights) end
  return newest(self, function(f)
    return f.device == device and (kind == nil or f.kind == kind)
  end)
end

--- Calls fn(what, flight, step) from the loop soon after each start, step and end.
function Recorder:follow(fn)
  options.value("follow: function", fn, "function")
  self.ring:follow(true)
  return event.subscribe(self.followers, fn, function() self.ring:follow(false) end)
end

local function format(name)
  return require("lunik.record." .. name)
end

function Recorder.timeline(self, opts) return format("timeline").draw(self:flights(), opts) end
function Recorder.svg(self, opts) return format("svg").draw(self:flights(), opts) end
function Recorder.json(self) return format("json").lines(self:flights()) end

function Recorder.__tostring(self)
  local trees = {}
  for i, f in ipairs(self:flights()) do trees[i] = tostring(f) end
  return table.concat(trees, "\n")
end

local formats = { txt = tostring, svg = Recorder.svg, jsonl = Recorder.json }

--- Writes all flights to a file: .txt, .svg or .jsonl.
function Recorder:save(path)
  options.value("save: path", path, "string")
  local make = formats[path:match "%.(%w+)$"]
  if not make then
    options.fail("invalid", "save: '%s' has no format (want a name that ends in .txt, .svg or "
      .. ".jsonl)", path)
  end
  drawing.write("save", path, make(self))
end

options.guard(Recorder.__name, Recorder, Recorder)
Recorder.__close = Recorder.stop

-- The ring that has steps to take out is that of a recorder of an open machine.
core.hooks.recorded = function(ring)
  for _, m in ipairs(core.machines()) do
    for _, self in ipairs(event.state(m).recorders or {}) do
      if self.ring == ring then return take(self) end
    end
  end
end

return recorder
