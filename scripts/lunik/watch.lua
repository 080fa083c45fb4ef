--- m:watch() and m:wait(): queues of events to wait for.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local recent = require "lunik.recent"
local wait = require "lunik.wait"

local watch = {}

local Watch = {}
Watch.__index = Watch
Watch.__name = "lunik.Watch"
watch.Watch = Watch

-- Events that may come after the end of a run; a wait for others fails when the machine stops.
local outlive = { started = true, resumed = true, reset = true, error = true }

local function check_names(what, names)
  if type(names) == "string" then names = { names } end
  if type(names) ~= "table" then
    options.fail("invalid", "%s: event: %s (want an event's name, or a list of names)", what,
      names == nil and "is missing" or options.show(names) .. " is not an event")
  end
  if #names == 0 then options.fail("invalid", "%s: no event is named (want one at least)", what) end
  for _, name in ipairs(names) do
    event.check_name(what, name)
    if name == "vcpu-exit" then
      options.fail("invalid", "%s: 'vcpu-exit' can't be waited for: its handlers decide what "
        .. "happens (want m:on)", what)
    end
  end
  return names
end

--- Splits {field = value, timeout = seconds}.
local function split_filter(what, filter)
  local fields, timeout = {}, nil
  for key, value in pairs(filter and options.table(what, filter) or {}) do
    options.value(what .. ": filter", key, "string")
    if key == "timeout" then
      timeout = options.value(what .. ": timeout", value, "seconds")
    elseif getmetatable(value) == "lunik.Object" then
      fields[key] = value.id ~= "" and value.id or value.path
    else
      -- Refuses values that no event's field can have: the wait would never end.
      local meant = options.hint(key, { "timeout" })
      if meant ~= "" then options.fail("invalid", "%s: '%s' is not a field%s", what, key, meant) end
      if value ~= value then
        options.fail("invalid", "%s: %s: '%s' equals no value", what, key, value)
      end
      fields[key] = value
    end
  end
  return fields, timeout
end

local function matches(ev, fields)
  for key, value in pairs(fields) do
    if ev[key] ~= value then return false end
  end
  return true
end

local function describe(names, fields)
  local parts = {}
  for _, key in ipairs(options.keys(fields)) do
    parts[#parts + 1] = ("%s = %s"):format(key, core.text(fields[key]))
  end
  return ("'%s'%s"):format(table.concat(names, "' or '"),
    #parts > 0 and " with " .. table.concat(parts, ", ") or "")
end

local function subscribe(m, name, fields, fn)
  if next(fields) == nil then return event.on(m, name, fn) end
  return event.on_fields(m, name, fields, function(ev)
    if matches(ev, fields) then fn(ev) end
  end)
end

--- m:watch(events, {field = value}): collects matching events from now on.
function watch.new(m, names, filter)
  names = check_names("watch", names)
  local fields = split_filter("watch", filter)
  local self = setmetatable({
    machine = m, queue = {}, first = 1, last = 0, subscriptions = {},
    what = describe(names, fields), waits_on = true,
  }, Watch)
  local function collect(ev)
    self.queue[self.last + 1] = ev
    self.last = self.last + 1
    if self.wake then self.wake(true) end
  end
  for _, name in ipairs(names) do
    if outlive[name] then self.waits_on = false end
    self.subscriptions[#self.subscriptions + 1] = subscribe(m, name, fields, collect)
  end
  return self
end

--- Takes the oldest event collected; waits for one if there is none.
function Watch:wait(opts)
  local timeout = options.parse("wait", opts, { timeout = "seconds" }).timeout
  if self.first > self.last then
    local m = self.machine
    if self.waits_on and event.has_ended(m) then
      error(wait.ended_error(m, self.what), 0)
    end
    wait.block {
      what = self.what, timeout = timeout, machine = self.waits_on and m or nil,
      start = function(wake)
        local function leave() self.wake = nil end
        self.wake = wake
        return leave
      end,
    }
  end
  return self:poll()
end

--- Takes the oldest event collected; returns nil if there is none.
function Watch:poll()
  local first = self.first
  if first > self.last then return nil end
  local ev = self.queue[first]
  self.queue[first] = nil
  self.first = first + 1
  return ev
end

--- Stops collecting.
function Watch:off()
  for _, subscription in ipairs(self.subscriptions) do subscription:off() end
end

options.guard(Watch.__name, Watch, Watch)
Watch.__close = Watch.off

--- Returns the event that ended the machine, if it has one of the names and matches.
local function ended_already(m, names, fields)
  local ended = event.has_ended(m) and event.state(m).ended
  for _, name in ipairs(names) do
    if ended and ended.name == name and matches(ended, fields) then return ended end
  end
end

local function is_wanted(names, fields)
  return function(ev)
    for _, name in ipairs(names) do
      if (name == ev.name or name == "*") and matches(ev, fields) then return true end
    end
    return false
  end
end

-- Waits for an event that has not come yet. If one came before the wait, the timeout error says so.
local function wait_for_next(m, names, fields, timeout)
  local wanted, began = is_wanted(names, fields), core.now()
  local self <close> = watch.new(m, names, fields)
  local ok, ev = pcall(self.wait, self, { timeout = timeout })
  if ok then return ev end
  local missed = type(ev) == "table" and ev.code == "timeout" and recent.missed(m, wanted)
  if missed then
    ev.message = ("%s; one came %.3g s before this wait began: m:watch(), made before what causes "
      .. "it, keeps it"):format(ev.message, began - missed.time / 1e9)
  end
  error(ev, 0)
end

--- m:wait(events, {field = value, timeout = seconds})
function watch.wait(m, names, filter)
  names = check_names("wait", names)
  local fields, timeout = split_filter("wait", filter)
  local ev = recent.find(m, is_wanted(names, fields)) or ended_already(m, names, fields)
    or wait_for_next(m, names, fields, timeout)
  recent.took(m, ev)
  return ev
end

return watch
