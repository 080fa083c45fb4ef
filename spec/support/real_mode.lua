-- For specs: machines on KVM that run a few bytes of real-mode code, and pieces of such code.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local real = { CODE = 0x1000, HANDLER = 0x1200 }

--- Bytes from hexadecimal digits.
function real.bytes(hex)
  return (hex:gsub("%s", ""):gsub("..", function(two) return string.char(tonumber(two, 16)) end))
end

local function le32(value) return string.pack("<I4", value & 0xffffffff) end

--- mov eax, value; mov [address], eax
function real.store(address, value)
  return "\x66\xb8" .. le32(value) .. "\x67\x66\xa3" .. le32(address)
end

--- mov ecx, msr; mov eax, value; xor edx, edx; wrmsr
function real.wrmsr(msr, value)
  return "\x66\xb9" .. le32(msr) .. "\x66\xb8" .. le32(value) .. "\x66\x31\xd2\x0f\x30"
end

--- Sends interrupt vector to HANDLER; stack below 0x7000.
function real.vector(vector)
  return real.bytes "31 c0 8e d0 bc 00 70 c7 06" .. string.pack("<I2", vector * 4)
    .. string.pack("<I2", real.HANDLER) .. "\xc7\x06"
    .. string.pack("<I2", vector * 4 + 2) .. "\0\0"
end

--- A pc whose first vCPU runs code after each reset, with flat data segments; handler is placed at
--- HANDLER. Options replace defaults.
function real.machine(code, handler, options)
  local m = machines.new({ board = "pc", memory = "16M", serial = "none" }, options)
  m:on_reset(function()
    m:fill(0, real.CODE, 0)
    m:write(real.CODE, code)
    m:write(real.HANDLER, handler or "")
    local cpu = m:cpu(0)
    for name, value in pairs {
      cs = 0, ["cs.base"] = 0, rip = real.CODE, ["ds.base"] = 0, ["ds.g"] = 1,
      ["ds.limit"] = 0xffffffff,
    } do cpu:set_reg(name, value) end
  end)
  return m
end

--- Waits until the guest has written to address something else than value; returns that.
function real.changed(m, address, size, value)
  local deadline = lunik.now() + 20
  repeat
    local got = m:load(address, size)
    if got ~= value then return got end
    lunik.sleep(0.002)
  until lunik.now() > deadline
  error(("0x%x still holds 0x%x"):format(address, value), 2)
end

return real
