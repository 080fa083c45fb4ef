--- Lets observers see what a script prints: by print, io.write and the methods of io.stdout and
-- io.stderr. What C code writes is not seen.

local core = require "lunik.core"
local observe = require "lunik.observe"

local printed = {}

local shared = core.shared
local stdout, stderr = io.stdout, io.stderr
local methods = getmetatable(stdout).__index

local function notify(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  observe.notify("printed", table.concat(parts))
end

-- Returns functions that print as the given ones do, and notify.
local function wrap(own)
  local new = {}
  function new.print(...)
    local parts = table.pack(...)
    own.print(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    observe.notify("printed", table.concat(parts, "\t") .. "\n")
  end
  function new.write(file, ...)
    if file == stdout or file == stderr then notify(...) end
    return own.write(file, ...)
  end
  function new.io_write(...)
    if io.output() == stdout then notify(...) end
    return own.io_write(...)
  end
  return new
end

-- Puts functions in place; only where another one has not been put meanwhile, if `from` is given.
local function place(functions, from)
  if not from or print == from.print then print = functions.print end -- luacheck: ignore 121
  if not from or methods.write == from.write then methods.write = functions.write end
  if not from or io.write == from.io_write then
    io.write = functions.io_write -- luacheck: ignore 122
  end
end

--- Begins to notify observers of kind "printed"; each begin() needs an end_().
function printed.begin()
  shared.printed = shared.printed or { count = 0 }
  local state = shared.printed
  state.count = state.count + 1
  if state.count > 1 then return end
  state.own = { print = print, write = methods.write, io_write = io.write }
  state.new = wrap(state.own)
  place(state.new)
end

function printed.finish()
  local state = shared.printed
  state.count = state.count - 1
  if state.count == 0 then place(state.own, state.new) end
end

return printed
