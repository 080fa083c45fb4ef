--- m:memory_map(): draws a machine's memory map, for the terminal or as SVG.
--
-- Draws each address space from the top down: sections by kind, holes between them, which DIMM is
-- in which slot, ioeventfds and coalesced ranges. Heights are logarithmic: a page and a terabyte
-- fit into one drawing.

local board = require "lunik.board"
local core = require "lunik.core"
local drawing = require "lunik.drawing"
local markup = require "lunik.markup"
local options = require "lunik.options"

local map = {}

-- ---- contents ----------------------------------------------------------------------------------

local function title(section)
  if section.kind == "rom-device" then return section.romd and "romd" or "i/o" end
  if section.kind == "ram" and section.readonly then return "rom" end
  return section.kind == "io" and "i/o" or section.kind
end

-- Returns the plugged DIMMs by the path of their device.
local function slots_by_path(m)
  local found = {}
  for _, device in ipairs(m:memory_devices()) do
    local object = device.data.id and m:object(device.data.id)
    if object and device.data.slot then found[object.path] = device.data end
  end
  return found
end

local function note(s, text)
  s.notes[#s.notes + 1] = text
end

-- Returns {name=, size=, rows={section, ...}} for each address space. A new listener is called for
-- everything that they show.
local function collect(m)
  local spaces, by_name, slots = {}, {}, slots_by_path(m)
  local function space_of(section)
    local name = section.space.name
    if not by_name[name] then
      by_name[name] = { name = name, size = section.space.root.size, rows = {} }
      spaces[#spaces + 1] = by_name[name]
    end
    return by_name[name]
  end
  local function row_at(section)
    for _, row in ipairs(space_of(section).rows) do
      if math.ult(section.address, row.address + row.size) and
        not math.ult(section.address, row.address) then return row end
    end
  end
  m:listen {
    name = "memory_map",
    region_add = function(s)
      local rows, dimm = space_of(s).rows, s.owner and slots[s.owner.path]
      s.title, s.notes = title(s), {}
      if dimm then note(s, ("slot %d: %s"):format(dimm.slot, dimm.id)) end
      rows[#rows + 1] = s
    end,
    eventfd_add = function(s, data)
      local row = row_at(s)
      if row then
        note(row, ("ioeventfd 0x%x%s"):format(s.address, data and (" = 0x%x"):format(data) or ""))
      end
    end,
    coalesced_add = function(s, address, size)
      local row = row_at(s)
      if row then note(row, ("coalesced 0x%x-0x%x"):format(address, address + size - 1)) end
    end,
  }:remove()
  return spaces
end

-- Returns the rows of a space with the holes between them, lowest address first. 2^64 is 0 here.
local function with_holes(space)
  local out, at = {}, 0
  local function hole_until(address)
    if address ~= at then
      out[#out + 1] = { title = "hole", address = at, size = address - at, notes = {} }
    end
  end
  for _, row in ipairs(space.rows) do
    hole_until(row.address)
    out[#out + 1] = row
    at = row.size == core.SIZE_MAX and 0 or row.address + row.size
  end
  hole_until(space.size == core.SIZE_MAX and 0 or space.size)
  return out
end

local function size_text(size)
  if size < 0 then return "up to 2^64" end
  return board.show(size)
end

local function slots_line(m)
  local used, total = 0, 0
  for _, object in ipairs(m:objects()) do
    if object.type == "device-memory" then total = object:get "slots" end
  end
  for _ in pairs(slots_by_path(m)) do used = used + 1 end
  local parts, stats = {}, m.stats
  if total > 0 then parts[1] = ("memory slots: %d of %d in use"):format(used, total) end
  if stats.max_memslots > 0 then
    parts[#parts + 1] = ("KVM memslots: %d of %d"):format(stats.memslots, stats.max_memslots)
  end
  return table.concat(parts, "; ")
end

-- Returns the logarithm of a size to base 2, rounded up: 0 to 64.
local function doublings(size)
  if size < 0 then return 64 end
  local n = 0
  while n < 63 and 1 << n < size do n = n + 1 end
  return n
end

-- ---- terminal ----------------------------------------------------------------------------------

local blocks = {
  ram = "█", rom = "▓", romd = "▓", ["i/o"] = "▒", reserved = "░", hole = " ", container = " ",
}

-- Puts the lines of a row: its description on the first, its address on the last.
local function put_row(put, row)
  local block = (blocks[row.title] or "?"):rep(8)
  local height = row.title == "hole" and 1
    or math.max(1, (doublings(row.size) - 16) // 6, 1 + #row.notes)
  for line = 1, height do
    local text = ""
    if line == 1 then
      text = ("%-8s %10s  %s"):format(row.title, size_text(row.size), row.name or "")
    elseif row.notes[line - 1] then
      text = "  └ " .. row.notes[line - 1]
    end
    local address = line == height and ("%016x"):format(row.address) or ""
    put((("  %16s ▕%s▏ %s"):format(address, block, text):gsub(" +$", "")))
  end
end

local function draw_text(m)
  local lines, slots = {}, slots_line(m)
  local function put(line) lines[#lines + 1] = line end
  for _, space in ipairs(collect(m)) do
    local rows = with_holes(space)
    put(space.name)
    for i = #rows, 1, -1 do put_row(put, rows[i]) end
    put ""
  end
  put "█ ram  ▓ rom, romd  ▒ i/o  ░ reserved"
  if slots ~= "" then put(slots) end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- SVG ---------------------------------------------------------------------------------------

local colours = {
  ram = "#8fc1a9", rom = "#e3c98b", romd = "#e0b06c", ["i/o"] = "#9ab6dc", reserved = "#c9c2d6",
  hole = "#ffffff", container = "#ffffff",
}
-- In pixels. CHARACTER: the width of a wide one.
local ADDRESS, BAR, GAP, TOP, CHARACTER = 130, 170, 30, 76, 7

local function width_of(text)
  return CHARACTER * (utf8.len(text) or #text)
end

local function row_height(row)
  if row.title == "hole" then return 18 end
  return math.max(18 + 13 * #row.notes, 12 + doublings(row.size))
end

local function label(row)
  local size = size_text(row.size)
  return row.title == "hole" and size or ("%s, %s"):format(row.title, size)
end

-- Returns the widths of a space's bar and of the labels next to it.
local function measure(rows)
  local bar, labels = BAR, 0
  for _, row in ipairs(rows) do
    bar = math.max(bar, 16 + width_of(row.name or ""))
    labels = math.max(labels, width_of(label(row)))
    for _, text in ipairs(row.notes) do labels = math.max(labels, width_of(text)) end
  end
  return bar, labels
end

local function draw_row(put, row, x, y, bar)
  local height, dashed = row_height(row), row.title == "hole"
  local right = x + ADDRESS + bar + 6
  put('<rect x="%d" y="%d" width="%d" height="%d" fill="%s" stroke="%s"%s/>', x + ADDRESS, y, bar,
    height, colours[row.title] or "#dddddd", dashed and "#bbbbbb" or "#555555",
    dashed and ' stroke-dasharray="3 3"' or "")
  put('<text x="%d" y="%d" text-anchor="end" class="a">%016x</text>', x + ADDRESS - 6,
    y + height - 3, row.address)
  put('<text x="%d" y="%d" class="n%s">%s</text>', x + ADDRESS + 8, y + 13, dashed and " h" or "",
    markup.text(dashed and "hole" or row.name))
  put('<text x="%d" y="%d" class="k">%s</text>', right, y + 13, markup.text(label(row)))
  for i, text in ipairs(row.notes) do
    put('<text x="%d" y="%d" class="e">%s</text>', right, y + 13 + 13 * i, markup.text(text))
  end
  return y + height
end

-- Draws a space; returns where the next one may begin, and its bottom.
local function draw_space(put, space, x)
  local rows, y = with_holes(space), TOP
  local bar, labels = measure(rows)
  put('<text x="%d" y="%d" class="t">%s</text>', x + ADDRESS, y - 8, markup.text(space.name))
  for r = #rows, 1, -1 do y = draw_row(put, rows[r], x, y, bar) end
  return x + ADDRESS + bar + 6 + labels + GAP, y
end

-- Draws the legend; returns its right edge.
local function draw_legend(put, m)
  local x, slots = 20, slots_line(m)
  for _, kind in ipairs { "ram", "rom", "romd", "i/o", "reserved", "hole" } do
    put('<rect x="%d" y="34" width="14" height="14" fill="%s" stroke="#555555"/>', x, colours[kind])
    put('<text x="%d" y="46" class="n">%s</text>', x + 20, kind)
    x = x + 90
  end
  put('<text x="%d" y="46" class="n">%s</text>', x, markup.text(slots))
  return x + width_of(slots)
end

local function draw_svg(m)
  local body, x, bottom = {}, 20, TOP
  local function put(...) body[#body + 1] = string.format(...) end
  put('<text x="20" y="22" class="t">Memory map of %s</text>', markup.text(m.name))
  local width = draw_legend(put, m)
  for _, space in ipairs(collect(m)) do
    local y
    x, y = draw_space(put, space, x)
    width, bottom = math.max(width, x), math.max(bottom, y)
  end
  local height = bottom + 20
  return ([[<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">
<style>text{font-family:sans-serif;font-size:11px;fill:#222}.t{font-size:15px;font-weight:bold}
.a{font-family:monospace;fill:#555}.k{fill:#555}.h{fill:#999}.e{fill:#a03030}</style>
<rect width="100%%" height="100%%" fill="#fcfcfa"/>
%s
</svg>
]]):format(width, height, width, height, table.concat(body, "\n"))
end

--- Returns what each address space shows, for other drawings: {name=, rows={{address, size, kind,
-- name, notes, doublings}, ...}}, the highest address first, and words for the slots in use.
-- Addresses and sizes are texts; doublings: the logarithm of the size.
function map.describe(m)
  local spaces = collect(m)
  for _, space in ipairs(spaces) do
    local rows, found = {}, with_holes(space)
    for i = #found, 1, -1 do
      local row = found[i]
      rows[#rows + 1] = { ("%016x"):format(row.address), size_text(row.size), row.title,
        row.name or "", row.notes, doublings(row.size) }
    end
    space.rows = rows
  end
  return spaces, slots_line(m)
end

-- ---- the method --------------------------------------------------------------------------------

local draw = { text = draw_text, svg = draw_svg }

--- m:memory_map{format="text"|"svg", file=}
function map.draw(m, opts)
  local _ = m.memory -- raises if the machine is closed
  local opt = options.parse("memory_map", opts, { format = "string", file = "string" })
  local format = drawing.format("memory_map", opt)
  return drawing.finish("memory_map", opt, draw[format](m))
end

return map
