-- vCPUs and interrupt controllers after a reset. On KVM.
local lunik = require "lunik"
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local real = require "spec.support.real_mode"

if not command.kvm() then
  return describe("a reset", function()
    it("needs KVM", function() pending "no /dev/kvm" end)
  end)
end

local LOOP = "\xf3\x90\xeb\xfc" -- pause; jmp

after_each(machines.close_all)

-- MSRs that a reset leaves as they are: the machine check banks. The others: the TSC and the local
-- APIC's, which count on.
local function sticky(msr) return msr >= 0x400 and msr < 0x480 end
local function counts(msr) return msr == 0x10 or msr >= 0x800 and msr < 0x900 end

local RANGES = { { 0, 0x1fff }, { 0x4b564d00, 0x4b564dff }, { 0xc0000000, 0xc00003ff },
  { 0xc0010000, 0xc00103ff }, { 0xc0011000, 0xc00110ff } }

local function readable_msrs(cpu)
  local found = {}
  for _, range in ipairs(RANGES) do
    for msr = range[1], range[2] do
      local ok, value = pcall(cpu.msr, cpu, msr)
      if ok and not counts(msr) then found[msr] = value end
    end
  end
  return found
end

-- Values of which KVM takes one for most MSRs.
local function tries(value)
  return { value ~ 1, value ~ 0x10, value ~ 0x100, value ~ 0x1000, value ~ 1 << 16, value ~ 1 << 20,
    value ~ 1 << 40, 0x0606060606060606, 0x800, 0, -1, 2 }
end

local function change_msr(cpu, msr, value)
  for _, try in ipairs(tries(value)) do
    if try ~= value and pcall(cpu.set_msr, cpu, msr, try) and cpu:msr(msr) ~= value then
      return true
    end
  end
  return false
end

describe("a reset", function()
  it("brings every MSR back that can be written", function()
    local m = real.machine(LOOP)
    m:start()
    m:pause()
    local cpu, changed, wrong = m:cpu(0), {}, {}
    local before = readable_msrs(cpu)
    for msr, value in pairs(before) do
      if change_msr(cpu, msr, value) then changed[#changed + 1] = msr end
    end
    assert.is_true(#changed > 40)
    local banks = cpu:msr(0x404)
    m:reset()
    for _, msr in ipairs(changed) do
      if cpu:msr(msr) ~= before[msr] and not sticky(msr) then
        wrong[#wrong + 1] = ("%x: %x is %x"):format(msr, before[msr], cpu:msr(msr))
      end
    end
    table.sort(wrong)
    assert.same({}, wrong)
    assert.equal(banks, cpu:msr(0x404))
  end)

  it("leaves the chipset's levels in the ELCR", function()
    -- 4d0 and 4d1 to 510; 2 to 4d1; a flag to 500
    local m = real.machine(real.bytes "ba d0 04 ec a2 10 05 42 ec a2 11 05 b0 02 ee c6 06 00 05 01"
      .. LOOP)
    for _ = 1, 2 do
      m:start()
      real.changed(m, 0x500, 1, 0)
      assert.equal(0x0c00, m:load(0x510, 2)) -- 10 and 11
      m:pause()
      m:reset()
    end
  end)
end)

describe("a level line that is held high", function()
  -- Local APIC on; I/O APIC's pin 11: level, vector 50
  local code = "\xfa" .. real.vector(0x50) .. real.store(0xfee000f0, 0x1ff)
    .. real.store(0xfec00000, 0x10 + 2 * 11) .. real.store(0xfec00010, 0x8050) .. "\xfb" .. LOOP
  -- in al, f2; EOI
  local handler = "\x66\x50\xe4\xf2" .. real.store(0xfee000b0, 0) .. "\x66\x58\xcf"

  -- A machine whose port f2 lowers line() and counts that in seen.count.
  local function machine(line)
    local m = real.machine(code, handler)
    local seen = { count = 0 }
    m.io.root:add(m:region {
      kind = "io", name = "ack", size = 1,
      read = function()
        seen.count = seen.count + 1
        line():set(false)
        return 0
      end,
    }, 0xf2)
    return m, seen
  end

  local function wait_for(m, seen)
    local deadline = lunik.now() + 20
    while seen.count == 0 and lunik.now() < deadline do lunik.sleep(0.01) end
    assert.is_true(seen.count > 0)
    assert.is_false(m:irq_level(11))
  end

  it("before the start or over a reset reaches the guest", function()
    local line
    local m, seen = machine(function() return line end)
    line = m:irq(11)
    line:set(true)
    m:start()
    wait_for(m, seen)
    m:pause()
    line:set(true)
    seen.count = 0
    m:reset()
    assert.is_true(m:irq_level(11))
    m:resume()
    wait_for(m, seen)
  end)

  it("by a device in its reset reaches the guest", function()
    local line
    lunik.device {
      name = "raises-in-reset",
      realize = function(dev) line = dev:irq(11) end,
      reset = function() line:set(true) end,
    }
    local m, seen = machine(function() return line end)
    m:device_add("raises-in-reset", { id = "raiser" })
    m:start()
    wait_for(m, seen)
  end)
end)
