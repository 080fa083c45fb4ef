--- Translates a vCPU's linear addresses by the guest's page tables, as the processor does, without
-- checking rights and without marking pages as accessed.

local translate = {}

local PG, PSE, PAE, LA57, LMA = 1 << 31, 1 << 4, 1 << 5, 1 << 12, 1 << 10
local PRESENT, LARGE = 1, 1 << 7
local PAGE = 4096
local FRAME = 0x000ffffffffff000 -- of an entry of 8 bytes

-- Returns how a vCPU with these registers translates: the first table's address, bytes of an entry,
-- levels as {shift =, bits =}, the first one first.
local function mode_of(regs)
  if regs.cr4 & PAE == 0 then
    return regs.cr3 & 0xfffff000, 4, { { shift = 22, bits = 10, large = regs.cr4 & PSE ~= 0 },
      { shift = 12, bits = 10 } }
  end
  local levels = { { shift = 21, bits = 9, large = true }, { shift = 12, bits = 9 } }
  if regs.efer & LMA == 0 then
    table.insert(levels, 1, { shift = 30, bits = 2 })
    return regs.cr3 & 0xffffffe0, 8, levels
  end
  table.insert(levels, 1, { shift = 30, bits = 9, large = true })
  table.insert(levels, 1, { shift = 39, bits = 9 })
  if regs.cr4 & LA57 ~= 0 then table.insert(levels, 1, { shift = 48, bits = 9 }) end
  return regs.cr3 & FRAME, 8, levels
end

local function is_canonical(address, levels)
  local top = levels[1].shift + levels[1].bits - 1
  return top < 47 or address >> top == 0 or address >> top == -1 >> top
end

-- The address that a large page's entry and an address in it make.
local function in_large(entry, width, address, shift)
  local mask = (1 << shift) - 1
  local frame = entry & FRAME & ~mask
  if width == 4 then frame = entry & 0xffc00000 | (entry >> 13 & 0xff) << 32 end
  return frame | address & mask
end

--- Returns the physical address of a linear one; nil: nothing is mapped there. m: the machine,
-- whose memory has the tables; regs: cr0, cr3, cr4, efer.
function translate.address(m, regs, address)
  if regs.cr0 & PG == 0 then return address & 0xffffffff end
  local base, width, levels = mode_of(regs)
  if width == 4 or regs.efer & LMA == 0 then
    address = address & 0xffffffff
  elseif not is_canonical(address, levels) then
    return nil
  end
  for _, level in ipairs(levels) do
    local index = address >> level.shift & (1 << level.bits) - 1
    local entry = m:load(base + index * width, width)
    if entry & PRESENT == 0 then return nil end
    if level.large and entry & LARGE ~= 0 then
      return in_large(entry, width, address, level.shift)
    end
    base = entry & (width == 4 and 0xfffff000 or FRAME)
  end
  return base | address & 0xfff
end

--- Returns size bytes at a linear address, which may cross pages; nil and the first address at
-- which nothing is mapped.
function translate.read(m, regs, address, size)
  local parts = {}
  while size > 0 do
    local count = math.min(size, PAGE - (address & PAGE - 1))
    local physical = translate.address(m, regs, address)
    if not physical then return nil, address end
    parts[#parts + 1] = m:read(physical, count)
    address, size = address + count, size - count
  end
  return table.concat(parts)
end

return translate
