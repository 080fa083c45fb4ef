-- board.lua: functions for boards: check the memory options, get RAM from backends and map it.
--
--     local board = require "lunik.board"

local lunik = require "lunik"

local board = {}

local KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
local PAGE = 4 * KiB
local MAX_SLOTS = 256
local MAX_ADDRESS = 1 << 52 -- the most physical address bits an x86-64 CPU has

board.KiB, board.MiB, board.GiB = KiB, MiB, GiB

local function fail(format, ...)
  error(lunik.error("invalid", (format:format(...):gsub("%c", "?"))), 0)
end

local units = { { "P", 1 << 50 }, { "T", 1 << 40 }, { "G", GiB }, { "M", MiB }, { "K", KiB } }

-- Shows a size as a user would write it: 512M, 0x1800.
function board.show(size)
  if size == 0 then return "0" end
  for _, unit in ipairs(units) do
    if size > 0 and size % unit[2] == 0 then
      return ("%d%s"):format(size // unit[2], unit[1])
    end
  end
  return ("0x%x"):format(size)
end
local show = board.show

function board.align_up(value, to)
  return (value + to - 1) // to * to
end

local function check_size(what, size)
  if math.ult(MAX_ADDRESS, size) or size <= 0 then
    fail("%s: '%s' is not a possible size (want 1M to %s)", what, show(size), show(MAX_ADDRESS))
  elseif size % PAGE ~= 0 then
    fail("%s: '%s' is not a multiple of the page size (want a multiple of %s)", what,
      show(size), show(PAGE))
  end
end

-- Returns the backend that an option names.
local function backend_of(m, what, id, taken)
  local backend = m:object(id)
  if not backend then fail("%s: '%s' does not exist", what, id) end
  if not backend:is "memory-backend" then
    fail("%s: '%s' is a %s (want a memory backend)", what, id, backend.type)
  elseif taken and taken[id] then
    fail("%s: '%s' is given to two nodes", what, id)
  end
  return backend
end

-- Returns the nodes that have memory of their own, {node=, size=, memdev=}; nil if none has.
local function node_banks(m, numa)
  local banks, taken = {}, {}
  for i, node in ipairs(numa) do
    local what = ("numa: node %d"):format(i - 1)
    if node.memdev then
      local backend = backend_of(m, what .. ": memdev", node.memdev, taken)
      taken[node.memdev] = true
      if node.memory and node.memory ~= backend.size then
        fail("%s: memory: '%s' is not the size of memdev '%s' (want %s, or none)", what,
             show(node.memory), node.memdev, show(backend.size))
      end
      banks[#banks + 1] = { node = i - 1, size = backend.size, memdev = backend }
    elseif node.memory and node.memory ~= 0 then
      check_size(what .. ": memory", node.memory)
      banks[#banks + 1] = { node = i - 1, size = node.memory }
    end
  end
  return banks[1] and banks
end

local function single_bank(m, opt)
  if not opt.memdev then return { { node = 0, size = opt.memory } } end
  local backend = backend_of(m, "memdev", opt.memdev)
  if opt.memory and opt.memory ~= backend.size then
    fail("memory: '%s' is not the size of memdev '%s' (want %s, or none)", show(opt.memory),
         opt.memdev, show(backend.size))
  end
  return { { node = 0, size = backend.size, memdev = backend } }
end

local function total(banks)
  local sum = 0
  for i, bank in ipairs(banks) do
    check_size(bank.memdev and "memdev: " .. bank.memdev.id or "memory", bank.size)
    sum = sum + bank.size
    if sum > MAX_ADDRESS then
      fail("memory: bank %d makes it more than %s", i, show(MAX_ADDRESS))
    end
  end
  return sum
end

-- Returns the machine's RAM: a list of {memdev=, size=, node=} in guest order, and its total. Makes
-- backends that the options do not name ("pc.ram", or "pc.ram0", ... by node). Makes nothing if an
-- option is wrong.
function board.memory(m, opt)
  local by_node = opt.numa and node_banks(m, opt.numa)
  if by_node and opt.memdev then
    fail("memdev: '%s' is given although the NUMA nodes have memory of their own", opt.memdev)
  end
  local banks = by_node or single_bank(m, opt)
  local size = total(banks)
  if opt.memory and size ~= opt.memory then
    fail("numa: the nodes have %s in all (want %s, the machine's memory)", show(size),
         show(opt.memory))
  elseif banks[1].size < MiB then
    fail("memory: '%s' is too small%s (want 1M or more)", show(banks[1].size),
         by_node and (" for node %d"):format(banks[1].node) or "")
  end
  board.check_slots(opt, size)
  for _, bank in ipairs(banks) do
    bank.memdev = bank.memdev or m:object_add("memory-backend-ram", {
      id = by_node and "pc.ram" .. bank.node or "pc.ram",
      size = bank.size,
    })
  end
  return banks, size
end

-- Checks maxmem and slots against the machine's memory.
function board.check_slots(opt, memory)
  local slots, maxmem = opt.slots or 0, opt.maxmem
  if slots < 0 or slots > MAX_SLOTS then
    fail("slots: '%d' is out of range (want 0 to %d)", slots, MAX_SLOTS)
  elseif slots > 0 and not maxmem then
    fail("slots: '%d' needs maxmem, the most memory the machine can grow to", slots)
  end
  if not maxmem then return end
  check_size("maxmem", maxmem)
  if maxmem < memory then
    fail("maxmem: '%s' is less than the machine's memory (want %s or more)", show(maxmem),
         show(memory))
  elseif slots > 0 and maxmem == memory then
    fail("maxmem: '%s' leaves nothing for %d slots (want more than the machine's memory)",
         show(maxmem), slots)
  end
end

-- Whether the machine has interrupt controllers and an interval timer of its own, not those of KVM.
function board.has_own_irqchip(m)
  return m.accel == "none" or m.irqchip == "split"
end

-- Adds them: "pic", "ioapic" and "pit".
function board.add_irqchip(m)
  if not board.has_own_irqchip(m) then return end
  m:device_add("isa-i8259", { id = "pic" })
  m:device_add("ioapic", { id = "ioapic" })
  m:device_add("isa-pit", { id = "pit" })
end

-- Calls fn(bank, offset in bank, address, size) for each bank's part of a range of RAM that is at
-- guest address base.
local function each_part(banks, offset, base, size, fn)
  offset, base, size = lunik.size(offset), lunik.size(base), lunik.size(size)
  local start = 0
  for _, bank in ipairs(banks) do
    local from = math.max(start, offset)
    local to = math.min(start + bank.size, offset + size)
    if from < to then fn(bank, from - start, base + from - offset, to - from) end
    start = start + bank.size
  end
end

-- Shows `size` bytes of the machine's RAM from `offset` on at guest address `base`.
function board.map_ram(m, banks, name, offset, base, size)
  each_part(banks, offset, base, size, function(bank, at, address, length)
    m:device_add("ram", {
      id = banks[2] and ("%s-node%d"):format(name, bank.node) or name,
      memdev = bank.memdev, addr = address, offset = at, size = length,
    })
  end)
end

-- Reports the same range to the operating system as RAM.
function board.report_ram(m, banks, offset, base, size)
  each_part(banks, offset, base, size, function(bank, _, address, length)
    m:fwmap_add { base = address, size = length, type = "ram", node = bank.node }
  end)
end

return board
