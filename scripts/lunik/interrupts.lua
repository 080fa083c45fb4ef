--- m:pic(), m:ioapic(), m:irqs(): interrupt controllers and lines, as QEMU's "info pic" and "info
-- irq" show them.

local core = require "lunik.core"
local options = require "lunik.options"

local interrupts = {}

local LINES = 24
local MASKED, LEVEL, REMOTE_IRR, LOW, LOGICAL = 1 << 16, 1 << 15, 1 << 14, 1 << 13, 1 << 11
local DELIVERY = { [0] = "fixed", "lowest", "SMI", "...", "NMI", "INIT", "...", "extINT" }

-- Returns what has the registers, and whether that is KVM.
local function find(m, kind, name)
  if m.accel == "kvm" and m.irqchip == "kernel" then return core.kvm_irqchip(m), true end
  for _, object in ipairs(m:objects()) do
    if object.type == kind then return object, false end
  end
  options.fail("unsupported", "machine '%s': %s is not there (the boards pc and micro have it)",
    m.name, name)
end

-- ---- 8259A -------------------------------------------------------------------------------------

local function pic_text(pic)
  local lines = {}
  for i = 2, 1, -1 do
    local p = pic[i]
    lines[#lines + 1] = ("pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d "
      .. "elcr=%02x fnm=%d"):format(i - 1, p.irr, p.imr, p.isr, p.first, p.base,
      p.read_isr and 1 or 0, p.elcr, p.nested and 1 or 0)
  end
  return table.concat(lines, "\n")
end

local PIC = { __tostring = pic_text }

function interrupts.pic(m)
  local object, in_kvm = find(m, "isa-i8259", "the pair of 8259As")
  local pic = {}
  if not in_kvm then pic.intr = object.intr end
  for i = 1, 2 do
    local function register(name) return object[name] >> 8 * (i - 1) & 0xff end
    pic[i] = {
      irr = register "irr", imr = register "imr", isr = register "isr", elcr = register "elcr",
      base = register "base", first = register "first", read_isr = register "read_isr" == 1,
      nested = register "nested" == 1,
    }
  end
  return setmetatable(pic, PIC)
end

-- ---- I/O APIC ----------------------------------------------------------------------------------

local function set_of(pins, field)
  local list = {}
  for i, pin in ipairs(pins) do
    if pin[field] then list[#list + 1] = i - 1 end
  end
  return list[1] and table.concat(list, " ") or "(none)"
end

local function ioapic_text(apic)
  local lines = { ("ioapic0: ver=0x%x id=0x%02x sel=0x%02x"):format(apic.version, apic.id,
    apic.select) }
  for i, pin in ipairs(apic) do
    lines[#lines + 1] = ("  pin %-2d 0x%016x dest=%x vec=%-3d %s %-5s %-6s %-6s %s"):format(i - 1,
      pin.entry, pin.destination, pin.vector, pin.low and "active-lo" or "active-hi",
      pin.level and "level" or "edge", pin.masked and "masked" or "", pin.delivery,
      pin.logical and "logical" or "physical")
  end
  lines[#lines + 1] = "  IRR        " .. set_of(apic, "high")
  lines[#lines + 1] = "  Remote IRR " .. set_of(apic, "remote_irr")
  return table.concat(lines, "\n")
end

local IOAPIC = { __tostring = ioapic_text }

local function pin_of(entry, high)
  return {
    entry = entry, vector = entry & 0xff, delivery = DELIVERY[entry >> 8 & 7],
    destination = entry >> 56, logical = entry & LOGICAL ~= 0, low = entry & LOW ~= 0,
    level = entry & LEVEL ~= 0, masked = entry & MASKED ~= 0,
    remote_irr = entry & REMOTE_IRR ~= 0, high = high,
  }
end

-- A device has them as text.
local function entries_of(redirection)
  if type(redirection) == "table" then return redirection end
  local list = {}
  for digits in redirection:gmatch "%x+" do
    list[#list + 1] = math.tointeger(tonumber(digits, 16))
  end
  return list
end

function interrupts.ioapic(m)
  local object, in_kvm = find(m, "ioapic", "the I/O APIC")
  local apic = { version = in_kvm and 0x11 or 0x20, id = object.apic_id, select = object.select }
  for i, entry in ipairs(entries_of(object.redirection)) do
    apic[i] = pin_of(entry, object.lines >> i - 1 & 1 == 1)
  end
  return setmetatable(apic, IOAPIC)
end

-- ---- lines -------------------------------------------------------------------------------------

local function irqs_text(irqs)
  local lines = { "interrupts by line:" }
  for _, irq in ipairs(irqs) do
    if irq.count > 0 or irq.level then
      lines[#lines + 1] = ("%3d: %d%s"):format(irq.gsi, irq.count, irq.level and " (high)" or "")
    end
  end
  return table.concat(lines, "\n")
end

local IRQS = { __tostring = irqs_text }

function interrupts.irqs(m)
  local irqs = {}
  for gsi = 0, LINES - 1 do
    irqs[#irqs + 1] = { gsi = gsi, level = m:irq_level(gsi), count = m:irq_count(gsi) }
  end
  return setmetatable(irqs, IRQS)
end

return interrupts
