--- Packs flights of the recorder for a report: steps are arrays, kinds and threads numbers.

local flights = {}
flights.__index = flights

local MOST_TEXT = 2000

--- Makes a collection that takes so many flights and steps.
function flights.new(most_flights, most_steps)
  return setmetatable({
    room = most_flights, steps = most_steps, list = {}, lost = 0, steps_lost = 0,
    names = { kind = {}, thread = {} }, numbers = { kind = {}, thread = {} },
  }, flights)
end

-- Returns the number, from 0, of a kind's or a thread's name.
local function number(self, what, name)
  local names, numbers = self.names[what], self.numbers[what]
  name = tostring(name or "loop")
  if not numbers[name] then
    names[#names + 1] = name
    numbers[name] = #names - 1
  end
  return numbers[name]
end

local function text(value)
  return value and tostring(value):sub(1, MOST_TEXT) or false
end

-- Times are relative to the report's start. A duration of -1: an instant; -2: it has not ended.
local function pack_step(self, step, zero)
  local duration = step.duration or -1
  return { step.time - zero, duration, number(self, "kind", step.kind),
    number(self, "thread", step.thread), step.depth or 0, text(step.text) or step.kind,
    text(step.failed), text(step.where) }
end

--- Adds a flight of the machine with that number.
function flights:add(index, flight, zero)
  if self.room == 0 then
    self.lost = self.lost + 1
    return
  end
  self.room = self.room - 1
  local steps, lost = {}, flight.dropped or 0
  for _, step in ipairs(flight.steps) do
    if self.steps > 0 then
      self.steps = self.steps - 1
      steps[#steps + 1] = pack_step(self, step, zero)
    else
      lost = lost + 1
    end
  end
  self.steps_lost = self.steps_lost + lost
  self.list[#self.list + 1] = { index, flight.kind, text(flight.device), text(flight.driver),
    text(flight.where), flight.start - zero, flight.stop and flight.stop - zero or false,
    flight.outcome, text(flight.why), lost, steps }
end

--- Adds what a machine's recorder has kept.
function flights:add_all(index, recorder, zero)
  for _, flight in ipairs(recorder:flights()) do self:add(index, flight, zero) end
  self.lost = self.lost + recorder.dropped.flights
  self.steps_lost = self.steps_lost + recorder.dropped.steps
end

--- Returns them for the page.
function flights:all()
  table.sort(self.list, function(a, b) return a[6] < b[6] end)
  return { list = self.list, lost = self.lost, stepsLost = self.steps_lost,
    kinds = self.names.kind, threads = self.names.thread }
end

return flights
