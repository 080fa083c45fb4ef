--- One line on a terminal that shows what runs now, and since when.

local one_line = require "lunik.one_line"
local uv = require "luv"

local progress = {}

local function describe(run, now)
  local current, waiting = run.current, run.waiting
  local text = ("%s %.0f s"):format(run.job.name, now - run.start)
  if current then text = ("%s: %s %.0f s"):format(text, current.name, now - current.since) end
  if waiting then
    text = ("%s, waiting for %s %.0f s"):format(text, waiting.what, now - waiting.since)
  end
  return text
end

--- Returns the line for runs under way; shorter than width.
function progress.line(runs, now, ended, all, width)
  local parts = {}
  for i, run in ipairs(runs) do parts[i] = describe(run, now) end
  local text = ("[%d/%d] %s"):format(ended, all, table.concat(parts, " | "))
  return one_line(text, width)
end

--- Returns {tick, clear} to show the progress of `all` jobs on standard error, or nil if that is no
-- terminal.
function progress.new(all)
  if uv.guess_handle(2) ~= "tty" then return nil end
  local shown = false
  local function width()
    local tty = uv.new_tty(2, false)
    local columns = tty and tty:get_winsize()
    if tty then tty:close() end
    return columns and columns > 0 and columns or 80
  end
  local self = {}
  function self.clear()
    if shown then io.stderr:write "\r\27[K" end
    shown = false
  end
  function self.tick(runs, now, ended)
    io.stdout:flush()
    io.stderr:write("\r", progress.line(runs, now, ended, all, width()), "\27[K")
    shown = true
  end
  return self
end

return progress
