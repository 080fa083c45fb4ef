--- Networks of a guest: interfaces, routes, sockets, echo requests.

local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"
local socket = require "lunik.agent.socket"

-- The mask for a number of bits: "255.255.255.0".
local function mask_of(bits)
  local mask = 0xffffffff << (32 - bits) & 0xffffffff
  return ("%d.%d.%d.%d"):format(mask >> 24, mask >> 16 & 255, mask >> 8 & 255, mask & 255)
end

-- Splits "10.0.2.15/24" into the address and the mask.
local function split(text)
  local address, bits = text:match "^([%d.]+)/(%d+)$"
  bits = math.tointeger(tonumber(bits))
  if not bits or bits > 32 then
    options.fail("invalid", "network: address: '%s' is not an address with a length (want one such "
      .. "as 10.0.2.15/24)", text)
  end
  return address, mask_of(bits)
end

local function change(agent, name, want)
  want = options.parse("network", want, { address = "string", up = "boolean", mtu = "count",
    gateway = "string" })
  local address, mask
  if want.address then address, mask = split(want.address) end
  agent:call("set_interface", { name = name, address = address, mask = mask, up = want.up,
    mtu = want.mtu })
  if want.gateway then agent:call("route", { gateway = want.gateway, name = name }) end
end

local function describe(agent, name)
  local fields = agent:call("interface", { name = name })
  return {
    up = fields.up == "1", running = fields.running == "1", address = fields.address,
    mask = fields.mask, mac = fields.mac, mtu = protocol.maybe_integer(fields, "mtu"),
    index = protocol.maybe_integer(fields, "index"),
  }
end

return function(Agent)
  --- Sets up an interface, if `want` is given; returns what it is.
  function Agent:network(name, want)
    options.value("network: name", name, "string")
    if want then change(self, name, want) end
    return describe(self, name)
  end

  --- Returns the names of the interfaces, sorted.
  function Agent:networks()
    local names = {}
    for i, name in ipairs(self:list "/sys/class/net") do names[i] = name:gsub("/$", "") end
    return names
  end

  --- Adds a route to "10.2.0.0/16" through a gateway or an interface, or removes it.
  function Agent:route(destination, how)
    options.value("route: destination", destination, "string")
    how = options.parse("route", how, { gateway = "string", name = "string", remove = "boolean" })
    how.destination, how.mask = split(destination)
    self:call("route", how)
  end

  --- Connects to an address and port by TCP.
  function Agent:tcp(address, port, opts)
    local name = ("%s:%s"):format(address, port)
    return socket.new(self, socket.timed(self, "tcp", {
      address = options.value("tcp: address", address, "string"),
      port = options.value("tcp: port", port, "count"),
    }, opts, ("connection to %s"):format(name)), name)
  end

  --- Listens on a TCP port; 0: one that is free.
  function Agent:listen(port)
    port = options.value("listen: port", port or 0, "count")
    local fields = self:call("listen", { port = port })
    return socket.new(self, fields, "port " .. protocol.integer(fields, "port"))
  end

  --- Makes a UDP socket on a port; 0: one that is free.
  function Agent:udp(port)
    port = options.value("udp: port", port or 0, "count")
    local fields = self:call("udp", { port = port })
    return socket.new(self, fields, "port " .. protocol.integer(fields, "port"))
  end

  --- Sends echo requests, each after the answer to the one before; returns {sent=, received=}.
  function Agent:ping(address, opts)
    opts = options.parse("ping", opts, { count = "count", timeout = "seconds" })
    local fields = socket.timed(self, "ping", {
      address = options.value("ping: address", address, "string"), count = opts.count,
    }, { timeout = opts.timeout }, ("answer of %s"):format(address))
    return { sent = protocol.integer(fields, "sent"),
      received = protocol.integer(fields, "received") }
  end
end
