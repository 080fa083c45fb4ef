--- info cpus, registers, hotpluggable-cpus, irq, pic, lapic: of processors and interrupts.

local names = require "lunik.qmp.names"

local function cpus(self)
  for _, cpu in ipairs(self.machine:cpus()) do
    self:print("%s CPU #%d: thread_id=%d", cpu.index == self.cpu and "*" or " ", cpu.index,
      cpu.thread_id or 0)
  end
end

-- ---- registers ---------------------------------------------------------------------------------

local FLAGS = { { 10, "D" }, { 11, "O" }, { 7, "S" }, { 6, "Z" }, { 4, "A" }, { 2, "P" },
  { 0, "C" } }

local function flag_letters(rflags)
  local letters = {}
  for i, flag in ipairs(FLAGS) do
    letters[i] = rflags >> flag[1] & 1 == 1 and flag[2] or "-"
  end
  return table.concat(letters)
end

local function general(self, r, long)
  local rows = { { "ax", "bx", "cx", "dx" }, { "si", "di", "bp", "sp" } }
  for _, row in ipairs(rows) do
    local parts = {}
    for i, name in ipairs(row) do
      local value = r["r" .. name]
      parts[i] = (long and "R%s=%016x" or "E%s=%08x"):format(name:upper(),
        long and value or value & 0xffffffff)
    end
    self:print("%s", table.concat(parts, " "))
  end
  for first = 8, long and 12 or 7, 4 do
    local parts = {}
    for i = first, first + 3 do parts[#parts + 1] = ("R%-2d=%016x"):format(i, r["r" .. i]) end
    self:print("%s", table.concat(parts, " "))
  end
  self:print(long and "RIP=%016x RFL=%08x [%s] CPL=%d II=0 A20=1 SMM=0 HLT=0"
    or "EIP=%08x EFL=%08x [%s] CPL=%d II=0 A20=1 SMM=0 HLT=0",
    long and r.rip or r.rip & 0xffffffff, r.rflags, flag_letters(r.rflags), r["ss.dpl"] or 0)
end

-- Returns the descriptor's bits 8 to 23 as hardware has them in the second word.
local function segment_flags(r, name)
  local function bit(field, at) return (r[name .. "." .. field] or 0) << at end
  return bit("type", 8) | bit("s", 12) | bit("dpl", 13) | bit("present", 15) | bit("avl", 20)
    | bit("l", 21) | bit("db", 22) | bit("g", 23)
end

local function segments(self, r, width)
  local format = ("%%-3s=%%04x %%0%dx %%08x %%08x"):format(width)
  for _, name in ipairs { "es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr" } do
    self:print(format, name:upper():sub(1, 3), r[name], r[name .. ".base"], r[name .. ".limit"],
      segment_flags(r, name))
  end
  for _, name in ipairs { "gdt", "idt" } do
    self:print(("%%s=     %%0%dx %%08x"):format(width), name:upper(), r[name .. ".base"],
      r[name .. ".limit"])
  end
end

-- All registers of a vCPU that can be read by name.
local function all_registers(cpu)
  local r = {}
  for name, value in pairs(cpu:regs()) do r[name] = value end
  for _, name in ipairs { "es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr" } do
    r[name] = cpu:reg(name)
    for _, field in ipairs { "base", "limit", "type", "s", "dpl", "present", "avl", "l", "db",
      "g" } do
      r[name .. "." .. field] = cpu:reg(name .. "." .. field)
    end
  end
  for _, name in ipairs { "gdt.base", "gdt.limit", "idt.base", "idt.limit", "cr0", "cr2", "cr3",
    "cr4", "efer" } do
    r[name] = cpu:reg(name)
  end
  return r
end

local function print_registers(self, cpu)
  local r = all_registers(cpu)
  local long = r.efer & 1 << 10 ~= 0
  local width = long and 16 or 8
  self:print("")
  self:print("CPU#%d", cpu.index)
  general(self, r, long)
  segments(self, r, width)
  self:print(("CR0=%%08x CR2=%%0%dx CR3=%%0%dx CR4=%%08x"):format(width, width), r.cr0, r.cr2,
    r.cr3, r.cr4)
  self:print("EFER=%016x", r.efer)
end

local function registers(self, args)
  local all = args:flag "a"
  local index = not all and args:number() or self.cpu
  args:finish()
  if all then
    for _, cpu in ipairs(self.machine:cpus()) do print_registers(self, cpu) end
  else
    print_registers(self, self.machine:cpu(index))
  end
end

-- ---- slots -------------------------------------------------------------------------------------

local PLACES = { "node_id", "socket_id", "die_id", "core_id", "thread_id" }

local function hotpluggable(self)
  self:print "Hotpluggable CPUs:"
  for _, cpu in ipairs(self.machine:hotpluggable_cpus()) do
    self:print('  type: "%s"', names.of_type(cpu.type))
    self:print('  vcpus_count: "%d"', cpu.vcpus_count)
    local device = cpu.path and self.machine:object(cpu.path)
    if device then self:print('  qom_path: "%s"', names.path(device)) end
    self:print "  CPUInstance Properties:"
    for _, name in ipairs(PLACES) do
      if cpu.props[name] then
        self:print('    %s: "%d"', name:gsub("_", "-"), cpu.props[name])
      end
    end
  end
end

-- ---- interrupts --------------------------------------------------------------------------------

local function irq(self)
  self:print "IRQ statistics:"
  for gsi = 0, 23 do
    local count = self.machine:irq_count(gsi)
    if count > 0 then self:print("%2d: %d", gsi, count) end
  end
end

local function print_text(self, text)
  for line in (tostring(text) .. "\n"):gmatch "([^\n]*)\n" do
    if line ~= "" then self:print("%s", line) end
  end
end

local function pic(self)
  print_text(self, self.machine:ioapic())
  print_text(self, self.machine:pic())
end

-- The registers of a local APIC that are shown: title, offset, and how many follow, 16 bytes apart.
local LAPIC = {
  { "ID", 0x20 }, { "VERSION", 0x30 }, { "TPR", 0x80 }, { "APR", 0x90 }, { "PPR", 0xa0 },
  { "LDR", 0xd0 }, { "DFR", 0xe0 }, { "SVR", 0xf0 }, { "ISR", 0x100, 8 }, { "TMR", 0x180, 8 },
  { "IRR", 0x200, 8 }, { "ESR", 0x280 }, { "ICR", 0x300, 2 }, { "LVTT", 0x320 },
  { "LVTTHMR", 0x330 }, { "LVTPC", 0x340 }, { "LVT0", 0x350 }, { "LVT1", 0x360 },
  { "LVTERR", 0x370 }, { "TMICT", 0x380 }, { "TMCCT", 0x390 }, { "TDCR", 0x3e0 },
}

-- Returns the numbers of the bits that are set in registers that follow each other.
local function vectors(lapic, offset)
  local found = {}
  for i = 0, 255 do
    if lapic[offset + i // 32 * 16] >> i % 32 & 1 == 1 then found[#found + 1] = i end
  end
  return found[1] and table.concat(found, " ") or "(none)"
end

local function lapic(self, args)
  local cpu = self.machine:cpu(args:number() or self.cpu)
  args:finish()
  local state = cpu:lapic()
  self:print("dumping local APIC state for CPU %d", cpu.index)
  self:print ""
  for _, register in ipairs(LAPIC) do
    local title, offset, count = table.unpack(register)
    if count == 8 then
      self:print("%-8s %s", title, vectors(state, offset))
    elseif count then
      self:print("%-8s 0x%08x 0x%08x", title, state[offset], state[offset + 16])
    else
      self:print("%-8s 0x%08x", title, state[offset])
    end
  end
end

return {
  { name = "cpus", help = "show infos for each CPU", run = cpus },
  {
    name = "registers", params = "[-a|vcpu]", help = "show the cpu registers (-a: show register "
      .. "info for all cpus)", run = registers,
  },
  {
    name = "hotpluggable-cpus", help = "Show information about hotpluggable CPUs",
    run = hotpluggable,
  },
  { name = "irq", help = "show the interrupts statistics", run = irq },
  { name = "pic", help = "show PIC state", run = pic },
  {
    name = "lapic", params = "[apic-id]", help = "show local apic state (apic-id: local apic to "
      .. "read, default is which of current CPU)", run = lapic,
  },
}
