-- The clocks that KVM keeps for a guest stand still with the machine's. On KVM.
local lunik = require "lunik"
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local real = require "spec.support.real_mode"

if not command.kvm() then
  return describe("a guest's clocks", function()
    it("need KVM", function() pending "no /dev/kvm" end)
  end)
end

local PM_HZ = 3579545
local MSR_TSC, MSR_KVMCLOCK, MSR_DEADLINE = 0x10, 0x4b564d01, 0x6e0

local read_pm = real.bytes "ba 08 06 66 ed" -- mov dx, 608; in eax, dx

after_each(machines.close_all)

-- Seconds on a PM timer from one of its counts to a later one.
local function pm_seconds(from, to) return (to - from) % 0x1000000 / PM_HZ end

describe("over a pause", function()
  it("kvmclock and TSC move as the PM timer does", function()
    -- kvmclock at 9000; loop: TSC to 620, PM timer to 630, inc dword [640], pause
    local m = real.machine(real.wrmsr(MSR_KVMCLOCK, 0x9001)
      .. real.bytes "0f 31 66 a3 20 06 66 89 16 24 06" .. read_pm
      .. real.bytes "66 a3 30 06 66 ff 06 40 06 f3 90 eb e3")

    local function sample()
      real.changed(m, 0x640, 4, m:load(0x640, 4))
      m:pause()
      local tsc, pm = m:load(0x620, 8), m:load(0x630, 4)
      local shift = string.unpack("b", m:read(0x901c, 1))
      local ticks = tsc - m:load(0x9008, 8)
      ticks = shift >= 0 and ticks << shift or ticks >> -shift
      local ns = m:load(0x9010, 8) + ticks / 2 ^ 32 * m:load(0x9018, 4)
      return { ns = ns, tsc = tsc, pm = pm, per_ns = 2 ^ (32 - shift) / m:load(0x9018, 4),
        flags = m:load(0x901d, 1) }
    end

    m:start()
    local before = sample()
    assert.equal(0, before.flags & 2)
    lunik.sleep(1)
    m:resume()
    local after = sample()
    local passed = pm_seconds(before.pm, after.pm)
    assert.near(passed, (after.ns - before.ns) / 1e9, 0.5)
    assert.near(passed, (after.tsc - before.tsc) / before.per_ns / 1e9, 0.5)
    assert.equal(2, after.flags & 2, "the guest sees that it was stopped")
  end)

  -- A guest that arms a timer and stores the PM timer then, at 704, and at its interrupt, at 710.
  local function timer_machine(setup, arm, options)
    local handler = "\x66\x50\x52" .. read_pm
      .. real.bytes "66 a3 10 07 66 ff 06 00 07" .. real.store(0xfee000b0, 0) .. "\x5a\x66\x58\xcf"
    return real.machine("\xfa" .. real.vector(0x50) .. setup .. read_pm .. "\x66\xa3\x04\x07"
      .. arm .. real.bytes "c6 06 08 07 01 fb f3 90 eb fc", handler, options)
  end

  -- It comes as long after it was armed as it was set to, by the PM timer.
  local function check_timer(m, seconds)
    m:start()
    real.changed(m, 0x708, 1, 0)
    m:pause()
    lunik.sleep(seconds + 0.2)
    m:resume()
    real.changed(m, 0x700, 4, 0)
    assert.is_true(pm_seconds(m:load(0x704, 4), m:load(0x710, 4)) >= seconds * 0.98)
  end

  local APIC_ON = real.store(0xfee000f0, 0x1ff)

  it("a one-shot local APIC timer waits", function()
    check_timer(timer_machine(APIC_ON .. real.store(0xfee003e0, 3) -- divided by 16
      .. real.store(0xfee00320, 0x50), real.store(0xfee00380, 50000000)), 0.8)
  end)

  it("a periodic local APIC timer waits", function()
    check_timer(timer_machine(APIC_ON .. real.store(0xfee003e0, 3)
      .. real.store(0xfee00320, 0x20050), real.store(0xfee00380, 50000000)), 0.8)
  end)

  it("a TSC deadline waits", function()
    local function machine(ticks)
      return timer_machine(APIC_ON .. real.store(0xfee00320, 0x40050),
        -- rdtsc; add eax, ticks; adc edx, 0; mov ecx, 6e0; wrmsr
        "\x0f\x31\x66\x05" .. string.pack("<I4", ticks)
          .. real.bytes "66 83 d2 00 66 b9 e0 06 00 00 0f 30", { cpu = { "+tsc-deadline" } })
    end
    -- How fast the TSC counts is seen by the machine's clock.
    local probe <close> = machine(0x7fffffff)
    probe:start()
    real.changed(probe, 0x708, 1, 0)
    local cpu = probe:cpu(0)
    assert.is_true(cpu:msr(MSR_DEADLINE) ~= 0)
    local t, c = probe:clock(), cpu:msr(MSR_TSC)
    lunik.sleep(0.2)
    probe:pause()
    local hz = (cpu:msr(MSR_TSC) - c) / (probe:clock() - t) * 1e9
    check_timer(machine(math.floor(math.min(hz * 0.8, 0x7fffffff))), math.min(0.8, 0x7fffffff / hz))
  end)

  it("ticks of the PIT do not pile up", function()
    -- PIC: IRQ 0 is vector 8; channel 0 in mode 2 at 100 Hz; the handler counts, reads the PM timer
    local handler = "\x66\x50\x52" .. read_pm
      .. real.bytes "66 a3 10 07 66 ff 06 00 07 b0 20 e6 20 5a 66 58 cf"
    local m = real.machine("\xfa" .. real.vector(8)
      .. real.bytes "b0 11 e6 20 b0 08 e6 21 b0 04 e6 21 b0 01 e6 21 b0 fe e6 21"
      .. real.bytes "b0 34 e6 43 b0 9c e6 40 b0 2e e6 40 fb f4 eb fd", handler)
    m:start()
    real.changed(m, 0x700, 4, 0)
    m:pause()
    local ticks, pm = m:load(0x700, 4), m:load(0x710, 4)
    lunik.sleep(2)
    assert.equal(ticks, m:load(0x700, 4))
    m:resume()
    repeat
      lunik.sleep(0.05)
    until pm_seconds(pm, m:load(0x710, 4)) > 0.5
    m:pause()
    local seconds = pm_seconds(pm, m:load(0x710, 4))
    assert.is_true(m:load(0x700, 4) - ticks <= seconds * 100 + 5)
    assert.is_true(m:load(0x700, 4) > ticks + 1)
  end)

  it("a count on the PIT's channel 2 is not lost", function()
    -- gate on; mode 0, 65535: 55 ms; PM timer to 704, flag at 708; when OUT is high it goes to 710
    local m = real.machine(real.bytes "fa e4 61 24 fd 0c 01 e6 61"
      .. real.bytes "b0 b0 e6 43 b0 ff e6 42 b0 ff e6 42"
      .. read_pm .. real.bytes "66 a3 04 07 c6 06 08 07 01 e4 61 a8 20 74 fa" .. read_pm
      .. real.bytes "66 a3 10 07 c6 06 00 07 01 f3 90 eb fc")
    m:start()
    real.changed(m, 0x708, 1, 0)
    m:pause()
    lunik.sleep(0.2)
    m:resume()
    real.changed(m, 0x700, 1, 0)
    assert.is_true(pm_seconds(m:load(0x704, 4), m:load(0x710, 4)) >= 0.053)
  end)
end)

describe("the TSC of a stopped machine", function()
  local LOOP = "\xf3\x90\xeb\xfc"

  local function started()
    local m = real.machine(LOOP, nil, { cpus = 2 })
    m:start()
    return m
  end

  local function stands_still(cpu)
    local value = cpu:msr(MSR_TSC)
    lunik.sleep(0.01)
    assert.equal(value, cpu:msr(MSR_TSC))
    return value
  end

  it("stands still", function()
    local m = started()
    m:pause()
    local value = stands_still(m:cpu(0))
    m:resume()
    assert.is_true(m:cpu(0):msr(MSR_TSC) > value)
  end)

  it("stands still after a crash", function()
    local m = real.machine(real.bytes "0f 01 1e 00 07 cc") -- lidt [700], which is zero; int3
    m:start()
    m:wait("crashed", { timeout = 20 })
    stands_still(m:cpu(0))
  end)

  it("can be changed, and goes on from there", function()
    local m = started()
    m:pause()
    m:cpu(0):set_msr(MSR_TSC, 1 << 50)
    assert.equal(1 << 50, stands_still(m:cpu(0)))
    m:resume()
    local value = m:cpu(0):msr(MSR_TSC)
    assert.is_true(value > 1 << 50 and value < 1 << 51)
  end)

  it("is zero after a reset, on every vCPU", function()
    local m = started()
    m:pause()
    m:reset()
    for _, cpu in ipairs(m:cpus()) do assert.equal(0, stands_still(cpu)) end
  end)
end)
