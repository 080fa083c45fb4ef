--- What a failure shows of a machine: the end of its console, its journal, its memory map and its
-- last flight.

local core = require "lunik.core"

local report = {}

local CONSOLE_LINES, EVENTS = 15, 20
local FIRST_STEPS, LAST_STEPS = 15, 25
local INDENT = "    "

local function indented(text)
  return INDENT .. text:gsub("\n+$", ""):gsub("\n", "\n" .. INDENT)
end

local function section(lines, title, text)
  lines[#lines + 1] = "  " .. title
  lines[#lines + 1] = text ~= "" and indented(text) or INDENT .. "(nothing)"
end

-- What the address space "memory" shows, as m:mtree prints it.
local function map_of(m)
  if m.state == "closed" then return "the machine is closed" end
  local lines, inside = {}, false
  for line in m:mtree { flat = true }:gmatch "[^\n]+" do
    if line:find '^ AS ' then inside = line:find('"memory"', 1, true) ~= nil end
    if inside and line:find "^%s+%x+%-%x+ " then lines[#lines + 1] = line:match "^%s*(.*)$" end
  end
  return table.concat(lines, "\n")
end

-- The dump of a machine that has crashed, or nil.
local function crash_of(t)
  for _, ev in ipairs(t.journal.events) do
    if ev.name == "crashed" then return ("%s\n%s"):format(ev.message, ev.dump) end
  end
end

-- A text's first and last lines, if it has more than that many.
local function ends_of(text, first, last)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  local left = #lines - first - last
  if left <= 1 then return text end
  table.move(lines, first + left + 1, #lines + left, first + 2)
  lines[first + 1] = ("... %d more lines"):format(left)
  return table.concat(lines, "\n", 1, first + 1 + last)
end

--- The text for test t.
function report.text(t)
  local lines = { ("machine '%s', %s guest, %s"):format(t.m.name, t.name, t.m.state) }
  local crash = crash_of(t)
  if crash then section(lines, "the crash", crash) end
  section(lines, "the console's last lines", t.console:text(CONSOLE_LINES))
  local count = t.journal:position() - t.journal.made
  section(lines, count > EVENTS and ("the last %d of %d events"):format(EVENTS, count) or "events",
    t.journal:text(EVENTS))
  local ok, map = pcall(map_of, t.m)
  section(lines, "memory map", ok and map or core.text(map))
  local flight = t.recorder and t.recorder:last()
  if flight then
    section(lines, "the last flight", ends_of(tostring(flight), FIRST_STEPS, LAST_STEPS))
  end
  return table.concat(lines, "\n")
end

return report
