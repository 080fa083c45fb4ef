--- Flights as timelines in the terminal: a bar for each step, from its beginning to its end.

local options = require "lunik.options"
local tree = require "lunik.record.tree"
local words = require "lunik.record.words"

local timeline = {}

local WIDTH, NARROWEST = 80, 60

local colours = {
  failed = "31", guest = "33", map = "35", call = "36", plain = "0", heading = "1",
}

local kinds = {
  access = "guest", ost = "guest", eject = "guest", map = "map", section = "map",
  listener = "map", memslot = "map", hold = "map", device_add = "call", device_del = "call",
  start = "call", reset = "call",
}

--- Which of a few classes a step is of, for its colour.
function timeline.class(step)
  return step.failed and "failed" or kinds[step.kind] or "plain"
end

-- Cuts a text to n characters of UTF-8.
local function fit(text, n)
  local length = utf8.len(text) or #text
  if length <= n then return text .. (" "):rep(n - length) end
  local cut = utf8.offset(text, n)
  return cut and text:sub(1, cut - 1) .. "…" or text:sub(1, n)
end

--- The end of the last step or of the flight, in nanoseconds after its start; at least 1.
function timeline.length(flight)
  local last = flight.duration or 0
  for _, step in ipairs(flight.steps) do
    last = math.max(last, step.time - flight.start + (step.duration or 0))
  end
  return math.max(last, 1)
end

local function bar(flight, step, length, width)
  local from = math.max(0, step.time - flight.start)
  local first = math.min(width - 1, from * width // length)
  local last = math.min(width - 1, (from + (step.duration or 0)) * width // length)
  local mark = step.duration and ("█"):rep(last - first + 1) or "│"
  return (" "):rep(first) .. mark
end

local function draw_one(flight, width, paint)
  local label = width * 55 // 100
  local room = width - label - 13
  local length = timeline.length(flight)
  local lines = { paint("heading", tree.heading(flight)) }
  for _, step in ipairs(flight.steps) do
    local took = step.duration and words.time(step.duration) or ""
    local text = fit(("  "):rep(step.depth) .. step.text, label)
    lines[#lines + 1] = (("%s %10s %s"):format(paint(timeline.class(step), text), took,
      paint(timeline.class(step), bar(flight, step, length, room))):gsub(" +$", ""))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- Only the lunik command can say whether its output is a terminal.
local function on_terminal()
  local ok, host = pcall(require, "lunik.host")
  return ok and host.isatty(1) and not os.getenv "NO_COLOR"
end

local function painter(colour)
  if colour == nil then colour = on_terminal() end
  return function(class, text)
    if not colour or colours[class] == "0" then return text end
    return ("\27[%sm%s\27[0m"):format(colours[class], text)
  end
end

--- flight:timeline{width=, colour=}
function timeline.draw(flights, opts)
  local opt = options.parse("timeline", opts, { width = "count", colour = "boolean" })
  local width, drawn = opt.width or WIDTH, {}
  if width < NARROWEST or width > 1000 then
    options.fail("invalid", "timeline: width: '%d' is out of range (want %d to 1000)", width,
      NARROWEST)
  end
  local paint = painter(opt.colour)
  for i, flight in ipairs(flights) do drawn[i] = draw_one(flight, width, paint) end
  return table.concat(drawn, "\n")
end

return timeline
