--- Breakpoints and watchpoints of a gdb client.
--
-- Hardware ones have a debug register each, in all vCPUs. Software ones take the registers that are
-- left, as they need no change of the guest's memory and stay over a reset; those for which there
-- is none are an int3, which is in memory only while the machine runs.

local translate = require "lunik.translate"

local breakpoints = {}

local REGISTERS = 4
local NO_MEMORY, INVALID, NO_SPACE = "E0e", "E16", "E1c"
local KINDS = { ["1"] = "execute", ["2"] = "write", ["4"] = "access" }
local INT3 = "\xcc"

local Breakpoints = {}
Breakpoints.__index = Breakpoints

--- Makes the empty set of breakpoints of a machine.
function breakpoints.new(m)
  return setmetatable({ machine = m, hardware = {}, software = {}, planted = {} }, Breakpoints)
end

local function find(list, address, kind, size)
  for i, b in ipairs(list) do
    if b.address == address and b.kind == kind and b.size == size then return i end
  end
end

-- Returns the place of an int3; nil: no memory is there.
local function place(m, cpu, address)
  local ok, physical = pcall(function()
    if not cpu then return address end
    return translate.address(m, cpu:regs { "cr0", "cr3", "cr4", "efer" }, address)
  end)
  if not ok or not physical then return nil end
  local read, byte = pcall(m.read, m, physical, 1)
  return read and physical, byte
end

local function add_software(self, address, cpu)
  if find(self.software, address) then return "OK" end
  if #self.hardware + #self.software >= REGISTERS and not place(self.machine, cpu, address) then
    return NO_MEMORY
  end
  table.insert(self.software, { address = address, cpu = cpu })
  return "OK"
end

local SIZES = { [1] = true, [2] = true, [4] = true, [8] = true }

local function add_hardware(self, kind, address, size)
  if not kind then return "" end
  if kind == "execute" then size = 1 end
  if not SIZES[size] or address & size - 1 ~= 0 then return INVALID end
  if find(self.hardware, address, kind, size) then return "OK" end
  if #self.hardware == REGISTERS then return NO_SPACE end
  table.insert(self.hardware, { address = address, kind = kind, size = size })
  return "OK"
end

--- Adds one as gdb names it ("0": software, "1": hardware, "2": write, "4": access); returns the
-- answer. cpu: the vCPU by whose page tables an int3 finds its place.
function Breakpoints:add(which, address, size, cpu)
  if which == "0" then return add_software(self, address, cpu) end
  return add_hardware(self, KINDS[which], address, size)
end

--- Removes one; returns the answer.
function Breakpoints:remove(which, address, size)
  if which == "0" then
    local i = find(self.software, address)
    if i then table.remove(self.software, i) end
    return "OK"
  end
  local kind = KINDS[which]
  if not kind then return "" end
  local i = find(self.hardware, address, kind, kind == "execute" and 1 or size)
  if i then table.remove(self.hardware, i) end
  return "OK"
end

local function plant(self, b)
  local physical, byte = place(self.machine, b.cpu, b.address)
  if physical and pcall(self.machine.write, self.machine, physical, INT3) then
    self.planted[b.address] = { physical = physical, byte = byte }
  end
end

--- Sets the vCPUs for the machine to go on. step: index of a vCPU -> whether it makes one step;
-- interrupts: whether it takes interrupts then.
function Breakpoints:arm(step, interrupts)
  local list = table.move(self.hardware, 1, #self.hardware, 1, {})
  for _, b in ipairs(self.software) do
    if #list < REGISTERS then
      list[#list + 1] = b.address
    else
      plant(self, b)
    end
  end
  for _, cpu in ipairs(self.machine:cpus()) do
    local stepping = step[cpu.index] or false
    if stepping or #list > 0 or next(self.planted) then
      cpu:debug { step = stepping, breakpoints = list, software = next(self.planted) ~= nil,
        interrupts = interrupts or not stepping }
    else
      cpu:debug()
    end
  end
  self.used = list
end

--- Takes the int3 out of memory.
function Breakpoints:disarm()
  for _, at in pairs(self.planted) do
    if self.machine.state ~= "closed" then
      pcall(self.machine.write, self.machine, at.physical, at.byte)
    end
  end
  self.planted = {}
end

--- Removes all, also from the vCPUs.
function Breakpoints:clear()
  self:disarm()
  self.hardware, self.software = {}, {}
  if not self.used or self.machine.state == "closed" then return end
  self.used = nil
  for _, cpu in ipairs(self.machine:cpus()) do pcall(cpu.debug, cpu) end
end

-- Returns the breakpoint that DR6 names.
local function hit(self, dr6)
  for i, b in ipairs(self.used or {}) do
    if dr6 >> i - 1 & 1 == 1 then return b end
  end
end

--- Returns why an exit of a vCPU stops the machine, as gdb's stop replies have it, nil: it does
-- not; and whether the exit is an int3 of the guest's own.
function Breakpoints:reason(exit)
  if exit.reason == "emulation-failure" then
    -- KVM's emulator, where it runs the kernel, does not know int3.
    return self.planted[exit.rip] and "swbreak:;"
  elseif exit.reason ~= "debug" then
    return nil
  elseif exit.exception == 3 then
    if self.planted[exit.rip] then return "swbreak:;" end
    return nil, true
  end
  local b = hit(self, exit.detail)
  if type(b) ~= "table" or b.kind == "execute" then
    return b and (type(b) == "table" and "hwbreak:;" or "swbreak:;") or ""
  end
  return ("%s:%x;"):format(b.kind == "write" and "watch" or "awatch", b.address)
end

return breakpoints
