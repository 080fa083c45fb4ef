--- vmem.lua: a driver of virtio memory in Lua, for machines without a guest (virtio 1.2, section
-- 5.15). It does what the device asks for: blocks from the lowest on are plugged.
local virtio = require "spec.support.virtio"
local wait_for = require "spec.support.wait_for"

local vmem = {}

local Driver = setmetatable({}, virtio.Driver)
Driver.__index = Driver

local PLUG, UNPLUG, UNPLUG_ALL, ACK = 0, 1, 2, 0
local BLOCKS_AT_ONCE = 0x8000

--- Returns the driver of the device in a slot of the root bus, with the BAR of that slot's number.
function vmem.driver(m, slot)
  local self = virtio.driver(m, slot, Driver, 0xe8000000 + slot * 0x10000)
  self:start_device(1, 1) -- it tells nodes apart
  return self
end

function Driver:block_size() return self:own(0, 8) end
function Driver:node() return self:own(8, 2) end
function Driver:address() return self:own(16, 8) end
function Driver:region_size() return self:own(24, 8) end
function Driver:plugged() return self:own(40, 8) end
function Driver:requested() return self:own(48, 8) end

-- Makes a request and returns the device's answer.
local function ask(self, kind, address, blocks)
  local request = self:buffer(0, 0)
  self.m:write(request, ("<I2I2I2I2I8I2I2I2I2"):pack(kind, 0, 0, 0, address, blocks, 0, 0, 0))
  self:describe(0, 0, request, 24, false, 1)
  self:describe(0, 1, self:buffer(0, 1), 10, true)
  self:offer(0, 0)
  self:kick(0)
  wait_for(function() return self:used(0) end)
  return self.m:load(self:buffer(0, 1), 2)
end

-- Plugs or unplugs what is between two offsets.
local function change(self, kind, from, to)
  local block = self:block_size()
  while from < to do
    local blocks = math.min((to - from) // block, BLOCKS_AT_ONCE)
    assert(ask(self, kind, self:address() + from, blocks) == ACK, "virtio-mem refuses")
    from = from + blocks * block
  end
end

--- Plugs or unplugs until there is as much as the device asks for.
function Driver:follow()
  local now, want = self:plugged(), self:requested()
  if now < want then change(self, PLUG, now, want) else change(self, UNPLUG, want, now) end
end

--- Gives all back, whatever the device asks for.
function Driver:unplug_all()
  assert(ask(self, UNPLUG_ALL, 0, 0) == ACK, "virtio-mem refuses")
end

return vmem
