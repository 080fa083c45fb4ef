--- The client's end of a prompt's socket, for `lunik attach` and `lunik top`.

local core = require "lunik.core"
local arguments = require "lunik.command.arguments"
local frames = require "lunik.prompt.frames"

local connection = {}

-- An error that needs no place in a script.
local Refused = { __tostring = function(err) return err.text end }

--- Returns the only word of a command line, a socket's path.
function connection.path(options)
  if #options.words ~= 1 then
    arguments.fail("%s (want the PATH of a prompt's socket)",
      #options.words == 0 and "no path is given" or "'" .. options.words[2] .. "' is too much")
  end
  return (options.words[1]:gsub("^unix:", ""))
end

--- Connects; calls on_frame(kind, text) for what comes. Returns {open, send(kind, text), feed(),
-- close()}.
function connection.new(path, on_frame)
  local ok, socket = pcall(core.local_connect, path)
  if not ok then error(setmetatable({ text = socket.message }, Refused), 0) end
  local self = { open = true }
  local read = frames.reader(on_frame)
  local function take(input)
    if self.open and not (input and read(input)) then self.close() end
  end
  function self.close()
    self.open = false
    socket:close()
    core.stop()
  end
  function self.send(kind, text) socket:write(frames.make(kind, text)) end
  -- Takes what comes within some milliseconds, without the loop; returns whether something came.
  function self.feed(ms)
    local input = self.open and socket:receive(ms)
    if input then take(input) end
    return input ~= nil and input ~= false
  end
  socket:read(take)
  return self
end

return connection
