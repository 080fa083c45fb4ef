--- nic.lua: a driver of a virtio network card in Lua, for machines without a guest (virtio 1.2,
-- section 5.1).
local virtio = require "spec.support.virtio"

local nic = {}

local Driver = setmetatable({}, virtio.Driver)
Driver.__index = Driver

local ENTRIES, BUFFER = virtio.ENTRIES, virtio.BUFFER
local HEADER = ("\0"):rep(12)

--- Returns the driver of the card in a slot of the root bus; its BARs are mapped.
function nic.driver(m, slot)
  return virtio.driver(m, slot, Driver)
end

-- Offers the buffer of an entry.
local function offer(self, index, entry, size, writable)
  self:describe(index, entry, self:buffer(index, entry), size, writable)
  self:offer(index, entry)
end

--- Negotiates, and gives the card buffers. options: {status = true}.
function Driver:start(options)
  self:start_device(options and options.status and 1 << 16 or 0, 2)
  for entry = 0, ENTRIES - 1 do offer(self, 0, entry, BUFFER, true) end
  self:kick(0)
end

--- Sends a frame.
function Driver:send(frame)
  local entry = self.queues[1].sent % ENTRIES
  self.m:write(self:buffer(1, entry), HEADER .. frame)
  offer(self, 1, entry, #frame + #HEADER, false)
  self:kick(1)
end

--- Returns the next frame that has come, or nil.
function Driver:receive()
  local entry, size = self:used(0)
  if not entry then return nil end
  local frame = self.m:read(self:buffer(0, entry), size):sub(#HEADER + 1)
  offer(self, 0, entry, BUFFER, true)
  self:kick(0)
  return frame
end

--- Returns the status in the card's configuration.
function Driver:link()
  return self:own(6, 2)
end

return nic
