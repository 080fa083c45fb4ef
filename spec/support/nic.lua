--- nic.lua: a driver of a virtio network card in Lua, for machines without a guest: one buffer for
-- each frame, split queues. The registers are those of virtio 1.2, sections 4.1 and 5.1.

local nic = {}

local Driver = {}
Driver.__index = Driver

local BAR, RINGS, DATA, ENTRIES, BUFFER = 0xe8000000, 0x100000, 0x200000, 64, 0x1000
local HEADER = ("\0"):rep(12)

--- Returns the driver of the card in a slot of the root bus; its BARs are mapped.
function nic.driver(m, slot)
  local self = setmetatable({ m = m, slot = slot, areas = {}, queues = {} }, Driver)
  self:config(0x20, BAR)
  self:config(0x24, 0)
  self:config(0x04, 6)
  local at = self:config(0x34) & 0xff
  while at ~= 0 do
    local head = self:config(at)
    if head & 0xff == 9 and head >> 24 < 5 then
      self.areas[head >> 24] = BAR + self:config(at + 8)
      if head >> 24 == 2 then self.multiplier = self:config(at + 16) end
    end
    at = head >> 8 & 0xff
  end
  return self
end

--- Reads 32 bits of configuration space, or writes them.
function Driver:config(offset, value)
  self.m:outl(0xcf8, 0x80000000 | self.slot << 11 | offset)
  if value then self.m:outl(0xcfc, value) else return self.m:inl(0xcfc) end
end

function Driver:common(offset, size, value)
  if not value then return self.m:load(self.areas[1] + offset, size) end
  self.m:store(self.areas[1] + offset, size, value)
end

function Driver:address(offset, value)
  self:common(offset, 4, value & 0xffffffff)
  self:common(offset + 4, 4, value >> 32)
end

local function make_queue(self, index)
  local ring = RINGS + 0x10000 * index
  local q = { index = index, ring = ring, data = DATA + 0x100000 * index, sent = 0, seen = 0 }
  self.m:fill(ring, 0x4000, 0)
  self:common(0x16, 2, index)
  self:common(0x18, 2, ENTRIES)
  self:address(0x20, ring)
  self:address(0x28, ring + 0x1000)
  self:address(0x30, ring + 0x2000)
  self:common(0x1c, 2, 1)
  self.queues[index] = q
  return q
end

local function kick(self, q)
  self.m:store(self.areas[2] + self.multiplier * q.index, 2, q.index)
end

-- Offers the buffer of a slot.
local function offer(self, q, slot, size, flags)
  self.m:write(q.ring + 16 * slot, ("<I8I4I2I2"):pack(q.data + BUFFER * slot, size, flags, 0))
  self.m:store(q.ring + 0x1004 + 2 * (q.sent % ENTRIES), 2, slot)
  q.sent = q.sent + 1
  self.m:store(q.ring + 0x1002, 2, q.sent & 0xffff)
end

--- Negotiates, and gives the card buffers. options: {status = true}.
function Driver:start(options)
  local features = options and options.status and 1 << 16 or 0
  self:common(0x14, 1, 0)
  for _, status in ipairs { 1, 3 } do self:common(0x14, 1, status) end
  self:common(0x08, 4, 0)
  self:common(0x0c, 4, features)
  self:common(0x08, 4, 1)
  self:common(0x0c, 4, 1)
  self:common(0x14, 1, 11)
  local rx = make_queue(self, 0)
  make_queue(self, 1)
  self:common(0x14, 1, 15)
  for slot = 0, ENTRIES - 1 do offer(self, rx, slot, BUFFER, 2) end
  kick(self, rx)
end

--- Sends a frame.
function Driver:send(frame)
  local q = self.queues[1]
  local slot = q.sent % ENTRIES
  self.m:write(q.data + BUFFER * slot, HEADER .. frame)
  offer(self, q, slot, #frame + #HEADER, 0)
  kick(self, q)
end

--- Returns the next frame that has come, or nil.
function Driver:receive()
  local q = self.queues[0]
  if self.m:load(q.ring + 0x2002, 2) == q.seen & 0xffff then return nil end
  local slot, size = ("<I4I4"):unpack(self.m:read(q.ring + 0x2004 + 8 * (q.seen % ENTRIES), 8))
  local frame = self.m:read(q.data + BUFFER * slot, size):sub(#HEADER + 1)
  q.seen = q.seen + 1
  offer(self, q, slot, BUFFER, 2)
  kick(self, q)
  return frame
end

--- Returns the status in the card's configuration.
function Driver:link()
  return self.m:load(self.areas[4] + 6, 2)
end

return nic
