--- Flights as timelines in SVG: one file that needs nothing else, light or dark as the viewer is.

local drawing = require "lunik.drawing"
local markup = require "lunik.markup"
local options = require "lunik.options"
local timeline = require "lunik.record.timeline"
local tree = require "lunik.record.tree"
local words = require "lunik.record.words"

local svg = {}

local ROW, HEAD, LABEL, WIDTH = 16, 28, 480, 1200 -- pixels; LABEL: left of the bars

local STYLE = [[
text{font:11px ui-monospace,monospace;fill:#1b1f24}.h{font-weight:bold;font-size:13px}
.a{fill:#57606a}.bg{fill:#ffffff}.g{stroke:#d0d7de}
.plain{fill:#57606a}.call{fill:#0969da}.map{fill:#8250df}.guest{fill:#bf8700}.failed{fill:#cf222e}
@media (prefers-color-scheme: dark){text{fill:#e6edf3}.a{fill:#8b949e}.bg{fill:#0d1117}
.g{stroke:#30363d}.plain{fill:#8b949e}.call{fill:#58a6ff}.map{fill:#bc8cff}.guest{fill:#d29922}
.failed{fill:#f85149}}]]

local function x_of(ns, length)
  return LABEL + ns * (WIDTH - LABEL - 10) / length
end

-- The text that a viewer shows at the pointer.
local function hint(flight, step)
  local text = ("%s\n+%s%s, %s"):format(step.text, words.time(step.time - flight.start),
    step.duration and ", took " .. words.time(step.duration) or "", step.thread)
  if step.cause then text = text .. "\nby " .. step.cause end
  return step.failed and text .. "\nfailed: " .. step.failed or text
end

local function draw_step(put, flight, step, y, length)
  local from = math.max(0, step.time - flight.start)
  local width = math.max(2, x_of(step.duration or 0, length) - LABEL)
  put('<g><title>%s</title>', markup.text(hint(flight, step)))
  put('<text x="%d" y="%d" clip-path="url(#labels)">%s</text>', 10 + step.depth * 12, y + 12,
    markup.text(step.text))
  put('<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/></g>', timeline.class(step),
    math.min(x_of(from, length), WIDTH - 12), y + 3, width, ROW - 5)
end

local function draw_flight(put, flight, y)
  local length = timeline.length(flight)
  put('<text class="h" x="10" y="%d">%s</text>', y + 18, markup.text(tree.heading(flight)))
  y = y + HEAD
  for tenth = 0, 10, 2 do
    local x = x_of(length * tenth // 10, length)
    put('<line class="g" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>', x, y, x,
      y + ROW * #flight.steps)
    put('<text class="a" x="%.1f" y="%d" text-anchor="%s">%s</text>', x, y - 2,
      tenth == 10 and "end" or "middle", words.time(length * tenth // 10))
  end
  for _, step in ipairs(flight.steps) do
    draw_step(put, flight, step, y, length)
    y = y + ROW
  end
  return y + ROW
end

--- Returns the picture; with file=, also writes it there.
function svg.draw(flights, opts)
  local opt = options.parse("svg", opts, { file = "string" })
  local parts, y = {}, 10
  local function put(format, ...) parts[#parts + 1] = format:format(...) end
  for _, flight in ipairs(flights) do y = draw_flight(put, flight, y) end
  local picture = table.concat {
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
      .. 'role="img"><title>Lunik: flights</title><style>%s</style>\n<clipPath id="labels">'
      .. '<rect x="0" y="0" width="%d" height="%d"/></clipPath>\n<rect class="bg" width="%d" '
      .. 'height="%d"/>\n'):format(WIDTH, y, WIDTH, y, STYLE, LABEL - 10, y, WIDTH, y),
    table.concat(parts, "\n"), "\n</svg>\n",
  }
  if opt.file then
    if not opt.file:find "%.svg$" then
      options.fail("invalid", "svg: file: '%s' is not the name of an SVG file (want a name that "
        .. "ends in .svg)", opt.file)
    end
    drawing.write("svg: file", opt.file, picture)
  end
  return picture
end

return svg
