--- The waits that are under way, for a display. Costs nothing without one.

local core = require "lunik.core"
local list = require "lunik.list"

local waiting = {}

-- Seconds after which a wait is shown, and between updates.
local PERIOD = 1

-- Kept when the library is loaded again: display; waits, a list, the oldest first; timer; whether
-- the display shows something.
local shared = core.shared
shared.waiting = shared.waiting or { waits = list.new() }
local state = shared.waiting

local function hide()
  if state.shown then state.display.hide() end
  state.shown = false
end

local tick

local function arm()
  state.timer = core.timer(PERIOD, tick, false, true)
end

function tick()
  state.timer = nil
  local first, now = list.first(state.waits), core.now()
  if not first then return end
  pcall(arm) -- without memory for it the next wait arms it
  if now - first.since < PERIOD * 0.9 then return end
  state.shown = true
  state.display.show(first, state.waits.count, now)
end

--- Sets the display, or removes it (nil). show(wait, count, now) is called each second from a
-- second on: the oldest wait (what, since, seconds: how long at most, or nil), how many there are,
-- and the time in seconds; hide() when that wait is over.
function waiting.display(display)
  hide()
  state.display = display
end

local Note = { __close = function(note)
  local was_first = list.first(state.waits) == note
  list.remove(note)
  if was_first then hide() end
  if state.waits.count > 0 or not state.timer then return end
  state.timer:cancel()
  state.timer = nil
end }

--- Notes a wait for `what` (nil: for nothing that could be named), of at most that many seconds or
-- nil. Returns a value that ends the note when it is closed.
function waiting.note(what, seconds)
  if not state.display or not what then return nil end
  local note = setmetatable({ what = what, since = core.now(), seconds = seconds }, Note)
  if not state.timer then arm() end
  list.add(state.waits, note)
  return note
end

return waiting
