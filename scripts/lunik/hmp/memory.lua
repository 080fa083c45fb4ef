--- Commands that show and change memory and ports: x, xp, p, i, o, sum, gva2gpa, gpa2hva, memsave,
-- pmemsave.

local instructions = require "lunik.hmp.instructions"
local options = require "lunik.options"
local translate = require "lunik.translate"

-- ---- values as text ----------------------------------------------------------------------------

local DIGITS = { [1] = 2, [2] = 4, [4] = 8, [8] = 16 }
local OCTAL = { [1] = 3, [2] = 6, [4] = 11, [8] = 22 }
local DECIMAL = { [1] = 3, [2] = 5, [4] = 10, [8] = 20 }

local SHORT = { [8] = "\\b", [9] = "\\t", [10] = "\\n", [13] = "\\r", [39] = "\\'", [92] = "\\\\" }

local function character(value)
  local byte = value & 0xff
  if SHORT[byte] then return "'" .. SHORT[byte] .. "'" end
  return (byte >= 32 and byte < 127 and "'%c'" or "'\\x%02x'"):format(byte)
end

local function signed(value, size)
  local shift = 64 - 8 * size
  return shift == 0 and value or (value << shift) // (1 << shift)
end

local show = {}

function show.x(value, size) return ("0x%0" .. DIGITS[size] .. "x"):format(value) end
function show.o(value, size) return ("0%0" .. OCTAL[size] .. "o"):format(value) end
function show.u(value, size)
  local low = value % 10
  local text = value >= 0 and ("%d"):format(value)
    or ("%d%d"):format(((value >> 1) // 5), (low + 6) % 10)
  return (" "):rep(DECIMAL[size] - #text) .. text
end
function show.d(value, size)
  return ("%" .. DECIMAL[size] + 1 .. "d"):format(signed(value, size))
end
function show.c(value) return character(value) end

local UNSIGNED = { "<I1", "<I2", [4] = "<I4", [8] = "<i8" }

-- ---- memory ------------------------------------------------------------------------------------

-- Returns the guest physical address of a linear address, or nil.
local function physical(self, address)
  return translate.address(self.machine, self:vcpu():regs(), address)
end

-- Returns size bytes at an address; linear: through the page tables of the vCPU.
local function read(self, address, size, linear)
  if not linear then return self.machine:read(address, size) end
  local bytes, missing = translate.read(self.machine, self:vcpu():regs(), address, size)
  return bytes or options.fail("invalid", "Cannot access memory at 0x%x: it is not mapped", missing)
end

local PER_LINE = { o = { [1] = 8, [2] = 8, [4] = 4, [8] = 2 } }
PER_LINE.x, PER_LINE.d, PER_LINE.u = PER_LINE.o, PER_LINE.o, PER_LINE.o
PER_LINE.c = { [1] = 8 }

local function dump(self, args, linear)
  local format = args:format(self.format or { count = 1, form = "x", size = 4 })
  local address = args:need_number "addr"
  args:finish()
  self.format = { count = 1, form = format.form, size = format.size }
  if linear then self:vcpu() end -- raises an error if there is none
  if format.form == "i" then
    return instructions.show(self, address, format.count, function(at, size)
      return read(self, at, size, linear)
    end)
  end
  local bytes = read(self, address, format.count * format.size, linear)
  local per_line = PER_LINE[format.form][format.size] or 8
  for i = 0, format.count - 1, per_line do
    local line = { ("%016x:"):format(address + i * format.size) }
    for k = i, math.min(i + per_line, format.count) - 1 do
      local value = string.unpack(UNSIGNED[format.size], bytes, k * format.size + 1)
      line[#line + 1] = " " .. show[format.form](value, format.size)
    end
    self:print("%s", table.concat(line))
  end
end

local function print_value(self, args)
  local format = args:format { count = 1, form = "d", size = 8 }
  local value = args:need_number "value"
  args:finish()
  local shown = { x = "0x%x", o = "0%o", d = "%d" }
  if format.form == "c" then
    self:print("%s", character(value))
  elseif format.form == "u" then
    self:print("%s", show.u(value, 8):match "%d+")
  elseif shown[format.form] then
    self:print(shown[format.form], value)
  else
    options.fail("invalid", "p: /%s is not a format for a value (want /x, /o, /d, /u or /c)",
      format.form)
  end
end

-- QEMU's sum: rotates to the right by one bit, then adds a byte, in 16 bits.
local function checksum(self, args)
  local address, size = args:need_number "addr", args:need_number "size"
  args:finish()
  local sum, at = 0, 0
  while at < size do
    local bytes = self.machine:read(address + at, math.min(size - at, 1 << 16))
    for i = 1, #bytes do
      sum = (sum >> 1 | sum << 15) & 0xffff
      sum = (sum + bytes:byte(i)) & 0xffff
    end
    at = at + #bytes
  end
  self:print("%05d", sum)
end

local function gva2gpa(self, args)
  local address = args:need_number "addr"
  args:finish()
  local gpa = physical(self, address)
  self:print(gpa and "gpa: 0x%x" or "Unmapped", gpa)
end

local function gpa2hva(self, args)
  local address = args:need_number "addr"
  args:finish()
  local section = self.machine.memory:find(address)
  local host = section and section.region.host
  if not host then options.fail("invalid", "No memory is mapped at address 0x%x", address) end
  local at = math.tointeger(tonumber((tostring(host):match "0x%x+")))
  self:print("Host virtual address for 0x%x (%s) is 0x%x", address, section.name,
    at + section.offset + address - section.address)
end

-- Runs the command of that name of QMP.
local function save(self, args, command)
  local given = { val = args:need_number "addr", size = args:need_number "size" }
  given.filename = args:need_word "filename"
  args:finish()
  if command == "memsave" then given["cpu-index"] = self.cpu end
  self.machine:qmp(command, given)
end

-- ---- ports -------------------------------------------------------------------------------------

local LETTER = { [1] = "b", [2] = "w", [4] = "l" }

local function port_size(format)
  if not LETTER[format.size] then
    options.fail("invalid", "'%d' bytes are not a port's width (want /b, /h or /w)", format.size)
  end
  return format.size
end

local function input(self, args)
  local format = args:format { count = 1, form = "x", size = 1 }
  local size, port = port_size(format), args:need_number "addr"
  args:finish()
  local value = self.machine.io:load(port & 0xffff, size)
  self:print("port%s[0x%04x] = %s", LETTER[size], port & 0xffff, show.x(value, size))
end

local function output(self, args)
  local format = args:format { count = 1, form = "x", size = 1 }
  local size = port_size(format)
  local port, value = args:need_number "addr", args:need_number "val"
  args:finish()
  self.machine.io:store(port & 0xffff, size, value & ((1 << 8 * size) - 1))
end

return {
  {
    name = "x", params = "/fmt addr", help = "virtual memory dump starting at 'addr'",
    run = function(self, args) dump(self, args, true) end,
  },
  {
    name = "xp", params = "/fmt addr", help = "physical memory dump starting at 'addr'",
    run = function(self, args) dump(self, args, false) end,
  },
  {
    name = "print", alias = "p", params = "/fmt expr",
    help = "print expression value (use $reg for CPU register access)", run = print_value,
  },
  { name = "i", params = "/fmt addr", help = "I/O port read", run = input },
  { name = "o", params = "/fmt addr value", help = "I/O port write", run = output },
  {
    name = "sum", params = "addr size", help = "compute the checksum of a memory region",
    run = checksum,
  },
  {
    name = "gva2gpa", params = "addr",
    help = "print the guest physical address corresponding to a guest virtual address",
    run = gva2gpa,
  },
  {
    name = "gpa2hva", params = "addr",
    help = "print the host virtual address corresponding to a guest physical address",
    run = gpa2hva,
  },
  {
    name = "memsave", params = "addr size file",
    help = "save to disk virtual memory dump starting at 'addr' of size 'size'",
    run = function(self, args) save(self, args, "memsave") end,
  },
  {
    name = "pmemsave", params = "addr size file",
    help = "save to disk physical memory dump starting at 'addr' of size 'size'",
    run = function(self, args) save(self, args, "pmemsave") end,
  },
}
