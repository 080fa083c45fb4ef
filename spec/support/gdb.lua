-- A client of m:gdb(): raw packets, and Debian's gdb as a child process.
local lunik = require "lunik"
local local_client = require "spec.support.local_client"
local packet = require "lunik.gdb.packet"
local wait_for = require "spec.support.wait_for"

local gdb = {}

local Client = {}
Client.__index = Client

gdb.wait_for = wait_for

--- Sends bytes as they are.
function Client:raw(bytes)
  self.stream:write(bytes)
end

--- The data of the next packet.
function Client:next()
  local data = wait_for(function()
    local found, rest = self.text:match "%$([^#]*)#%x%x(.*)"
    if found then self.text = rest end
    return found
  end)
  return packet.unescape(data)
end

--- Sends a packet; returns the data of its answer.
function Client:ask(data)
  self:raw(packet.make(data))
  return self:next()
end

function Client:close()
  self.machine:close()
end

--- Connects to the socket at path.
function gdb.dial(path)
  local m, stream = local_client.connect(path)
  local self = setmetatable({ machine = m, stream = stream, text = "" }, Client)
  self.stream:on_data(function(bytes) self.text = self.text .. bytes end)
  self.stream:on_close(function() self.gone = true end)
  return self
end

--- Whether there is a gdb.
function gdb.found()
  local pipe = io.popen("command -v gdb 2>/dev/null")
  local path = pipe:read "l"
  pipe:close()
  return path
end

--- Runs gdb -batch with these commands in the background; returns a function that waits for its
-- end and returns what it has printed.
function gdb.batch(commands, file)
  local script, out, done = os.tmpname(), os.tmpname(), os.tmpname()
  os.remove(done)
  local f <close> = assert(io.open(script, "w"))
  f:write("set pagination off\nset confirm off\nset tcp connect-timeout 5\n", commands)
  f:close()
  assert(os.execute(("(timeout 200 gdb -nx -batch -x %s %s > %s 2>&1; mv %s %s) &"):format(script,
    file or "", out, script, done)))
  return function(seconds)
    local limit = lunik.now() + (seconds or 60)
    repeat
      lunik.sleep(0.02)
      local ended <close> = io.open(done)
      if ended or lunik.now() > limit then break end
    until false
    local printed <close> = assert(io.open(out))
    local text = printed:read "a"
    for _, name in ipairs { script, out, done } do os.remove(name) end
    return text
  end
end

return gdb
