--- Draws a plot as SVG: a panel for each unit, a coloured line for each series.

local markup = require "lunik.markup"
local plot = require "lunik.plot"

-- In pixels.
local WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 200, 70, 20, 34, 26
local CHARACTER = 7

-- Colours that differ in brightness as well, for a light and for a dark background.
local LIGHT = { "#1f5fa8", "#c4551c", "#3a8a4d", "#8a4fa3", "#94700a", "#5c6670" }
local DARK = { "#7db4f0", "#f2a072", "#85cf97", "#cf9de6", "#dcbb5a", "#b3bdc7" }

local function style()
  local rules = { "text{font-family:sans-serif;font-size:11px;fill:#333}"
    .. ".t{font-size:14px;font-weight:bold}.e{text-anchor:end}.b{fill:#fcfcfa}.g{stroke:#ddd}"
    .. ".x{stroke:#777}polyline,circle{fill:none;stroke-width:1.5}" }
  local dark = { "text{fill:#ddd}.b{fill:#16181c}.g{stroke:#333}.x{stroke:#888}" }
  for i, colour in ipairs(LIGHT) do
    rules[#rules + 1] = (".c%d{stroke:%s}"):format(i, colour)
    dark[#dark + 1] = (".c%d{stroke:%s}"):format(i, DARK[i])
  end
  return ("<style>%s\n@media (prefers-color-scheme: dark){%s}</style>"):format(
    table.concat(rules), table.concat(dark))
end

local function class_of(index) return (index - 1) % #LIGHT + 1 end

-- Draws a series; gaps divide it into several lines.
local function draw_line(put, series, class, place)
  local points = {}
  local function finish()
    if points[2] then
      put('<polyline class="c%d" points="%s"/>', class, table.concat(points, " "))
    elseif points[1] then
      local x, y = points[1]:match "^(.*),(.*)$"
      put('<circle class="c%d" cx="%s" cy="%s" r="1.5"/>', class, x, y)
    end
    points = {}
  end
  for _, point in ipairs(series.points) do
    if point[2] ~= point[2] then
      finish()
    else
      points[#points + 1] = ("%.1f,%.1f"):format(place(point[1], point[2]))
    end
  end
  finish()
end

local function draw_legend(put, group, first, y)
  local x = LEFT
  for i, series in ipairs(group) do
    local name = series.name ~= "" and series.name or "value"
    if series.unit ~= "" then name = ("%s, %s"):format(name, series.unit) end
    put('<line class="c%d" stroke-width="2" x1="%d" y1="%d" x2="%d" y2="%d"/>',
      class_of(first + i), x, y + 18, x + 16, y + 18)
    put('<text x="%d" y="%d">%s</text>', x + 22, y + 22, markup.text(name))
    x = x + 42 + CHARACTER * (utf8.len(name) or #name)
  end
end

local function draw_axes(put, opt, y, y_range, x_range)
  local bottom, right = y + TOP + HEIGHT, WIDTH - RIGHT
  for i = 0, 4 do
    local line = bottom - HEIGHT * i / 4
    put('<line class="%s" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>', i == 0 and "x" or "g", LEFT, line,
      right, line)
    put('<text class="e" x="%d" y="%.1f">%s</text>', LEFT - 6, line + 4,
      plot.number(y_range[1] + (y_range[2] - y_range[1]) * i / 4))
  end
  local unit = opt.x ~= "" and " " .. opt.x or ""
  put('<text x="%d" y="%d">%s</text>', LEFT, bottom + 16,
    markup.text(plot.number(x_range[1]) .. unit))
  put('<text class="e" x="%d" y="%d">%s</text>', right, bottom + 16,
    markup.text(plot.number(x_range[2]) .. unit))
end

local function draw_panel(put, opt, group, first, y, x_range)
  local y_range = plot.ranges(group)
  local function place(x, value)
    return LEFT + (x - x_range[1]) / (x_range[2] - x_range[1]) * (WIDTH - LEFT - RIGHT),
      y + TOP + HEIGHT - (value - y_range[1]) / (y_range[2] - y_range[1]) * HEIGHT
  end
  draw_axes(put, opt, y, y_range, x_range)
  draw_legend(put, group, first, y)
  for i, series in ipairs(group) do draw_line(put, series, class_of(first + i), place) end
end

return function(opt)
  local body, y, drawn = {}, 0, 0
  local function put(...) body[#body + 1] = string.format(...) end
  if opt.title ~= "" then
    put('<text class="t" x="%d" y="20">%s</text>', LEFT, markup.text(opt.title))
    y = 24
  end
  local _, x_range = plot.ranges(opt.series)
  for _, group in ipairs(plot.by_unit(opt.series)) do
    draw_panel(put, opt, group, drawn, y, x_range)
    y, drawn = y + TOP + HEIGHT + BOTTOM, drawn + #group
  end
  local title = opt.title ~= "" and opt.title or "plot"
  return ([[<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"
  viewBox="0 0 %d %d" role="img">
<title>%s</title>
%s
<rect class="b" width="100%%" height="100%%"/>
%s
</svg>
]]):format(WIDTH, y, WIDTH, y, markup.text(title), style(), table.concat(body, "\n"))
end
