--- Memory that the agent has allocated in its guest.

local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"

local Range = {}
Range.__index = Range
Range.__name = "lunik.AgentMemory"

local range = { Range = Range }

--- Makes the object for a range of the agent.
function range.new(agent, id, size)
  return setmetatable({ agent = agent, id = id, size = size }, Range)
end

local function call(self, command, arguments, opts)
  if not self.id then options.fail("gone", "%s: the memory was given back", command) end
  arguments.memory = self.id
  return self.agent:call(command, arguments, opts)
end

--- Fills the memory with a pattern that a seed makes, and so has the guest find pages for it.
function Range:fill(seed, opts)
  call(self, "fill", { seed = options.value("fill: seed", seed, "integer") }, opts)
end

--- Compares the memory with the pattern of a seed. Returns true; or false and the offset of the
-- first 8 bytes that differ.
function Range:verify(seed, opts)
  local fields = call(self, "verify", { seed = options.value("verify: seed", seed, "integer") },
    opts)
  local differs = protocol.integer(fields, "differs")
  if differs == -1 then return true end
  return false, differs
end

--- Returns the SHA-256 of the memory.
function Range:sha256(opts)
  return protocol.text(call(self, "sha256", {}, opts), "sha256")
end

--- Gives the memory back to the guest; does nothing the second time.
function Range:free()
  if not self.id then return end
  call(self, "unmap", {})
  self.id = nil
end

function Range:__tostring()
  return ("%d bytes of a guest's memory (%s)"):format(self.size, self.id and "held" or "given back")
end

options.guard(Range.__name, Range, Range)

-- At the end of a scope: an agent that can't be asked any more has given it back.
function Range:__close()
  pcall(Range.free, self)
end

return range
