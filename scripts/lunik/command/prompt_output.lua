-- While the prompt waits, what handlers print goes above its line.
local event = require "lunik.event"
local lineedit = require "lunik.lineedit"

local above = {}

local print, write, tell = print, io.write, event.tell
local waiting = false
local rest = "" -- of what io.write was given: a line that is not complete

local function put(how, ...)
  io.stdout:write("\r\27[K")
  io.stdout:flush()
  how(...)
  io.stdout:flush()
  lineedit.redisplay()
end

-- Comes in whole lines: the last one may have to wait until the prompt waits no longer.
local function write_lines(...)
  local text = rest .. table.concat { ... }
  local lines, begun = text:match "^(.*\n)(.*)$"
  rest = begun or text
  if lines then
    put(write, lines)
  end
  return io.stdout
end

--- From now on print, io.write and what people are told keep clear of the prompt: before anybody
-- takes hold of these functions.
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

--- Calls fn, which waits at the prompt, protected.
function above.call(fn)
  waiting = true
  local ok, result = pcall(fn)
  waiting = false
  write(rest)
  rest = ""
  return ok, result
end

return above
