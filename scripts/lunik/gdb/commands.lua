--- The packets of a gdb client and their answers. An answer is text; nil: it comes later.

local memory = require "lunik.gdb.memory"
local packet = require "lunik.gdb.packet"
local registers = require "lunik.gdb.registers"
local target_xml = require "lunik.gdb.target_xml"

local commands = {}

local NO_MEMORY, INVALID, FAILED = "E0e", "E16", "E01"
local READ_MOST = packet.MOST // 2 - 16

local function number(text)
  return text and text ~= "" and not text:find "%X" and #text <= 16 and tonumber(text, 16) or nil
end

-- ---- registers ---------------------------------------------------------------------------------

local by_letter = {}

function by_letter.g(self)
  return registers.all(self:cpu(), self.architecture)
end

function by_letter.G(self, rest)
  local bytes = packet.bytes(rest)
  if not bytes then return INVALID end
  return registers.set_all(self:cpu(), self.architecture, bytes) and "OK" or FAILED
end

function by_letter.p(self, rest)
  local which = number(rest)
  local bytes = which and registers.get(self:cpu(), self.architecture, which)
  return bytes and packet.hex(bytes) or INVALID
end

function by_letter.P(self, rest)
  local which, digits = rest:match "^(%x+)=(%x+)$"
  local bytes = digits and packet.bytes(digits)
  if not bytes then return INVALID end
  return registers.set(self:cpu(), self.architecture, number(which) or -1, bytes) and "OK"
    or INVALID
end

-- ---- memory ------------------------------------------------------------------------------------

-- The vCPU by whose page tables addresses are; nil: they are physical.
local function paging(self)
  return not self.physical and self:cpu() or nil
end

function by_letter.m(self, rest)
  local address, size = rest:match "^(%x+),(%x+)$"
  address, size = number(address), number(size)
  if not address or not size then return INVALID end
  if size == 0 then return "" end
  local bytes = memory.read(self.machine, paging(self), address, math.min(size, READ_MOST))
  return bytes and packet.hex(bytes) or NO_MEMORY
end

local function write(self, rest, decode)
  local address, size, data = rest:match "^(%x+),(%x+):(.*)$"
  address, size = number(address), number(size)
  local bytes = address and size and decode(data)
  if not bytes or #bytes ~= size then return INVALID end
  if size == 0 then return "OK" end
  return memory.write(self.machine, paging(self), address, bytes) and "OK" or NO_MEMORY
end

function by_letter.M(self, rest) return write(self, rest, packet.bytes) end
function by_letter.X(self, rest) return write(self, rest, packet.unescape) end

-- ---- breakpoints -------------------------------------------------------------------------------

local function breakpoint(rest)
  local which, address, size = rest:match "^(%d),(%x+),(%x+)"
  address, size = number(address), number(size)
  if address and size then return which, address, size end
end

function by_letter.Z(self, rest)
  local which, address, size = breakpoint(rest)
  if not which then return INVALID end
  if not self:cpu() then return "" end
  return self.breakpoints:add(which, address, size, self:cpu())
end

function by_letter.z(self, rest)
  local which, address, size = breakpoint(rest)
  if not which then return INVALID end
  return self.breakpoints:remove(which, address, size)
end

-- ---- running -----------------------------------------------------------------------------------

by_letter["?"] = function(self) return self:stop_reply() end

function by_letter.c(self, rest)
  local address = number(rest)
  if address and self:cpu() then self:cpu():set_reg("rip", address) end
  return self:go_on {}
end

function by_letter.s(self, rest)
  local address, cpu = number(rest), self:cpu()
  if address and cpu then cpu:set_reg("rip", address) end
  return self:go_on { [cpu and cpu.index or 0] = true }
end

function by_letter.C(self) return self:go_on {} end
function by_letter.S(self) return by_letter.s(self, "") end

-- Returns which vCPUs the actions of a vCont packet step; nil: there is a wrong one.
local function stepped(self, actions)
  local step, done = {}, {}
  for action in actions:gmatch ";([^;]*)" do
    local kind, thread = action:match "^([cCsS])%x*:?(%-?%x*)$"
    if not kind then return nil end
    local only = thread ~= "" and thread ~= "-1" and number(thread)
    for _, cpu in ipairs(self.machine:cpus()) do
      if (not only or only == 0 or cpu.index == only - 1) and not done[cpu.index] then
        done[cpu.index] = true
        step[cpu.index] = kind:lower() == "s"
      end
    end
  end
  return step
end

-- ---- threads -----------------------------------------------------------------------------------

local function select(self, rest)
  local kind, thread = rest:match "^(%l)(%-?%x+)$"
  local wanted = number(thread)
  if not kind then return INVALID end
  if thread == "-1" or wanted == 0 then return "OK" end
  if not wanted or not self:has_thread(wanted) then return INVALID end
  if kind == "g" then self.thread = wanted end
  return "OK"
end

by_letter.H = select

function by_letter.T(self, rest)
  local wanted = number(rest)
  return wanted and self:has_thread(wanted) and "OK" or INVALID
end

function by_letter.D(self)
  self:send "OK"
  self:leave()
end

function by_letter.k(self)
  self.machine:shutdown(0)
end

-- ---- queries -----------------------------------------------------------------------------------

local SSTEP = { NOIRQ = 2, ALL = 7 }

local queries = {}

function queries.qSupported(self, rest)
  self.swbreak = rest:find("swbreak+", 1, true) ~= nil
  self.hwbreak = rest:find("hwbreak+", 1, true) ~= nil
  return ("PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+")
    :format(packet.MOST)
end

function queries.QStartNoAckMode(self)
  self:send "OK"
  self.no_ack, self.reader.unchecked = true, true
end

function queries.qXfer(self, rest)
  local offset, size = rest:match "^:features:read:target%.xml:(%x+),(%x+)$"
  offset, size = number(offset), number(size)
  if not offset or not size then return rest:find "^:features:read:" and "E00" or "" end
  local text = target_xml.text(self.architecture)
  local part = text:sub(offset + 1, offset + math.min(size, READ_MOST))
  return (offset + #part < #text and "m" or "l") .. part
end

function queries.qfThreadInfo(self)
  return "m" .. table.concat(self:threads(), ",")
end

function queries.qsThreadInfo() return "l" end
function queries.qC(self) return ("QC%x"):format(self.thread) end
function queries.qAttached() return "1" end

function queries.qThreadExtraInfo(self, rest)
  local thread = number(rest:match "^,(%x+)$")
  if not thread or not self:has_thread(thread) then return INVALID end
  local cpu = self:cpu(thread)
  return packet.hex(("CPU#%d [%s]"):format(thread - 1,
    not cpu and "none" or self.machine.state == "running" and "running" or "halted"))
end

function queries.qRcmd(self, rest)
  local line = packet.bytes(rest:match "^,(.*)$" or "!")
  if not line then return INVALID end
  self.monitor = self.monitor or require("lunik.hmp.monitor").new(self.machine)
  local text = self.monitor:run(line, self.thread - 1)
  for from = 1, #text, READ_MOST do
    self:send("O" .. packet.hex(text:sub(from, from + READ_MOST - 1)))
  end
  return "OK"
end

queries["qqemu.sstepbits"] = function() return "ENABLE=1,NOIRQ=2,NOTIMER=4" end
queries["qqemu.sstep"] = function(self) return ("0x%x"):format(self.sstep) end
queries["Qqemu.sstep"] = function(self, rest)
  local flags = tonumber(rest:match "^[=:](%x+)$" or "", 16)
  if not flags or flags & ~SSTEP.ALL ~= 0 then return INVALID end
  self.sstep = flags
  return "OK"
end
queries["qqemu.PhyMemMode"] = function(self) return self.physical and "1" or "0" end
queries["Qqemu.PhyMemMode"] = function(self, rest)
  self.physical = rest ~= ":0"
  return "OK"
end

function queries.vCont(self, rest)
  if rest == "?" then return "vCont;c;C;s;S" end
  local step = stepped(self, rest)
  return not step and INVALID or self:go_on(step)
end

-- ---- all of them -------------------------------------------------------------------------------

--- Whether a step leaves interrupts on.
function commands.interrupts(flags)
  return flags & SSTEP.NOIRQ == 0
end

--- Carries out a packet; returns its answer, "" if there is no such command, nil if none is due.
function commands.run(self, data)
  local first = data:sub(1, 1)
  if first == "q" or first == "Q" or first == "v" then
    local name, rest = data:match "^([%a.]+)(.*)$"
    local query = queries[name]
    if not query then return "" end
    return query(self, rest)
  end
  local command = by_letter[first]
  if not command then return "" end
  return command(self, data:sub(2))
end

commands.SSTEP_DEFAULT = SSTEP.ALL

return commands
