-- Prints the output of handlers above the prompt's input line.
local event = require "lunik.event"
local lineedit = require "lunik.lineedit"
local waiting_line = require "lunik.command.waiting_line"

local above = {}

local print, write, tell = print, io.write, event.tell
local waiting = false
local rest = "" -- text given to io.write after the last complete line

local function put(how, ...)
  io.stdout:write("\r\27[K")
  io.stdout:flush()
  how(...)
  io.stdout:flush()
  lineedit.redisplay()
end

-- Writes whole lines; keeps an incomplete one until it is completed or the prompt returns.
local function write_lines(...)
  local text = rest .. table.concat { ... }
  local lines, begun = text:match "^(.*\n)(.*)$"
  rest = begun or text
  if lines then
    put(write, lines)
  end
  return io.stdout
end

--- Replaces print, io.write and event.tell by functions that print above the prompt. To be called
-- before scripts copy them.
function above.begin()
  function _G.print(...)
    if waiting then put(print, ...) else print(...) end
  end
  function io.write(...) -- luacheck: ignore 122
    return (waiting and write_lines or write)(...)
  end
  function event.tell(text)
    if waiting then put(tell, text) else tell(text) end
  end
end

--- Calls fn, which waits at the prompt, in protected mode.
function above.call(fn)
  waiting = true
  waiting_line.pause(true)
  local ok, result = pcall(fn)
  waiting = false
  waiting_line.pause(false)
  write(rest)
  rest = ""
  return ok, result
end

return above
