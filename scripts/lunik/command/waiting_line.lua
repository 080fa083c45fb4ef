--- Shows on a terminal what is waited for and since when, in one line that is cleared before other
-- output.

local core = require "lunik.core"
local event = require "lunik.event"
local host = require "lunik.host"
local one_line = require "lunik.one_line"
local waiting = require "lunik.waiting"

local line = {}

local stderr, write = io.stderr, io.stderr.write
local shown = false
local complete = true -- whether the cursor is at the start of a line
local paused = false

--- Removes the line, if it is shown.
function line.clear()
  if not shown then return end
  shown = false
  write(stderr, "\r\27[K")
end

--- Returns the line for a wait among `count` of them, shorter than `columns`.
function line.text(wait, count, now, columns)
  local text = ("waiting for %s, %.0f s"):format(wait.what, now - wait.since)
  if wait.seconds then
    text = ("%s of %s s"):format(text, (("%.1f"):format(wait.seconds):gsub("%.0$", "")))
  end
  if count > 1 then text = ("%s, and %d more"):format(text, count - 1) end
  return one_line(core.text(text), columns)
end

-- Whether a guest has the terminal: what it prints does not pass here.
local function is_guests()
  for _, machine in ipairs(require("lunik.machine").list()) do
    for _, object in ipairs(machine:objects()) do
      if object.type == "chardev-stdio" then return true end
    end
  end
  return false
end

local function show(wait, count, now)
  if paused or not complete or is_guests() then return line.clear() end
  io.stdout:flush()
  write(stderr, "\r", line.text(wait, count, now, host.columns(2)), "\27[K")
  shown = true
end

--- While it is paused the line is not shown: the prompt reads.
function line.pause(on)
  paused = on
  if on then line.clear() end
end

-- Notes what is written to the terminal, before it is.
local function before(...)
  line.clear()
  for i = select("#", ...), 1, -1 do
    local text = tostring((select(i, ...)))
    if text ~= "" then
      complete = text:sub(-1) == "\n"
      return
    end
  end
end

-- Returns fn, with the line cleared before.
local function cleared(fn)
  return function(...)
    before "\n"
    return fn(...)
  end
end

--- Shows waits from now on. To be called before others replace the functions that print.
function line.start()
  local index = getmetatable(stderr).__index
  local terminals = { [stderr] = true, [io.stdout] = host.isatty(1) or nil }
  function index.write(file, ...)
    if terminals[file] then before(...) end
    return write(file, ...)
  end
  io.write = function(...) return io.output():write(...) end -- luacheck: ignore 122
  print, warn = cleared(print), cleared(warn) -- luacheck: ignore 121
  event.tell = cleared(event.tell)
  waiting.display { show = show, hide = line.clear }
end

return line
