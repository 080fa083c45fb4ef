--- The registers that gdb sees: their order, sizes and places, for each architecture.

local packet = require "lunik.gdb.packet"

local registers = {}

local GENERAL64 = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10",
  "r11", "r12", "r13", "r14", "r15", "rip" }
local GENERAL32 = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip" }
local SEGMENTS = { "cs", "ss", "ds", "es", "fs", "gs" }
local FPU = { "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop" }

local CORE, SSE = "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse"
local SEGMENT_BASES, CONTROL = "org.gnu.gdb.i386.segments", "org.lunik.i386.control"
local GS_BASE_MSR = 0xc0000102

-- ---- places in an FXSAVE image -----------------------------------------------------------------

-- name -> format and position in the image.
local IN_FPU = {
  fctrl = { "<I2", 1 }, fstat = { "<I2", 3 }, fop = { "<I2", 7 }, mxcsr = { "<I4", 25 },
  fioff = { "<I4", 9 }, fiseg = { "<I2", 13 }, fooff = { "<I4", 17 }, foseg = { "<I2", 21 },
}

local function replace(image, at, bytes)
  return image:sub(1, at - 1) .. bytes .. image:sub(at + #bytes)
end

-- The tag word has 2 bits for each register, FXSAVE 1: 3 is empty.
local function full_tags(image)
  local tags, full = image:byte(5), 0
  for i = 0, 7 do
    if tags >> i & 1 == 0 then full = full | 3 << 2 * i end
  end
  return full
end

local function short_tags(full)
  local tags = 0
  for i = 0, 7 do
    if full >> 2 * i & 3 ~= 3 then tags = tags | 1 << i end
  end
  return tags
end

-- Returns where a register's bytes are in the image.
local function in_image(name)
  local kind, number = name:match "^(%l+)(%d+)$"
  if kind == "st" then return 33 + 16 * number, 10 end
  if kind == "xmm" then return 161 + 16 * number, 16 end
end

local function get_fpu(image, reg)
  local at, size = in_image(reg.name)
  if at then return image:sub(at, at + size - 1) end
  local value = reg.name == "ftag" and full_tags(image)
    or string.unpack(IN_FPU[reg.name][1], image, IN_FPU[reg.name][2])
  return string.pack("<I4", value)
end

local function set_fpu(image, reg, bytes)
  local at = in_image(reg.name)
  if at then return replace(image, at, bytes) end
  local value = string.unpack("<I4", bytes)
  if reg.name == "ftag" then return replace(image, 5, string.char(short_tags(value))) end
  local format, position = table.unpack(IN_FPU[reg.name])
  local mask = format == "<I2" and 0xffff or 0xffffffff
  return replace(image, position, string.pack(format, value & mask))
end

-- ---- the lists ---------------------------------------------------------------------------------

local function adder(list)
  return function(feature, names, size, type_name, kind)
    for _, name in ipairs(names) do
      list[#list + 1] = { name = name, feature = feature, size = size, type = type_name,
        kind = kind, number = #list, vcpu_name = name:gsub("^e(%l%l)$", "r%1")
          :gsub("^eflags$", "rflags"):gsub("^([fg]s)_base$", "%1.base") }
    end
  end
end

local function numbered(prefix, count)
  local names = {}
  for i = 1, count do names[i] = prefix .. i - 1 end
  return names
end

local function make(long)
  local list = {}
  local add = adder(list)
  local size = long and 8 or 4
  local word = long and "int64" or "int32"
  local general = long and GENERAL64 or GENERAL32
  for _, name in ipairs(general) do
    local kind = name:sub(2) == "ip" and "code_ptr" or name:find "^.[sb]p$" and "data_ptr" or word
    add(CORE, { name }, size, kind)
  end
  add(CORE, { "eflags" }, 4, "i386_eflags")
  add(CORE, SEGMENTS, 4, "int32")
  add(CORE, numbered("st", 8), 10, "i387_ext", "fpu")
  add(CORE, FPU, 4, "int", "fpu")
  add(SSE, numbered("xmm", long and 16 or 8), 16, "vec128", "fpu")
  add(SSE, { "mxcsr" }, 4, "i386_mxcsr", "fpu")
  if long then
    add(SEGMENT_BASES, { "fs_base", "gs_base" }, 8, "int64")
    add(CONTROL, { "k_gs_base" }, 8, "int64", "msr")
  end
  add(CONTROL, { "cr0", "cr2", "cr3", "cr4", "cr8", "efer" }, size, word)
  return list
end

local lists = { amd64 = make(true), i386 = make(false) }
lists.i8086 = lists.i386

--- Returns the list of an architecture's registers: {name=, feature=, size=, type=, number=}.
function registers.list(architecture)
  return lists[architecture]
end

-- ---- reading and writing -----------------------------------------------------------------------

local names = {}
for _, list in pairs(lists) do
  names[list] = {}
  for _, reg in ipairs(list) do
    if not reg.kind then table.insert(names[list], reg.vcpu_name) end
  end
end

local function packed(value, size)
  return string.pack("<I8", value):sub(1, size)
end

local function value_of(bytes)
  return (string.unpack("<I8", bytes .. ("\0"):rep(8 - #bytes)))
end

local function bytes_of(cpu, reg, regs, image)
  if reg.kind == "fpu" then return get_fpu(image, reg) end
  local value = reg.kind == "msr" and cpu:msr(GS_BASE_MSR) or regs[reg.vcpu_name]
  return packed(value, reg.size)
end

--- Returns all registers of a vCPU as the digits of a `g` packet. cpu nil: there is none, and all
-- are 0.
function registers.all(cpu, architecture)
  local list, parts = lists[architecture], {}
  local regs, image = cpu and cpu:regs(names[list]), cpu and cpu:fpu()
  for i, reg in ipairs(list) do
    parts[i] = cpu and bytes_of(cpu, reg, regs, image) or ("\0"):rep(reg.size)
  end
  return packet.hex(table.concat(parts))
end

--- Returns the bytes of the register with a number; nil: there is none.
function registers.get(cpu, architecture, number)
  local reg = lists[architecture][number + 1]
  if not reg then return nil end
  if not cpu then return ("\0"):rep(reg.size) end
  return bytes_of(cpu, reg, not reg.kind and cpu:regs { reg.vcpu_name },
    reg.kind == "fpu" and cpu:fpu())
end

local function set(cpu, reg, bytes)
  if reg.kind == "fpu" then
    cpu:set_fpu(set_fpu(cpu:fpu(), reg, bytes))
  elseif reg.kind == "msr" then
    cpu:set_msr(GS_BASE_MSR, value_of(bytes))
  elseif value_of(bytes) ~= value_of(packed(cpu:reg(reg.vcpu_name), reg.size)) then
    cpu:set_reg(reg.vcpu_name, value_of(bytes))
  end
end

--- Sets the register with a number. Returns whether there is one of that size.
function registers.set(cpu, architecture, number, bytes)
  local reg = lists[architecture][number + 1]
  if not reg or not cpu or #bytes ~= reg.size then return false end
  set(cpu, reg, bytes)
  return true
end

--- Sets all registers from the bytes of a `G` packet. Returns whether that was possible.
function registers.set_all(cpu, architecture, bytes)
  local at = 1
  if not cpu then return false end
  for _, reg in ipairs(lists[architecture]) do
    if at + reg.size - 1 > #bytes then break end
    set(cpu, reg, bytes:sub(at, at + reg.size - 1))
    at = at + reg.size
  end
  return true
end

return registers
