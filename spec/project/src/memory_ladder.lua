-- Gives a machine memory in steps, one DIMM each, and takes it back.
local lunik = require "lunik"

local Ladder = {}
Ladder.__index = Ladder

-- A ladder for a machine: options.step is the size of a DIMM (default "128M").
local function new(machine, options)
  local step = lunik.size(options and options.step or "128M")
  return setmetatable({ machine = machine, step = step, count = 0 }, Ladder)
end

function Ladder:up()
  local id = "step" .. self.count + 1
  self.machine:object_add("memory-backend-ram", { id = id .. "-mem", size = self.step })
  self.machine:device_add("pc-dimm", { id = id, memdev = id .. "-mem" })
  local answer = self.machine:wait("acpi-ost", { device = id, timeout = 60 })
  if answer.status ~= 0 then error(("the guest refuses %s"):format(id)) end
  self.count = self.count + 1
end

function Ladder:down()
  local id = "step" .. self.count
  self.machine:device_del(id):wait { timeout = 60 }
  self.machine:object_del(id .. "-mem")
  self.count = self.count - 1
end

-- Climbs until the machine has that much more memory than it was started with.
function Ladder:to(size)
  local target = lunik.size(size) // self.step
  while self.count < target do self:up() end
  while self.count > target do self:down() end
end

return { new = new }
