--- An ELF core file of a machine's memory, as dump-guest-memory writes it: for each vCPU the notes
-- CORE (its registers as Linux has them) and QEMU (all of them), and a segment for each range of
-- memory, by physical addresses.

local core_file = {}

local NOTE, LOAD = 4, 1 -- PT_NOTE, PT_LOAD
local EM_X86_64, ET_CORE = 62, 4
local HEADER, PROGRAM_HEADER = 64, 56

-- ---- memory ------------------------------------------------------------------------------------

--- Lists the ranges of memory to dump, ascending: {address =, size =}; begin, length: those inside.
function core_file.ranges(m, begin, length)
  local list = {}
  local last = begin and begin + length - 1
  m:listen { space = m.memory, region_add = function(s)
    local from, to = s.address, s.address + s.size - 1
    if (s.kind ~= "ram" and s.kind ~= "rom") or s.nonvolatile then return end
    if begin then from, to = math.max(from, begin), math.min(to, last) end
    if from <= to then list[#list + 1] = { address = from, size = to - from + 1 } end
  end }:remove()
  table.sort(list, function(a, b) return a.address < b.address end)
  local merged = {}
  for _, range in ipairs(list) do
    local before = merged[#merged]
    if before and before.address + before.size == range.address then
      before.size = before.size + range.size
    else
      merged[#merged + 1] = range
    end
  end
  return merged
end

-- ---- notes -------------------------------------------------------------------------------------

local function note(name, kind, contents)
  local padded = name .. ("\0"):rep(8 - #name)
  return ("<I4I4I4"):pack(#name + 1, #contents, kind) .. padded
    .. contents .. ("\0"):rep(-#contents % 4)
end

local USER = { "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx",
  "rdx", "rsi", "rdi", false, "rip", "cs", "rflags", "rsp", "ss", "fs.base", "gs.base", "ds", "es",
  "fs", "gs" }
local GENERAL = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11",
  "r12", "r13", "r14", "r15", "rip", "rflags" }
local SEGMENTS = { "cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr" }
local FLAGS = { type = 8, s = 12, dpl = 13, present = 15, avl = 20, l = 21, db = 22, g = 23 }

-- Returns Linux's struct elf_prstatus.
local function prstatus(cpu)
  local regs = {}
  for i, name in ipairs(USER) do regs[i] = ("<i8"):pack(name and cpu:reg(name) or 0) end
  return ("\0"):rep(32) .. ("<I4"):pack(cpu.index + 1) .. ("\0"):rep(76) .. table.concat(regs)
    .. ("\0"):rep(8)
end

local function segment(cpu, name)
  local flags = 0
  for field, at in pairs(FLAGS) do flags = flags | cpu:reg(name .. "." .. field) << at end
  return ("<I4I4I4I4i8"):pack(cpu:reg(name), cpu:reg(name .. ".limit"), flags, 0,
    cpu:reg(name .. ".base"))
end

local function table_register(cpu, name)
  return ("<I4I4I4I4i8"):pack(0, cpu:reg(name .. ".limit"), 0, 0, cpu:reg(name .. ".base"))
end

-- Returns QEMU's QEMUCPUState, version 1.
local function all_registers(cpu)
  local parts = {}
  local function add(text) parts[#parts + 1] = text end
  for _, name in ipairs(GENERAL) do add(("<i8"):pack(cpu:reg(name))) end
  for _, name in ipairs(SEGMENTS) do add(segment(cpu, name)) end
  add(table_register(cpu, "gdt"))
  add(table_register(cpu, "idt"))
  for _, name in ipairs { "cr0", false, "cr2", "cr3", "cr4" } do
    add(("<i8"):pack(name and cpu:reg(name) or 0))
  end
  local ok, base = pcall(cpu.msr, cpu, 0xc0000102) -- the kernel's gs base
  add(("<i8"):pack(ok and base or 0))
  local contents = table.concat(parts)
  return ("<I4I4"):pack(1, #contents + 8) .. contents
end

local function notes(m)
  local parts = {}
  for _, cpu in ipairs(m:cpus()) do parts[#parts + 1] = note("CORE", 1, prstatus(cpu)) end
  for _, cpu in ipairs(m:cpus()) do parts[#parts + 1] = note("QEMU", 0, all_registers(cpu)) end
  return table.concat(parts)
end

-- ---- headers -----------------------------------------------------------------------------------

local function program_header(kind, offset, address, size)
  local in_memory = kind == LOAD and size or 0
  return ("<I4I4i8i8i8i8i8i8"):pack(kind, 0, offset, 0, address, size, in_memory, 0)
end

--- Returns all that comes before the contents of the ranges.
function core_file.head(m, ranges)
  local text = notes(m)
  local at = HEADER + PROGRAM_HEADER * (#ranges + 1)
  local parts = { "\x7fELF\2\1\1" .. ("\0"):rep(9)
    .. ("<I2I2I4i8i8i8I4I2I2I2I2I2I2"):pack(ET_CORE, EM_X86_64, 1, 0, HEADER, 0, 0, HEADER,
      PROGRAM_HEADER, #ranges + 1, 0, 0, 0) }
  parts[2] = program_header(NOTE, at, 0, #text)
  at = at + #text
  for _, range in ipairs(ranges) do
    parts[#parts + 1] = program_header(LOAD, at, range.address, range.size)
    at = at + range.size
  end
  parts[#parts + 1] = text
  return table.concat(parts)
end

return core_file
