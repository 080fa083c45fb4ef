--- x/i and xp/i: machine code as text, as the vCPU would run it.

local disassemble = require "lunik.disassemble"

local instructions = {}

local LONGEST = 15   -- bytes of an instruction
local PER_LINE = 8   -- bytes in front of the text

-- Returns the bits of the code segment. Without a vCPU there is only what one begins with.
local function mode(monitor)
  local ok, cpu = pcall(monitor.vcpu, monitor)
  if not ok then return 16 end
  if cpu:reg "efer" >> 10 & 1 == 1 and cpu:reg "cs.l" == 1 then return 64 end
  return cpu:reg "cs.db" == 1 and 32 or 16
end

-- Returns as many of an instruction's bytes as can be read, nil if there are none.
local function fetch(read, address)
  for size = LONGEST, 1, -1 do
    local ok, bytes = pcall(read, address, size)
    if ok then return bytes end
  end
end

local function print_bytes(monitor, instruction)
  for from = 1, #instruction.bytes, PER_LINE do
    local hex = instruction.bytes:sub(from, from + PER_LINE - 1):gsub(".", function(byte)
      return (" %02x"):format(byte:byte())
    end)
    local line = ("0x%08x: %-24s"):format(instruction.address + from - 1, hex)
    monitor:print("%s", from == 1 and line .. "  " .. instruction.text
      or line:match "^(.-)%s*$")
  end
end

--- Prints count instructions from an address on; read(address, size) returns bytes, or raises an
-- error where there is no memory.
function instructions.show(monitor, address, count, read)
  local bits = mode(monitor)
  for _ = 1, count do
    local bytes = fetch(read, address)
    if not bytes then
      monitor:print("0x%08x: unable to read memory", address)
      return
    end
    local first = disassemble(bytes, address, bits)[1]
    print_bytes(monitor, first)
    address = address + #first.bytes
  end
end

return instructions
