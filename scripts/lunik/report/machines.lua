--- What a report says about a machine: options, memory maps, objects with their properties.

local core = require "lunik.core"
local inspect = require "lunik.inspect"
local memory_map = require "lunik.memory_map"
local options = require "lunik.options"

local machines = {}

local MOST_TEXT, MOST_OBJECTS, MOST_ROWS = 1000, 1000, 1000

local function show(value)
  local ok, text = pcall(inspect, value)
  text = ok and type(text) == "string" and text or tostring(value)
  return #text > MOST_TEXT and text:sub(1, MOST_TEXT) .. " ..." or text
end

local function options_of(given)
  local list = {}
  for _, name in ipairs(options.keys(given)) do
    list[#list + 1] = { tostring(name), show(given[name]) }
  end
  return list
end

local function board_of(given)
  local board = given.board or "pc"
  if type(board) == "table" then return tostring(board.name or "a table") end
  return tostring(board)
end

-- Returns the memory maps, with a limited number of rows, and words for the slots in use.
local function maps_of(m)
  local ok, spaces, slots = pcall(memory_map.describe, m)
  if not ok then return {}, "" end
  for _, space in ipairs(spaces) do
    space.size = nil
    for i = #space.rows, MOST_ROWS + 1, -1 do space.rows[i] = nil end
  end
  return spaces, slots
end

local hexadecimal = { addr = true, address = true, iobase = true, base = true }

local function properties_of(object)
  local list = {}
  for i, property in ipairs(core.type(object).props or {}) do
    local ok, value = pcall(object.get, object, property.name)
    local text = ok and show(value) or "?"
    if ok and math.type(value) == "integer" and hexadecimal[property.name] then
      text = ("0x%x"):format(value)
    elseif ok and property.kind == "size" and math.type(value) == "integer" then
      text = require("lunik.board").show(value)
    elseif ok and type(value) == "string" and value ~= "" then
      text = value:sub(1, MOST_TEXT)
    end
    list[i] = { property.name, text }
  end
  return list
end

-- Returns {{id, type, path, properties, is it a device}, ...}, and how many there are more.
local function objects_of(m)
  local list, all = {}, m:objects()
  for i = 1, math.min(#all, MOST_OBJECTS) do
    local object = all[i]
    list[i] = { object.id, object.type, object.path, properties_of(object), object.is_device }
  end
  return list, math.max(#all - MOST_OBJECTS, 0)
end

--- Makes the entry for a machine that has just been made, at a time (ns).
function machines.new(m, given, time)
  local before, slots = maps_of(m)
  return {
    name = m.name, accel = m.accel, board = board_of(given), made = time, closed = false,
    state = m.state, exit = false, options = options_of(given), objects = {}, objectsLost = 0,
    maps = { before = before, after = {} }, slots = slots,
  }
end

--- Takes another look at a machine that is open: its state, map and objects now. Values that
-- can't be had, e.g. in the middle of a change, stay as they were.
function machines.look(entry, m)
  pcall(function()
    entry.state = m.state
    entry.exit = (m.state == "shutdown" or m.state == "crashed") and m.exit_code
    entry.objects, entry.objectsLost = objects_of(m)
    entry.maps.after, entry.slots = maps_of(m)
  end)
end

return machines
