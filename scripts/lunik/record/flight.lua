--- A flight: a plug, an unplug, a reset or a boot, and the steps that it took.

local options = require "lunik.options"

local flight = {}

local Flight = {}
Flight.__name = "lunik.Flight"
flight.Flight = Flight

local fields = {}

--- "plug of dimm1 (pc-dimm)"
function fields.title(self)
  if not self.device and not self.driver then return self.kind end
  return ("%s of %s%s"):format(self.kind, self.device or "a device",
    self.driver and (" (%s)"):format(self.driver) or "")
end

--- Nanoseconds from start to stop; nil while it is under way.
function fields.duration(self)
  return self.stop and self.stop - self.start
end

function Flight.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Flight[key]
end

local function format(name)
  return require("lunik.record." .. name)
end

function Flight.__tostring(self) return format("tree").draw(self) end
function Flight.timeline(self, opts) return format("timeline").draw({ self }, opts) end
function Flight.svg(self, opts) return format("svg").draw({ self }, opts) end
function Flight.json(self) return format("json").lines { self } end

--- Compares with another flight: what differs, and what took longer.
function Flight.diff(self, other)
  if type(other) ~= "table" or getmetatable(other) ~= Flight then
    options.fail("invalid", "diff: %s is not a flight (want a flight)", options.show(other))
  end
  return format("diff").compare(self, other)
end

options.guard(Flight.__name, Flight, Flight)

--- Returns a function that makes flights of a machine.
function flight.maker(machine)
  return function(t)
    t.machine = machine
    return setmetatable(t, Flight)
  end
end

return flight
