--- virtio.lua: drives a virtio device on PCI in Lua, for machines without a guest: one buffer for
-- each entry of a split queue. The registers are those of virtio 1.2, section 4.1.

local virtio = {}

local Driver = {}
Driver.__index = Driver
virtio.Driver = Driver

local BAR, RINGS, DATA = 0xe8000000, 0x100000, 0x200000

virtio.ENTRIES, virtio.BUFFER = 64, 0x1000

--- Returns the driver of the device in a slot of the root bus, and maps its BAR there; class: the
-- driver's class (Driver).
function virtio.driver(m, slot, class, bar)
  local self = setmetatable({ m = m, slot = slot, areas = {}, queues = {} }, class or Driver)
  bar = bar or BAR
  self:config(0x20, bar)
  self:config(0x24, 0)
  self:config(0x04, 6)
  local at = self:config(0x34) & 0xff
  while at ~= 0 do
    local head = self:config(at)
    if head & 0xff == 9 and head >> 24 < 5 then
      self.areas[head >> 24] = bar + self:config(at + 8)
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

--- Reads the device's own configuration.
function Driver:own(offset, size)
  return self.m:load(self.areas[4] + offset, size)
end

local function set_address(self, offset, value)
  self:common(offset, 4, value & 0xffffffff)
  self:common(offset + 4, 4, value >> 32)
end

local function make_queue(self, index)
  local ring = RINGS + 0x10000 * index
  local q = { index = index, ring = ring, data = DATA + 0x100000 * index, sent = 0, seen = 0 }
  self.m:fill(ring, 0x4000, 0)
  self:common(0x16, 2, index)
  self:common(0x18, 2, virtio.ENTRIES)
  set_address(self, 0x20, ring)
  set_address(self, 0x28, ring + 0x1000)
  set_address(self, 0x30, ring + 0x2000)
  self:common(0x1c, 2, 1)
  self.queues[index] = q
end

--- Negotiates features, bits of the lower 32, and makes so many queues.
function Driver:start_device(features, queues)
  self:common(0x14, 1, 0)
  for _, status in ipairs { 1, 3 } do self:common(0x14, 1, status) end
  self:common(0x08, 4, 0)
  self:common(0x0c, 4, features)
  self:common(0x08, 4, 1)
  self:common(0x0c, 4, 1)
  self:common(0x14, 1, 11)
  for index = 0, queues - 1 do make_queue(self, index) end
  self:common(0x14, 1, 15)
end

--- Where the buffer of an entry is.
function Driver:buffer(index, entry)
  return self.queues[index].data + virtio.BUFFER * entry
end

--- Describes part of memory in an entry of the table; next: the entry after it in a chain, or nil.
function Driver:describe(index, entry, address, size, writable, next)
  local flags = (writable and 2 or 0) | (next and 1 or 0)
  self.m:write(self.queues[index].ring + 16 * entry,
    ("<I8I4I2I2"):pack(address, size, flags, next or 0))
end

--- Offers the chain that begins with an entry.
function Driver:offer(index, entry)
  local q = self.queues[index]
  self.m:store(q.ring + 0x1004 + 2 * (q.sent % virtio.ENTRIES), 2, entry)
  q.sent = q.sent + 1
  self.m:store(q.ring + 0x1002, 2, q.sent & 0xffff)
end

function Driver:kick(index)
  self.m:store(self.areas[2] + self.multiplier * index, 2, index)
end

--- Returns the entry that the device has used next and how much it has written, or nil.
function Driver:used(index)
  local q = self.queues[index]
  if self.m:load(q.ring + 0x2002, 2) == q.seen & 0xffff then return nil end
  local at = q.ring + 0x2004 + 8 * (q.seen % virtio.ENTRIES)
  q.seen = q.seen + 1
  return ("<I4I4"):unpack(self.m:read(at, 8))
end

return virtio
