--- What `lunik top` shows: the machines, their exits, dirty rates and devices that go in and out.

local core = require "lunik.core"
local board = require "lunik.board"
local event = require "lunik.event"
local observe = require "lunik.observe"
local one_line = require "lunik.one_line"

local View = {}
View.__index = View

local top = {}

local SHOWN_EVENTS = 8

local plug_events = { ["device-added"] = true, ["device-deleted"] = true, ["acpi-ost"] = true,
  ["device-unplug-request"] = true, ["device-unplug-guest-error"] = true,
  ["memory-device-size-change"] = true }

-- Returns how often the vCPUs have left the guest so far.
local function exits(m)
  local sum = 0
  for _, cpu in ipairs(m:cpus()) do sum = sum + (cpu.stats.exits or 0) end
  return sum
end

-- Returns a function that returns the pages that the guest has written since the last call, and one
-- to call at the end; nil: they can't be counted now.
local function dirty_counter(m)
  local ok, log = pcall(function() return m:dirty { client = "rate" }:start() end)
  if not ok or event.state(m).measuring then return nil end
  event.state(m).measuring = true
  return function()
    local pages = log:sync()
    log:clear()
    return pages
  end, function()
    event.state(m).measuring = false
    log:stop()
  end
end

-- Returns the growth of a value per second, and keeps the value.
local function rate(seen, name, value, now)
  local before, at = seen[name], seen.at
  seen[name] = value
  return before and now > at and (value - before) / (now - at) or 0
end

-- The columns, as far as a machine that may be of any state has them.
local function line(self, m, now)
  local seen = self.machines[m] or { at = now }
  self.machines[m] = seen
  local ok, count = pcall(exits, m)
  local per_second = rate(seen, "exits", ok and count or 0, now)
  if not seen.counter then seen.counter, seen.stop = dirty_counter(m) end
  local counted, pages = pcall(seen.counter or error)
  local mib = counted and now > seen.at and pages * 4096 / (now - seen.at) / (1 << 20) or 0
  local plugged = 0
  for _, device in ipairs(m:memory_devices()) do plugged = plugged + device.data.size end
  seen.at = now
  return ("%-16s %-10s %5d %12.0f %12.1f %10s"):format(m.name:sub(1, 16), m.state, #m:cpus(),
    per_second, mib, board.show(plugged))
end

--- Returns the screen.
function View:text()
  local now = core.now()
  local lines = { ("%-16s %-10s %5s %12s %12s %10s"):format("machine", "state", "vCPUs", "exits/s",
    "dirty MiB/s", "plugged") }
  for _, m in ipairs(core.machines()) do lines[#lines + 1] = line(self, m, now) end
  if #lines == 1 then lines[2] = "no machines" end
  if #self.events > 0 then lines[#lines + 1] = "" end
  for _, text in ipairs(self.events) do lines[#lines + 1] = text end
  return table.concat(lines, "\n") .. "\n"
end

--- Ends what it measures.
function View:close()
  for m, seen in pairs(self.machines) do
    if seen.stop and m.state ~= "closed" then seen.stop() end
  end
end

View.__close = View.close

local events -- the latest that are about devices, as text

--- Begins to keep events, for all views.
function top.start()
  if events then return end
  events = {}
  observe.on("event", function(_, ev)
    if not plug_events[ev.name] then return end
    table.insert(events, one_line(core.text(ev), 100))
    if #events > SHOWN_EVENTS then table.remove(events, 1) end
  end)
end

--- Begins to look.
function top.new()
  top.start()
  return setmetatable({ machines = {}, events = events }, View)
end

return top
