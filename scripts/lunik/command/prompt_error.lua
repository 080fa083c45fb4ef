-- Formats errors for the prompt: short traceback, spelling hints.
local core = require "lunik.core"
local lunik = require "lunik"

-- ---- tracebacks --------------------------------------------------------------------------------

-- The library's folder, as far as a traceback shows it.
local OURS = debug.getinfo(1, "S").source:match "([^/]+/[^/]+/)command/[^/]+$"

local function is_ours(frame)
  local _, last = frame:find(OURS, 1, true)
  return last and frame:find("^[%w_/]+%.lua:", last + 1) or frame:find "^%s*%(%.%.%.tail calls"
end

-- Removes the library's frames; removes the traceback if only the typed line is left.
local function shorten(text)
  local message, traceback = text:match "^(.*)\nstack traceback:\n(.*)$"
  local frames, telling = {}, false
  for frame in (traceback or ""):gmatch "[^\n]+" do
    local chunk, count = frame:gsub(" in %l+ 'fn'$", " in main chunk")
    if not is_ours(frame) then
      table.insert(frames, chunk)
      telling = telling or count == 0 and not frame:find "^%s*%[C%]"
    end
  end
  return telling and message .. "\nstack traceback:\n" .. table.concat(frames, "\n")
    or message or text
end

-- ---- wrong names -------------------------------------------------------------------------------

local known = {}

function known.global()
  return _G
end

function known.method()
  local names = {}
  for _, class in pairs(core.classes) do
    for name in pairs(class.methods) do
      names[name] = true
    end
  end
  return names
end

function known.field()
  return lunik
end

local function hint(message)
  local kind, name = message:match "a nil value %((%l+) '([%w_]+)'%)"
  local names = {}
  for candidate in pairs(known[kind] and known[kind]() or {}) do
    if type(candidate) == "string" then
      table.insert(names, candidate)
    end
  end
  table.sort(names)
  local near = name and core.suggest(name, names)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

--- Returns the text to show for an error; text: its message, maybe with a traceback.
return function(text)
  local first, rest = text:match "^([^\n]*)(.*)$"
  return shorten(first .. hint(first) .. rest)
end
