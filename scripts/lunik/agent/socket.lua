--- A TCP or UDP socket of a guest.

local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"

local Socket = {}
Socket.__index = Socket
Socket.__name = "lunik.AgentSocket"

local TIMEOUT = 10 -- seconds for what the other side has to do

local socket = { Socket = Socket }

--- Makes the object for a handle of the agent. name: words for messages, such as "port 80";
-- fields: of the answer, which may have address and port.
function socket.new(agent, fields, name)
  return setmetatable({
    agent = agent, handle = protocol.integer(fields, "handle"), name = name,
    address = fields.address, port = protocol.maybe_integer(fields, "port"),
  }, Socket)
end

--- Calls a command that waits for the network, for at most opts.timeout seconds.
function socket.timed(agent, command, arguments, opts, what)
  opts = options.parse(command, opts, { timeout = "seconds" })
  local seconds = opts.timeout or TIMEOUT
  arguments.timeout = math.ceil(seconds * 1000)
  return agent.channel:call(command, arguments,
    { timeout = agent.timeout, takes = seconds, what = what })
end

local function timed(self, command, arguments, opts, what)
  if not self.handle then options.fail("gone", "%s: the socket is closed", command) end
  arguments.handle = self.handle
  return socket.timed(self.agent, command, arguments, opts, what)
end

--- Waits for a connection to a listening socket; returns its socket.
function Socket:accept(opts)
  local what = ("connection to %s"):format(self.name)
  local fields = timed(self, "accept", {}, opts, what)
  return socket.new(self.agent, fields, ("%s:%s"):format(fields.address, fields.port))
end

-- Splits options into an address to send to and those of the wait.
local function destination(opts)
  opts = options.parse("send", opts, { timeout = "seconds", address = "string", port = "count" })
  return opts.address, opts.port, { timeout = opts.timeout }
end

--- Sends data, all of it. For UDP: address and port, one datagram of at most 8192 bytes.
function Socket:send(data, opts)
  if type(data) ~= "string" then
    options.fail("invalid", "send: data: %s is not a string (want a string)", options.show(data))
  end
  local address, port, rest = destination(opts)
  if address and #data > protocol.DATA then
    options.fail("invalid", "send: data: %d bytes are more than a datagram (want at most %d)",
      #data, protocol.DATA)
  end
  local from = 1
  repeat
    local part = data:sub(from, from + protocol.DATA - 1)
    local fields = timed(self, "send", { data = part, address = address, port = port }, rest,
      ("room to send to %s"):format(self.name))
    from = from + math.max(protocol.integer(fields, "size"), #part > 0 and 1 or 0)
  until from > #data
end

--- Returns what has come, at most so many bytes (default and most 8192), and its sender's address
-- and port for UDP; "" when the other side has closed.
function Socket:receive(most, opts)
  most = most and options.value("receive: size", most, "size") or protocol.DATA
  local fields = timed(self, "receive", { size = math.min(most, protocol.DATA) }, opts,
    ("data from %s"):format(self.name))
  return protocol.text(fields, "data"), fields.address, protocol.maybe_integer(fields, "port")
end

--- Says that nothing more will be sent.
function Socket:shutdown()
  self.agent:call("shutdown", { handle = self.handle })
end

--- Closes the socket; does nothing the second time.
function Socket:close()
  if not self.handle then return end
  self.agent:call("close", { handle = self.handle })
  self.handle = nil
end

function Socket:__tostring()
  return ("socket of a guest, %s (%s)"):format(self.name, self.handle and "open" or "closed")
end

options.guard(Socket.__name, Socket, Socket)

-- At the end of a scope: an agent that can't be asked any more has closed it.
function Socket:__close()
  pcall(Socket.close, self)
end

return socket
