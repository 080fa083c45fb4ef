--- Networks: the script's end of a netdev-lua, and the link of a card.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"

local netdev = {}

local Netdev = {}
Netdev.__index = Netdev
Netdev.__name = "lunik.Netdev"
netdev.Netdev = Netdev

local FRAME_MIN, FRAME_MAX = 14, 65550

local function object_of(m, what, id)
  event.check_open(m)
  if core.is_a(id, "lunik.Object") then return id end
  local object = m:object(options.value(what .. ": id", id, "string"))
  if not object then options.fail("not-found", "%s: there is no object '%s'", what, id) end
  return object
end

--- Returns the script's end of a netdev-lua. The machine keeps it.
function netdev.of(m, id)
  local object = object_of(m, "netdev", id)
  local state = event.state(m)
  state.netdevs = state.netdevs or {}
  if not state.netdevs[object] then
    core.netdev_watch(object)
    for other in pairs(state.netdevs) do
      if not other.alive then state.netdevs[other] = nil end
    end
    state.netdevs[object] = setmetatable({ object = object }, Netdev)
  end
  return state.netdevs[object]
end

--- Sets the function that is called with each frame of the card; nil: frames are dropped.
function Netdev:on_frame(fn)
  if fn ~= nil then options.value("on_frame: function", fn, "function") end
  self.fn = fn
end

--- Queues a frame for the card; false: the queue is full.
function Netdev:send(frame, queue)
  if type(frame) ~= "string" then
    options.fail("invalid", "send: frame: %s is not a string", options.show(frame))
  end
  local queues = self.object.queues
  queue = queue or 1
  if math.type(queue) ~= "integer" or queue < 1 or queue > queues then
    options.fail("invalid", "send: queue: %s is not a queue (want 1 to %d)", options.show(queue),
      queues)
  elseif #frame < FRAME_MIN or #frame > FRAME_MAX then
    options.fail("invalid", "send: frame: %d bytes are not a frame (want %d to %d)", #frame,
      FRAME_MIN, FRAME_MAX)
  end
  return core.netdev_send(self.object, frame, queue - 1)
end

core.hooks.netdev = function(object, frame, queue)
  local self = object.alive and event.state(object.machine).netdevs[object]
  if self and self.fn then self.fn(frame, queue + 1) end
end

--- Plugs the cable of a card in, or out.
function netdev.set_link(m, id, up)
  local object = object_of(m, "set_link", id)
  if not core.type(object).name:match "^virtio%-net" then
    options.fail("unsupported", "set_link: object '%s' is a %s (want a network card)", object.id,
      object.type)
  end
  object.link = options.value("set_link: up", up, "boolean")
end

options.guard(Netdev.__name, Netdev, Netdev)

return netdev
