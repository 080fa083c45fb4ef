--- Guest memory as a gdb client reads and writes it: by the page tables of a vCPU, or physical.

local translate = require "lunik.translate"

local memory = {}

local PAGE = 4096
local PAGING = { "cr0", "cr3", "cr4", "efer" }

--- Returns size bytes at an address; nil: no memory is there. cpu nil: the address is physical.
function memory.read(m, cpu, address, size)
  local ok, bytes = pcall(function()
    if not cpu then return m:read(address, size) end
    return translate.read(m, cpu:regs(PAGING), address, size)
  end)
  return ok and bytes or nil
end

local function write(m, cpu, address, bytes)
  local regs = cpu and cpu:regs(PAGING)
  local at = 1
  while at <= #bytes do
    local count = math.min(#bytes - at + 1, PAGE - (address & PAGE - 1))
    local physical = regs and translate.address(m, regs, address) or not regs and address
    if not physical then return false end
    m:write(physical, bytes:sub(at, at + count - 1))
    address, at = address + count, at + count
  end
  return true
end

--- Writes bytes at an address; returns whether memory is there.
function memory.write(m, cpu, address, bytes)
  local ok, done = pcall(write, m, cpu, address, bytes)
  return ok and done
end

return memory
