--- lunik.plot{}: values over time as a drawing, for the terminal or as SVG. Here: what is drawn,
-- and the terminal's form; plot_svg.lua has the other one.
--
-- Series with the same unit have the same scale; in SVG they are in the same panel, in text, which
-- has no colours, each is in a panel of its own.

local drawing = require "lunik.drawing"
local options = require "lunik.options"

local plot = {}

local fail = options.fail

local MOST = 100000 -- points of a series

-- ---- what is drawn -----------------------------------------------------------------------------

local function finite(what, value)
  if type(value) ~= "number" or value ~= value or math.abs(value) == math.huge then
    fail("invalid", "%s: %s is not a number", what, options.show(value))
  end
  return value + 0.0
end

-- Checks a point: a value at its index, or {x, y}; y may be NaN, where nothing is known.
local function point_of(what, i, value)
  if type(value) == "table" then
    local y = value[2]
    return { finite(what .. ": x", value[1]), y ~= y and y or finite(what .. ": y", y) }
  end
  return { i + 0.0, value ~= value and value or finite(what, value) }
end

local function series_of(what, given, unit)
  options.table(what, given)
  local function text(key, default)
    return given[key] and options.value(("%s: %s"):format(what, key), given[key], "string")
      or default
  end
  local series = { name = text("name", ""), unit = text("unit", unit), points = {} }
  if #given > MOST then
    fail("invalid", "%s: %d points are too many (want up to %d)", what, #given, MOST)
  end
  for i, value in ipairs(given) do
    series.points[i] = point_of(("%s: [%d]"):format(what, i), i, value)
  end
  local known = { name = true, unit = true }
  for i in ipairs(given) do known[i] = true end
  options.known(what, given, known)
  return series
end

local KINDS = { title = "string", unit = "string", x = "string", series = "table",
  width = "count", height = "count", format = "string", file = "string" }

local function in_range(name, value, default, least, most)
  value = value or default
  if value < least or value > most then
    fail("invalid", "plot: %s: '%d' is out of range (want %d to %d)", name, value, least, most)
  end
  return value
end

local function parse(given)
  local opt = options.parse("plot", options.table("plot", given), KINDS)
  if not opt.series or #opt.series == 0 then
    fail("invalid", "plot: series: there is none (want { { name = \"a\", 1, 2, 3 } })")
  end
  local all = {}
  for i, series in ipairs(opt.series) do
    all[i] = series_of(("plot: series: [%d]"):format(i), series, opt.unit or "")
  end
  opt.series, opt.title, opt.x = all, opt.title or "", opt.x or ""
  opt.width = in_range("width", opt.width, 72, 20, 1000)
  opt.height = in_range("height", opt.height, 8, 2, 200)
  return opt
end

-- Returns the least number of the form 1, 2 or 5 times a power of ten that is not below the value.
local function round_up(value)
  local power = 10.0 ^ math.floor(math.log(value, 10))
  for _, factor in ipairs { 1, 2, 5, 10 } do
    if factor * power >= value then return factor * power end
  end
  return 10 * power
end

local function widen(range, value)
  range[1] = math.min(range[1] or value, value)
  range[2] = math.max(range[2] or value, value)
end

--- Returns the ranges {from, to} of the values, which includes 0, and of x, of several series.
function plot.ranges(list)
  local x, y = {}, { 0.0, 0.0 }
  for _, series in ipairs(list) do
    for _, point in ipairs(series.points) do
      widen(x, point[1])
      if point[2] == point[2] then widen(y, point[2]) end
    end
  end
  if y[2] > 0 then y[2] = round_up(y[2]) end
  if y[1] < 0 then y[1] = -round_up(-y[1]) end
  if y[1] == y[2] then y[2] = 1.0 end
  x[1], x[2] = x[1] or 0.0, x[2] or 1.0
  if x[1] == x[2] then x[2] = x[1] + 1 end
  return y, x
end

--- Returns the series by unit: an array of arrays.
function plot.by_unit(all)
  local groups, by_unit = {}, {}
  for _, series in ipairs(all) do
    if not by_unit[series.unit] then
      by_unit[series.unit] = {}
      groups[#groups + 1] = by_unit[series.unit]
    end
    table.insert(by_unit[series.unit], series)
  end
  return groups
end

function plot.number(value)
  return ("%.4g"):format(value)
end

-- ---- terminal ----------------------------------------------------------------------------------

-- The bits of a braille character's dots, by column and row.
local DOTS = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } }

-- A raster of columns by rows of braille characters: dots are counted from 0, from the top left.
local function new_raster(columns, rows)
  local raster = { columns = columns, rows = rows }
  for i = 1, columns * rows do raster[i] = 0 end
  return raster
end

local function set_dot(raster, x, y)
  local i = (y // 4) * raster.columns + x // 2 + 1
  raster[i] = raster[i] | DOTS[x % 2 + 1][y % 4 + 1]
end

local function set_line(raster, x0, y0, x1, y1)
  local steps = math.max(math.abs(x1 - x0), math.abs(y1 - y0), 1)
  for i = 0, steps do
    set_dot(raster, math.floor(x0 + (x1 - x0) * i / steps + 0.5),
      math.floor(y0 + (y1 - y0) * i / steps + 0.5))
  end
end

-- Returns where a value lies between 0 and `most` dots.
local function dot_of(value, range, most)
  return math.floor((value - range[1]) / (range[2] - range[1]) * most + 0.5)
end

local function draw_series(raster, series, y_range, x_range)
  local right, bottom = raster.columns * 2 - 1, raster.rows * 4 - 1
  local last_x, last_y
  for _, point in ipairs(series.points) do
    local x, y
    if point[2] == point[2] then
      x, y = dot_of(point[1], x_range, right), bottom - dot_of(point[2], y_range, bottom)
      set_line(raster, last_x or x, last_y or y, x, y)
    end
    last_x, last_y = x, y
  end
end

local function raster_line(raster, row)
  local parts = {}
  for column = 1, raster.columns do
    local bits = raster[(row - 1) * raster.columns + column]
    parts[column] = bits == 0 and " " or utf8.char(0x2800 + bits)
  end
  return table.concat(parts)
end

local function trimmed(line) return (line:gsub(" +$", "")) end

-- Returns the text of an axis with its ends named, of that width.
local function x_axis(x_range, unit, width)
  local suffix = unit ~= "" and " " .. unit or ""
  local left, right = plot.number(x_range[1]) .. suffix, plot.number(x_range[2]) .. suffix
  local gap = width - (utf8.len(left) or #left) - (utf8.len(right) or #right)
  return left .. (" "):rep(math.max(gap, 1)) .. right
end

local LABEL = 10 -- columns left of the axis

local function draw_panel(put, opt, series, y_range, x_range)
  local raster = new_raster(opt.width - LABEL - 2, opt.height)
  draw_series(raster, series, y_range, x_range)
  local name = series.name ~= "" and series.name or opt.title
  if series.unit ~= "" then name = ("%s, %s"):format(name, series.unit) end
  put(trimmed((" "):rep(LABEL + 2) .. name))
  for row = 1, opt.height do
    local label = row == 1 and plot.number(y_range[2])
      or row == opt.height and plot.number(y_range[1]) or ""
    put(trimmed(("%" .. LABEL .. "s %s%s"):format(label, label ~= "" and "┤" or "│",
      raster_line(raster, row))))
  end
  put((" "):rep(LABEL + 1) .. "└" .. ("─"):rep(raster.columns))
  put((" "):rep(LABEL + 2) .. x_axis(x_range, opt.x, raster.columns))
end

local function draw_text(opt)
  local lines = {}
  local function put(line) lines[#lines + 1] = line:gsub("%c", " ") end
  local _, x_range = plot.ranges(opt.series)
  if opt.title ~= "" and (opt.series[2] or opt.series[1].name ~= "") then put(opt.title) end
  for _, group in ipairs(plot.by_unit(opt.series)) do
    local y_range = plot.ranges(group)
    for _, series in ipairs(group) do draw_panel(put, opt, series, y_range, x_range) end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- lunik.plot --------------------------------------------------------------------------------

--- lunik.plot{title=, unit=, x=, series=, width=, height=, format=, file=}
function plot.plot(given)
  local opt = parse(given)
  local format = drawing.format("plot", opt)
  local picture = format == "svg" and require("lunik.plot_svg")(opt) or draw_text(opt)
  return drawing.finish("plot", opt, picture)
end

return plot
