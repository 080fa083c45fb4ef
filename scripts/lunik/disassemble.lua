--- lunik.disassemble(): machine code as text.

local core = require "lunik.core"
local options = require "lunik.options"

local MODES = { [16] = true, [32] = true, [64] = true }

--- lunik.disassemble(bytes, address, mode)
return function(bytes, address, mode)
  if type(bytes) ~= "string" then options.value("disassemble: bytes", bytes, "string") end
  address, mode = address or 0, mode or 64
  if math.type(address) ~= "integer" then
    options.fail("invalid", "disassemble: address: %s is not an integer (want an integer)",
      options.show(address))
  elseif not MODES[mode] then
    options.fail("invalid", "disassemble: mode: %s is not a mode (want 16, 32 or 64)",
      options.show(mode))
  end
  local list, at = {}, 1
  core.disassemble(bytes, 1, address, mode) -- raises an error if there is no disassembler
  while at <= #bytes do
    local here = address + at - 1
    local size, text = core.disassemble(bytes, at, here, mode)
    if not size then size, text = 1, (".byte    0x%02x"):format(bytes:byte(at)) end
    list[#list + 1] = { address = here, bytes = bytes:sub(at, at + size - 1), text = text }
    at = at + size
  end
  return list
end
