--- Lunik's events as QMP's, and how often these are sent.

local core = require "lunik.core"
local event = require "lunik.event"
local names = require "lunik.qmp.names"
local observe = require "lunik.observe"

local events = {}

local RATE = 1 -- seconds between two events of a kind that is limited

local function device_of(ev)
  return { device = ev.device, path = names.event_path(ev.path) }
end

local function has_id(ev) return ev.device and not ev.device:find("/", 1, true) end

local function stop_reason(ev)
  local by_guest = ev.reason == "guest-shutdown" or ev.reason == "exit-device"
  local quit = event.state(ev.machine).quit_reason
  if ev.reason == "reset-failed" then quit = "host-error" end
  return { guest = by_guest, reason = by_guest and "guest-shutdown" or quit or "host-signal" }
end

local function reset_reason(ev)
  local by_host = ev.vcpu == nil
  return { guest = not by_host, reason = by_host and "host-qmp-system-reset" or "guest-reset" }
end

--- Lunik's event -> list of {name =, args = its data's declaration, data = function(event),
-- limited = the field whose values are limited apart, or true}.
events.table = {
  started = { { name = "RESUME" } },
  resumed = { { name = "RESUME" } },
  paused = { { name = "STOP" } },
  crashed = { { name = "STOP" } },
  reset = { { name = "RESET", args = { guest = "bool", reason = "ShutdownCause" },
    data = reset_reason } },
  shutdown = {
    { name = "SHUTDOWN", args = { guest = "bool", reason = "ShutdownCause" }, data = stop_reason },
    { name = "STOP" },
  },
  powerdown = { { name = "POWERDOWN" } },
  suspend = { { name = "SUSPEND" } },
  ["suspend-disk"] = { { name = "SUSPEND_DISK" } },
  wakeup = { { name = "WAKEUP" } },
  ["acpi-ost"] = { { name = "ACPI_DEVICE_OST", args = { info = "ACPIOSTInfo" },
    data = function(ev)
      return { info = { device = ev.device, slot = tostring(ev.slot),
        ["slot-type"] = ev.slot_type, source = ev.source, status = ev.status } }
    end } },
  ["device-deleted"] = { { name = "DEVICE_DELETED", args = { device = "?str", path = "str" },
    data = device_of } },
  ["device-unplug-guest-error"] = { { name = "DEVICE_UNPLUG_GUEST_ERROR",
    args = { device = "?str", path = "str" }, data = device_of } },
  ["memory-device-size-change"] = { { name = "MEMORY_DEVICE_SIZE_CHANGE",
    args = { id = "?str", size = "size", ["qom-path"] = "str" }, limited = "qom-path",
    data = function(ev)
      return { id = ev.device, size = ev.size, ["qom-path"] = names.event_path(ev.path) }
    end } },
  ["balloon-change"] = { { name = "BALLOON_CHANGE", args = { actual = "int" }, limited = true,
    data = function(ev) return { actual = ev.actual } end } },
  ["block-io-error"] = { { name = "BLOCK_IO_ERROR",
    args = { device = "str", ["node-name"] = "?str", operation = "IoOperationType",
      action = "BlockErrorAction", nospace = "?bool", reason = "str" },
    data = function(ev)
      return { device = ev.device, ["node-name"] = ev.drive, action = ev.action,
        operation = ev.operation == "read" and "read" or "write", nospace = ev.nospace,
        reason = ev.reason }
    end } },
  ["port-changed"] = { { name = "VSERPORT_CHANGE", args = { id = "str", open = "bool" },
    limited = "id", data = function(ev) return { id = ev.device, open = ev.open } end } },
  watchdog = { { name = "WATCHDOG", args = { action = "WatchdogAction" }, limited = true,
    data = function(ev) return { action = ev.action } end } },
  ["guest-panicked"] = { { name = "GUEST_PANICKED", args = { action = "GuestPanicAction" },
    data = function(ev)
      return { action = (ev.action == "pause" or ev.action == "shutdown") and ev.action or "run" }
    end } },
  ["dump-completed"] = { { name = "DUMP_COMPLETED",
    args = { result = "DumpQueryResult", error = "?str" },
    data = function(ev)
      return { result = { status = ev.status, completed = ev.completed, total = ev.total },
        error = ev.error }
    end } },
  ["guest-crashloaded"] = { { name = "GUEST_CRASHLOADED", args = { action = "GuestPanicAction" },
    data = function() return { action = "run" } end } },
}

-- ---- what commands ask for later ---------------------------------------------------------------

-- Keeps the last _OST of each slot, for query-acpi-ospm-status.
local function note_ost(m, ev)
  if not (ev.slot_type == "DIMM" or ev.slot_type == "CPU") then return end
  local state = event.state(m)
  state.ost = state.ost or {}
  state.ost[ev.slot_type .. ev.slot] = { source = ev.source, status = ev.status }
end

-- ---- sending -----------------------------------------------------------------------------------

-- Sends an event that is limited, now or when the last of its kind is a second old; of several in
-- between the last one.
local function send_limited(monitor, kind, data, time)
  local of = kind.name .. (type(kind.limited) == "string" and data[kind.limited] or "")
  local waiting = monitor.limited[of]
  if waiting then
    waiting.data, waiting.time = data, time
    return
  end
  monitor:event(kind.name, data, time)
  waiting = {}
  monitor.limited[of] = waiting
  waiting.timer = core.timer(RATE, function()
    monitor.limited[of] = nil
    if waiting.data then send_limited(monitor, kind, waiting.data, waiting.time) end
  end, false, true)
end

local function send(monitor, ev)
  for _, kind in ipairs(events.table[ev.name] or {}) do
    local data = kind.data and kind.data(ev)
    if kind.name == "BLOCK_IO_ERROR" or not data or data.id == nil or has_id(ev) then
      if kind.limited then
        send_limited(monitor, kind, data, ev.time)
      else
        monitor:event(kind.name, data, ev.time)
      end
    end
  end
end

--- Has a monitor send the events of its machine from now on.
function events.follow(monitor)
  monitor.limited = {}
  monitor.observer = observe.on("event", function(m, ev)
    if m ~= monitor.machine then return end
    if ev.name == "acpi-ost" then note_ost(m, ev) end
    send(monitor, ev)
  end)
  monitor.closing = observe.on("closing", function(m)
    if m ~= monitor.machine or event.has_ended(m) then return end
    local why = event.state(m).quit_reason or "host-signal"
    monitor:event("SHUTDOWN", { guest = false, reason = why })
  end)
  monitor.ended = event.subscribe(event.state(monitor.machine).ends, function()
    if monitor.machine.state == "closed" then events.leave(monitor) end
  end)
end

--- Drops the events that wait for a client that has gone.
function events.forget(monitor)
  for _, waiting in pairs(monitor.limited or {}) do waiting.timer:cancel() end
  monitor.limited = {}
end

--- Undoes follow().
function events.leave(monitor)
  events.forget(monitor)
  monitor.observer:off()
  monitor.closing:off()
  monitor.ended:off()
end

return events
