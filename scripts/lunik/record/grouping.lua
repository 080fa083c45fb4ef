--- Groups the steps of a machine into flights.
--
-- A flight begins with a call: a step whose kind is in `begins`. A step belongs to the flights that
-- are open for its device; a step without a device to those of the step that it is a part of; and
-- one that is a part of nothing, such as a guest's access to a GPE's register, to all flights whose
-- guest has been asked and has not answered. With a step come the steps that it is a part of. So
-- flights that are under way at the same time share what happens for all of them, and nothing else.

local words = require "lunik.record.words"

local Grouping = {}
Grouping.__index = Grouping

local KNOWN = 4096 -- steps that have ended and may still be named as the parent of another one

local Step = {}
function Step.__index(step, key)
  return key == "text" and words.step(step) or nil
end

--- Returns a grouping that keeps `flights` flights and `steps` steps; make turns a table into a
-- flight; tell(what, flight, step) is called for each start, step and end; recall(serial) returns
-- an entry that was skipped, see Grouping:idle().
function Grouping.new(limits, make, tell, recall)
  return setmetatable({
    limits = limits, make = make, tell = tell, recall = recall,
    flights = {},  -- oldest first
    open = {},     -- device -> list of its flights that are under way
    latest = {},   -- device or kind -> its newest flight
    known = {},    -- serial -> step
    oldest = false, -- the lowest serial that may be known
    parents = setmetatable({}, { __mode = "k" }),  -- step -> step
    of = setmetatable({}, { __mode = "k" }),       -- step -> its flights, as list and set
    pending = {},  -- flights of the open transaction
    shown = {},    -- those whose guest has been asked since the last GPE
    raised = {},   -- those of the last GPE
    waiting = {},  -- those whose guest has been asked and has not answered
    progress = setmetatable({}, { __mode = "k" }), -- flight -> what has come of it so far
    total = 0, dropped = { flights = 0, steps = 0 },
  }, Grouping)
end

local function remove(list, value)
  for i, other in ipairs(list) do
    if other == value then return table.remove(list, i) end
  end
end

-- ---- flights -----------------------------------------------------------------------------------

-- Forgets what only this flight has kept.
function Grouping:forget(at)
  local flight = table.remove(self.flights, at)
  self.progress[flight].forgotten = true
  self.dropped.flights = self.dropped.flights + 1
  for _, step in ipairs(flight.steps) do
    local of = self.of[step]
    of[flight] = nil
    remove(of, flight)
    if #of == 0 then
      self.total = self.total - 1
      self.dropped.steps = self.dropped.steps + 1
    end
  end
  self:close(flight)
  for key, latest in pairs(self.latest) do
    if latest == flight then self.latest[key] = nil end
  end
end

-- Forgets the oldest flight that has ended, but not `keep`; returns false if there is none.
function Grouping:forget_oldest(keep)
  for i, flight in ipairs(self.flights) do
    if flight.stop and flight ~= keep then
      self:forget(i)
      return true
    end
  end
  return false
end

--- Takes a flight out of the lists of those that are under way.
function Grouping:close(flight)
  local open = self.open[flight.device or flight.kind]
  if open then
    remove(open, flight)
    if #open == 0 then self.open[flight.device or flight.kind] = nil end
  end
  for _, list in ipairs { self.pending, self.shown, self.waiting, self.raised } do
    remove(list, flight)
  end
end

function Grouping:finish(flight, time, outcome, why)
  if flight.stop then return end
  flight.stop, flight.outcome, flight.why = time, outcome, why
  self:close(flight)
  self.tell("end", flight)
end

-- The flights that are under way for a device; others by their kind.
local function open_for(self, key)
  self.open[key] = self.open[key] or {}
  return self.open[key]
end

function Grouping:name_flight(flight, device, driver)
  local open = open_for(self, device or flight.kind)
  open[#open + 1] = flight
  flight.device, flight.driver = device, driver or flight.driver
  self.latest[device or flight.kind] = flight
end

function Grouping:begin(kind, step)
  if #self.flights >= self.limits.flights and not self:forget_oldest() then self:forget(1) end
  local flight = self.make {
    kind = kind, where = step.where, start = step.time, outcome = "under way", steps = {},
    dropped = 0,
  }
  self.flights[#self.flights + 1] = flight
  self.progress[flight] = {}
  self:name_flight(flight, (kind == "plug" or kind == "unplug") and step.device or nil,
    step.driver)
  self.tell("start", flight, step)
  return flight
end

function Grouping:find_open(device, kind)
  for _, flight in ipairs(self.open[device or kind] or {}) do
    if flight.kind == kind then return flight end
  end
end

-- ---- steps of flights --------------------------------------------------------------------------

-- Makes room for one more step; returns false if this flight alone fills it.
function Grouping:make_room(flight)
  while self.total >= self.limits.steps do
    if not self:forget_oldest(flight) then return false end
  end
  return true
end

local function insert(flight, step)
  local steps = flight.steps
  local at = #steps + 1
  while at > 1 and steps[at - 1].serial > step.serial do at = at - 1 end
  table.insert(steps, at, step)
end

--- Adds a step to a flight, after those that it is a part of.
function Grouping:add(flight, step)
  local of = self.of[step]
  if of and of[flight] or self.progress[flight].forgotten then return end
  local parent = self.parents[step]
  if parent then self:add(flight, parent) end
  if not of then
    if not self:make_room(flight) then
      flight.dropped = flight.dropped + 1
      self.dropped.steps = self.dropped.steps + 1
      return
    end
    of = {}
    self.of[step] = of
    self.total = self.total + 1
  elseif #of == 0 then
    self.total = self.total + 1
  end
  of[#of + 1] = flight
  of[flight] = true
  insert(flight, step)
  self.tell("step", flight, step)
end

local function copy(list)
  return table.move(list, 1, #list, 1, {})
end

-- A reset and a start are about all devices.
local function of_machine(flights)
  local found = {}
  for _, flight in ipairs(flights or {}) do
    if not flight.device then found[#found + 1] = flight end
  end
  return found
end

local by_event = { started = "boot", reset = "reset" }

-- Handlers are called after the flight has ended.
local function of_handler(self, step)
  local latest = self.latest[step.device or by_event[step.fields.event]]
  return { latest }
end

-- The flights of a step that is a part of nothing and about no device that has one.
local function of_root(self, step)
  if step.kind == "gpe" then
    self.raised, self.shown = #self.shown > 0 and self.shown or copy(self.waiting), {}
    return copy(self.raised)
  elseif step.kind == "gsi" then
    return copy(self.raised)
  elseif step.kind == "access" and not step.device then
    return copy(self.waiting)
  end
  return {}
end

-- A commit of a transaction belongs to the calls in it.
local function commits(self, step)
  return step.kind == "map" and #self.pending > 0
end

local function of_device(self, step, parent)
  local flights = of_machine(self.of[parent])
  for _, flight in ipairs(self.open[step.device] or {}) do flights[#flights + 1] = flight end
  return flights
end

-- The flights of a memory slot: of the device that has its address, else of the whole change.
local function of_memslot(self, step, parent)
  local found = {}
  for _, flight in ipairs(self.of[parent] or {}) do
    local place = self.progress[flight].place
    if place and step.fields.address == place.address then found[1] = flight end
  end
  return found[1] and found or copy(self.of[parent] or {})
end

local function flights_of(self, step, parent)
  if step.kind == "handler" then return of_handler(self, step) end
  if commits(self, step) then return copy(self.pending) end
  if step.device and self.open[step.device] then return of_device(self, step, parent) end
  if parent and step.kind == "memslot" then return of_memslot(self, step, parent) end
  if parent then return copy(self.of[parent] or {}) end
  return of_root(self, step)
end

-- ---- calls -------------------------------------------------------------------------------------

local begins = {}

function begins.device_add(self, step)
  return self:begin("plug", step)
end

function begins.device_del(self, step)
  return self:find_open(step.device, "unplug") or self:begin("unplug", step)
end

function begins.start(self, step)
  return self:begin("boot", step)
end

function begins.guest_reset(self, step)
  return self:find_open(nil, "reset") or self:begin("reset", step)
end

begins.reset = begins.guest_reset

-- A guest may give up a device that it was not asked for.
local function surprises(self, step)
  return step.kind == "eject" and not self:find_open(step.device, "unplug")
end

function Grouping:start_call(step)
  self.parents[step] = nil
  step.parent, step.depth = 0, 0
  local flight = begins[step.kind](self, step)
  if step.fields.in_transaction then self.pending[#self.pending + 1] = flight end
  self:add(flight, step)
end

-- ---- what steps mean ---------------------------------------------------------------------------

local function settle_plug(self, flight, time)
  local progress = flight and self.progress[flight]
  if progress and progress.called and progress.added and not progress.asked then
    self:finish(flight, time, "done")
  end
end

local function removed(self, step)
  local unplug = self:find_open(step.device, "unplug")
  if unplug then
    self:finish(unplug, step.time, self.progress[unplug].asked and "ejected" or "done")
  end
  local plug = self:find_open(step.device, "plug")
  if plug then
    self:finish(plug, step.time, "failed", "the device was removed before the guest answered")
  end
end

local function kept(self, step)
  local f = step.fields
  local unplug = self:find_open(step.device, "unplug")
  if not unplug then return end
  self:finish(unplug, step.time, "refused", f.reason
    or ("the guest keeps it (_OST source 0x%x, status 0x%x)"):format(f.source or 0, f.status or 0))
end

local events = { ["device-deleted"] = removed, ["device-unplug-guest-error"] = kept }

events["device-added"] = function(self, step)
  local flight = self:find_open(step.device, "plug")
  if not flight then return end
  self.progress[flight].added = true
  remove(self.pending, flight)
  settle_plug(self, flight, step.time)
end

local means = {}

function means.event(self, step)
  local meaning = step.device and events[step.name]
  if meaning then meaning(self, step) end
end

function means.place(self, step)
  local flight = self:find_open(step.device, "plug")
  if flight then self.progress[flight].place = step.fields end
end

function means.shown(self, step)
  local asks = step.fields.asks
  local kind = asks == "insert" and "plug" or "unplug"
  local flight = asks ~= "" and self:find_open(step.device, kind)
  if not flight then return end
  self.progress[flight].asked = true
  remove(self.pending, flight)
  self.shown[#self.shown + 1] = flight
  self.waiting[#self.waiting + 1] = flight
end

local SUCCESS, EJECT_REQUEST, EJECTING = 0, 3, 0x103
local IN_PROGRESS = { [0x200] = 0x80 } -- by source: insertion

function means.ost(self, step)
  local f, flight = step.fields, step.device and self:find_open(step.device, "plug")
  if not flight or f.source == EJECT_REQUEST or f.source == EJECTING
    or f.status == IN_PROGRESS[f.source] then return end
  if f.status == SUCCESS then
    self:finish(flight, step.time, "accepted")
  else
    self:finish(flight, step.time, "refused",
      ("the guest does not take it (_OST source 0x%x, status 0x%x)"):format(f.source, f.status))
  end
end

function means.eject(self, step)
  local flight = self:find_open(step.device, "unplug")
  if flight then self.progress[flight].asked = true end
end

local ends = {}

local function stop_time(step)
  return step.time + (step.duration or 0)
end

function ends.device_add(self, step)
  local flight = self.of[step] and self.of[step][1]
  if not flight then return end
  self.progress[flight].called = true
  if step.failed then
    self:finish(flight, stop_time(step), "failed", step.failed)
  else
    settle_plug(self, flight, stop_time(step))
  end
end

function ends.device_del(self, step)
  local flight = self.of[step] and self.of[step][1]
  if flight and step.failed and flight.steps[1] == step then
    self:finish(flight, stop_time(step), "failed", step.failed)
  end
end

local function end_call(self, step)
  local flight = self.of[step] and self.of[step][1]
  if not flight then return end
  self:finish(flight, stop_time(step), step.failed and "failed" or "done", step.failed)
end

ends.start, ends.reset = end_call, end_call

-- The transaction that would have added the device is undone.
function ends.unrealize(self, step)
  local flight = self:find_open(step.device, "plug")
  local progress = flight and self.progress[flight]
  if progress and progress.called and not progress.added then
    self:finish(flight, stop_time(step), "failed", "its transaction was undone")
  end
end

function ends.map(self, step)
  for _, flight in ipairs(commits(self, step) and copy(self.pending) or {}) do
    if step.failed then self:finish(flight, stop_time(step), "failed", step.failed) end
  end
  self.pending = {}
end

-- Calls that begin no flight.
local loose = { object_add = true, object_del = true, resume = true }

function Grouping:ended(step)
  if ends[step.kind] then ends[step.kind](self, step) end
  if loose[step.kind] and not self.of[step] then self.tell("loose", nil, step) end
end

-- ---- entries of the ring -----------------------------------------------------------------------

-- Keeps a step for those that name it as their parent.
function Grouping:remember(step)
  local known, newest = self.known, step.serial - KNOWN
  for serial = self.oldest or newest, newest do
    local old = known[serial]
    if old and not old.open then known[serial] = nil end
  end
  self.oldest = math.max(self.oldest or newest, newest)
  known[step.serial] = step
end

--- Whether accesses that are a part of nothing and have no parts may be skipped: no flight is under
-- way. Most of what a guest does when it looks at its slots.
function Grouping:idle()
  return next(self.open) == nil
end

--- Some have been skipped.
function Grouping:skipped()
  if self.raised[1] then self.raised = {} end
end

-- The step that another one is a part of, also if it has been skipped.
local function parent_of(self, serial)
  local parent = self.known[serial]
  if parent or serial == 0 or serial < (self.oldest or 0) then return parent end
  local entry = self.recall(serial)
  if not entry then return nil end
  parent = setmetatable(entry, Step)
  parent.phase, parent.parent, parent.depth = nil, 0, 0
  self.known[serial] = parent
  return parent
end

-- A device that the script gave no id gets its name after the call has begun.
local function name_device(self, step, entry)
  local flight = self.of[step] and self.of[step][1]
  if step.device or not entry.device then return end
  step.device, step.driver = entry.device, entry.driver
  if flight and step.kind == "device_add" then
    remove(open_for(self, flight.kind), flight)
    self:name_flight(flight, entry.device, entry.driver)
  end
end

function Grouping:begun(entry)
  local step = setmetatable(entry, Step)
  local parent = parent_of(self, step.parent)
  local whole = step.phase == "whole"
  step.open, step.phase = not whole and not step.duration or nil, nil
  self.parents[step] = parent
  step.parent = parent and parent.serial or 0
  step.depth = parent and parent.depth + 1 or 0
  self:remember(step)
  if not parent and not whole then self.raised = {} end
  if begins[step.kind] then
    self:start_call(step)
  elseif surprises(self, step) then
    self:add(self:begin("unplug", step), step)
  else
    for _, flight in ipairs(flights_of(self, step, parent)) do self:add(flight, step) end
  end
  if means[step.kind] then means[step.kind](self, step) end
  if whole and step.kind == "event" and not self.of[step] then self.tell("loose", nil, step) end
  if not whole and not step.open then self:ended(step) end
end

function Grouping:continued(entry)
  local step = self.known[entry.serial]
  if not step then return end -- its beginning was lost
  if entry.phase == "about" then return name_device(self, step, entry) end
  step.open, step.duration, step.failed = nil, entry.duration, entry.failed
  for key, value in pairs(entry.fields) do step.fields[key] = value end
  self:ended(step)
end

--- Takes an entry of the ring.
function Grouping:feed(entry)
  if entry.phase == "whole" or entry.phase == "begin" then
    self:begun(entry)
  else
    self:continued(entry)
  end
end

return Grouping
