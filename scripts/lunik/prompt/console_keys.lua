--- console:attach(): gives the terminal of a prompt to a guest's console until a key is typed.

local console = require "lunik.console"
local event = require "lunik.event"
local options = require "lunik.options"
local terminal = require "lunik.prompt.terminal"

local console_keys = {}

local LEAVE, ESCAPE = "\29", "\1" -- Ctrl-], Ctrl-a
local SHOWN = 2000 -- bytes of earlier output

local HELP = "\r\n[Ctrl-] or Ctrl-a c: back; Ctrl-a b: break; Ctrl-a Ctrl-a: Ctrl-a]\r\n"

-- What may follow Ctrl-a. Each returns what the guest gets; true: leave.
local after_escape = {
  c = function() return true end,
  b = function(self)
    self:send_break()
    return ""
  end,
  h = function(_, t)
    t.write(HELP)
    return ""
  end,
  [ESCAPE] = function() return ESCAPE end,
}

-- Types text; beeps where the guest does not read it.
local function type_text(self, t, text)
  if text ~= "" and not pcall(self.write, self, text) then t.write "\a" end
end

-- Returns the function that takes what is typed, and returns true when that is the end.
local function taker(self, t)
  local escaped = false
  return function(bytes)
    if not bytes or self.object.machine.state == "closed" then return true end
    local out = {}
    for c in bytes:gmatch "." do
      local text = c
      if escaped then
        text = after_escape[c] and after_escape[c](self, t) or ESCAPE .. c
        escaped = false
      elseif c == ESCAPE then
        text, escaped = "", true
      elseif c == LEAVE then
        text = true
      end
      if text == true then
        type_text(self, t, table.concat(out))
        return true
      end
      out[#out + 1] = text
    end
    type_text(self, t, table.concat(out))
  end
end

--- Returns when a key or the end of the machine ends it.
function console_keys.attach(self)
  local t = terminal.current()
  if not t or not t.interactive then
    options.fail("unsupported", "attach: there is no terminal (want a prompt that is on one)")
  end
  local m = self.object.machine
  event.check_open(m)
  t.write(("[console of '%s'; Ctrl-] comes back]\n%s"):format(m.name, self:text():sub(-SHOWN)))
  local tap = console.tap(self, t.write, true)
  local ends = event.subscribe(event.state(m).ends, t.stop_keys)
  local ok, err = pcall(t.keys, taker(self, t))
  ends:off()
  console.untap(self, tap)
  t.write "\r\n"
  if not ok then error(err, 0) end
end

return console_keys
