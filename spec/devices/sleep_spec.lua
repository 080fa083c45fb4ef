-- Sleep states: how a guest gets into them, what goes on meanwhile, and what wakes it.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local SECOND = 1000000000
local STATUS, ENABLE, CONTROL = 0x600, 0x602, 0x604
local TIMER, POWER_BUTTON, RTC, WAKE = 1 << 0, 1 << 8, 1 << 10, 1 << 15
local SLEEP = 1 << 13
local GPE_STATUS = 0xafe0
local FACS = 0xe0040
local VECTOR, X_VECTOR = FACS + 12, FACS + 24
local EVENTS = {
  "started", "suspend", "wakeup", "suspend-disk", "shutdown", "reset", "paused", "resumed",
  "powerdown", "error",
}

describe("a guest that", function()
  local m, events

  local function new(options)
    local all = { accel = "none", memory = "16M", clock = "manual" }
    for key, value in pairs(options or {}) do all[key] = value or nil end -- false: none
    m = lunik.machine(all)
    events = m:watch(EVENTS)
    return m
  end

  -- The events since the last call.
  local function names()
    local list = {}
    for _ = 1, 3 do lunik.run "nowait" end
    for ev in function() return events:poll() end do
      list[#list + 1] = ev.reason and ("%s %s"):format(ev.name, ev.reason) or ev.name
    end
    return list
  end

  local function sleep(type) m:outw(CONTROL, SLEEP | (type or 1) << 10) end

  -- A machine whose guest sleeps.
  local function asleep(options)
    new(options):start()
    sleep()
    assert.equal("suspended", m.state)
    names()
    return m
  end

  local function refused(words, fn, ...)
    local err = machines.raised(fn, ...)
    assert.same({ "state", words }, { err.code, err.message })
  end

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  it("asks for S3 suspends its machine, whose clock goes on", function()
    new():start()
    sleep()
    assert.equal("suspended", m.state)
    assert.same({ "started", "suspend" }, names())
    local fired = 0
    m:timer(function() fired = fired + 1 end):set(m:clock() + SECOND)
    m:advance(2 * SECOND)
    assert.equal(1, fired)
    assert.equal("suspended", m.state)
    assert.equal("machine 'pc' (suspended)", tostring(m))
  end)

  it("is woken finds devices reset, its memory, and a wake status", function()
    asleep()
    m:store(0x100000, 4, 0x12345678)
    m:store(0xe0000, 4, 0x87654321) -- ACPI tables, which a reset writes again
    m:outl(0xcf8, 0x80000000)
    m:wakeup()
    assert.equal("running", m.state)
    assert.same({ "wakeup host" }, names())
    assert.equal(WAKE | POWER_BUTTON, m:inw(STATUS))
    assert.equal(0, m:inw(CONTROL))
    assert.equal(0, m:inl(0xcf8))
    assert.equal(0x12345678, m:load(0x100000, 4))
    assert.equal(0x87654321, m:load(0xe0000, 4))
    m:reset()
    assert.equal("RSD PTR ", m.memory:read(0xe0000, 8))
  end)

  it("does not sleep can't be woken", function()
    local words = "Unable to wake up: guest is not in suspended state (machine 'pc' is %s)"
    new()
    refused(words:format "created", m.wakeup, m)
    m:start()
    refused(words:format "running", m.wakeup, m)
    m:pause()
    refused(words:format "paused", m.wakeup, m)
    m:shutdown()
    refused(words:format "shutdown", m.wakeup, m)
  end)

  it("sleeps again and again", function()
    new():start()
    for i = 1, 20 do
      sleep()
      m:wakeup()
      assert.equal("running", m.state, i)
    end
  end)

  it("asks for a state that there is not gets the wake status at once", function()
    new { disable_s3 = true, disable_s4 = true }:start()
    for type = 1, 7 do
      m:outw(STATUS, WAKE)
      sleep(type)
      assert.same({ "running", WAKE }, { m.state, m:inw(STATUS) }, type)
    end
    sleep(0)
    assert.equal("shutdown", m.state)
  end)

  it("asks for S4 has written its memory, so the machine shuts down", function()
    for _, value in ipairs { 2, 5 } do
      new { s4_val = value ~= 2 and value or nil }:start()
      names()
      sleep(7 - value)
      assert.equal("running", m.state)
      sleep(value)
      assert.same({ "suspend-disk", "shutdown guest-shutdown" }, names())
      assert.same({ "shutdown", 0 }, { m.state, m.exit_code })
      m:close()
    end
    machines.raised(new, { s4_val = 1 })
  end)

  describe("sleeps wakes up", function()
    it("by the power button", function()
      asleep()
      m:powerdown()
      assert.same({ "powerdown", "wakeup power-button" }, names())
      assert.equal(WAKE | POWER_BUTTON, m:inw(STATUS))
    end)

    -- The alarm goes off at every full second.
    local function set_alarm()
      for _, index in ipairs { 1, 3, 5 } do
        m:outb(0x70, index)
        m:outb(0x71, 0xc0)
      end
      m:outb(0x70, 0x0b)
      m:outb(0x71, 0x22) -- alarm interrupt, 24 hours
    end

    it("by the clock's alarm, if that is enabled", function()
      for _, enabled in ipairs { false, true } do
        new():start()
        names()
        set_alarm()
        m:outw(ENABLE, enabled and RTC or TIMER)
        sleep()
        m:advance(SECOND)
        assert.same(enabled and { "suspend", "wakeup rtc" } or { "suspend" }, names())
        assert.equal(enabled and "running" or "suspended", m.state)
        if enabled then assert.equal(WAKE | RTC, m:inw(STATUS)) end
        m:close()
      end
    end)

    it("by an alarm that has come before", function()
      new():start()
      set_alarm()
      m:outw(ENABLE, RTC)
      m:advance(SECOND)
      assert.equal("running", m.state)
      sleep()
      assert.same({ "started", "suspend", "wakeup rtc" }, names())
      assert.equal("running", m.state)
    end)

    it("by the host's clock after a pause", function()
      asleep { rtc = "host", clock = false }
      set_alarm()
      m:outw(ENABLE, RTC)
      m:pause()
      lunik.sleep(1.1)
      assert.equal("paused", m.state)
      m:resume()
      assert.equal("rtc", m:wait("wakeup", { timeout = small.TIMEOUT }).reason)
    end)

    it("by the PM timer, if that is enabled", function()
      new():start()
      m:outb(0xb2, 0xf1) -- SCI_EN
      m:outw(ENABLE, TIMER)
      m:outw(CONTROL, SLEEP | 1 << 10 | 1)
      assert.equal("suspended", m.state)
      m:advance(3 * SECOND)
      assert.same({ "started", "suspend", "wakeup pm-timer" }, names())
      assert.equal(WAKE | TIMER, m:inw(STATUS))
    end)

    it("while a script waits in the loop", function()
      new { clock = false }:start()
      set_alarm()
      m:outw(ENABLE, RTC)
      sleep()
      m:once("wakeup", function() m:shutdown(3) end)
      lunik.run()
      assert.same({ "shutdown", 3 }, { m.state, m.exit_code })
    end)
  end)

  describe("sleeps, when the machine", function()
    it("is reset, starts anew", function()
      asleep()
      m:outb(0x70, 0x0f)
      assert.equal(0xfe, m:inb(0x71)) -- what firmware looks at
      m:reset()
      assert.same({ "reset" }, names())
      assert.equal("running", m.state)
      assert.equal(0, m:inw(STATUS))
      m:outb(0x70, 0x0f)
      assert.equal(0, m:inb(0x71))
    end)

    it("is paused and resumed, sleeps on", function()
      asleep()
      m:pause()
      assert.equal("paused", m.state)
      m:resume()
      assert.same({ "paused", "resumed" }, names())
      assert.equal("suspended", m.state)
      m:wakeup()
      assert.equal("running", m.state)
      m:pause()
      m:resume()
      assert.equal("running", m.state)
    end)

    it("is reset while it is paused, does not sleep any more", function()
      asleep()
      m:pause()
      m:reset()
      assert.equal("paused", m.state)
      m:resume()
      assert.equal("running", m.state)
    end)

    it("is started or resumed, sleeps on", function()
      asleep()
      refused("machine 'pc' can't be started: it is suspended", m.start, m)
      refused("machine 'pc' is suspended (want a paused one)", m.resume, m)
      assert.equal("suspended", m.state)
    end)

    it("is shut down or closed, has had its run", function()
      asleep()
      m:shutdown(4)
      assert.same({ "shutdown", 4 }, { m.state, m.exit_code })
      m:start()
      assert.equal("running", m.state)
      sleep()
      m:close()
      assert.equal("closed", m.state)
    end)

    it("loses its power button's press to nobody but the sleep", function()
      asleep()
      m:powerdown()
      m:powerdown()
      m:wakeup()
      assert.same({ "powerdown", "powerdown", "wakeup power-button" }, names())
    end)

    it("is woken in a handler, runs soon after", function()
      new():start()
      m:on("suspend", function() m:wakeup() end)
      sleep()
      assert.same({ "started", "suspend", "wakeup host" }, names())
      assert.equal("running", m.state)
    end)
  end)

  it("wakes up finds the chipset's shadow RAM as it has left it", function()
    new():start()
    local function pam(value)
      m:outl(0xcf8, 0x80000058)
      if value then m:outb(0xcfd, value) end
      return m:inb(0xcfd)
    end
    local before = pam()
    pam(0x10)
    sleep()
    m:wakeup()
    assert.equal(0x10, pam())
    m:reset()
    assert.equal(before, pam())
  end)

  describe("sleeps while devices come and go", function()
    local function gpe(number) return m:inw(GPE_STATUS) >> number & 1 end

    it("hears of PCI devices when it is awake", function()
      asleep { devices = { { "edu", { id = "old", bus = "i440fx", addr = "4" } } } }
      m:device_add("edu", { id = "new", bus = "i440fx", addr = "5" })
      local removal = m:device_del "old"
      m:wakeup()
      assert.equal("requested", removal.state)
      assert.equal(1, gpe(1))
      m:outl(0xae10, 0)
      assert.same({ 1 << 5, 1 << 4 }, { m:inl(0xae00), m:inl(0xae04) })
      m:outl(0xae08, 1 << 4)
      assert.equal("ejected", removal.state)
      sleep()
      m:device_del "new"
      m:reset()
      assert.is_nil(m:object "new")
      assert.equal(0, gpe(1))
    end)

    it("hears of memory when it is awake", function()
      asleep { maxmem = "1G", slots = 2 }
      m:object_add("memory-backend-ram", { id = "mem", size = "128M" })
      m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
      m:wakeup()
      assert.equal(1, gpe(3))
      m:outl(0xa00, 0)
      assert.equal(3, m:inb(0xa14) & 3) -- enabled, inserting
    end)

    it("hears of persistent memory when it is awake", function()
      local file <close> = command.file ""
      asleep { maxmem = "1G", slots = 2, nvdimm = true }
      m:object_add("memory-backend-file",
        { id = "mem", size = "4M", mem_path = tostring(file), share = true })
      m:device_add("nvdimm", { id = "nv", memdev = "mem" })
      m:wakeup()
      assert.same({ 0, 1 }, { gpe(3), gpe(4) })
      m:outb(GPE_STATUS, 1 << 4)
      assert.equal(0, gpe(4))
    end)

    it("hears of CPUs when it is awake", function()
      new { maxcpus = 2 }:start()
      m:outl(0xaf00, 0) -- switches to the registers for 32-bit selectors
      sleep()
      m:device_add("cpu", { id = "cpu" })
      m:wakeup()
      assert.equal(1, gpe(2))
      m:outl(0xaf00, 1)
      assert.equal(3, m:inb(0xaf04) & 3)
    end)

    it("hears nothing if there was nothing", function()
      asleep { maxmem = "1G", slots = 2, maxcpus = 2 }
      m:wakeup()
      assert.equal(0, m:inw(GPE_STATUS))
    end)
  end)

  describe("was booted directly", function()
    local words = "machine 'pc' can't wake up: %s of the FACS at 0xe0040 is 0x%x (want %s)"

    local function boot()
      local why = not io.open(small.image "small.elf") and "there is no small guest"
      if why then return pending(why) end
      asleep { kernel = small.image "small.elf" }
      assert.equal("FACS", m.memory:read(FACS, 4))
      return true
    end

    it("sleeps on without a waking vector", function()
      if not boot() then return end
      refused(words:format("Firmware_Waking_Vector", 0, "one that the guest has set"), m.wakeup, m)
      assert.equal("suspended", m.state)
      m:powerdown()
      assert.equal("powerdown", events:wait { timeout = 5 }.name)
      local ev = events:wait { timeout = 5 }
      assert.same({ "error", "wakeup" }, { ev.name, ev.source })
      assert.equal("suspended", m.state)
      m:store(VECTOR, 4, 0x9000)
      m:wakeup()
      assert.equal("running", m.state)
      assert.equal(0x9000, m:load(VECTOR, 4))
      m:reset()
      assert.equal(0, m:load(VECTOR, 4))
    end)

    it("sleeps on with a vector that can't be entered", function()
      if not boot() then return end
      m:store(VECTOR, 4, 0x100000)
      refused(words:format("Firmware_Waking_Vector", 0x100000, "an address below 1 MiB"), m.wakeup,
        m)
      m:store(X_VECTOR, 8, 1 << 32)
      refused(words:format("X_Firmware_Waking_Vector", 1 << 32, "an address below 4 GiB"),
        m.wakeup, m)
      m:store(X_VECTOR, 8, 0x200000)
      m:wakeup()
      assert.equal("running", m.state)
    end)
  end)
end)

describe("the tables of a machine", function()
  local function described(options)
    local all = { accel = "none", memory = "16M", fw_cfg = true }
    for key, value in pairs(options or {}) do all[key] = value end
    local m <close> = lunik.machine(all)
    local dsdt, states = m:acpi_table "DSDT", m:fw_cfg "etc/system-states"
    local found = {}
    for state in dsdt:gmatch "\x08\x5c?(_S[1-5])_\x12" do found[#found + 1] = state end
    table.sort(found)
    return table.concat(found, " "), states, dsdt
  end

  it("have the sleep states that there are", function()
    local found, states, dsdt = described()
    assert.same({ "_S3 _S4 _S5", "\x80\0\0\x81\x82\x80" }, { found, states })
    assert.is_truthy(dsdt:find("_S3_\x12\x06\x04\x01\x01\0\0", 1, true))
    assert.is_truthy(dsdt:find("_S4_\x12\x08\x04\x0a\x02\x0a\x02\0\0", 1, true))
    found, states, dsdt = described { s4_val = 5 }
    assert.same({ "_S3 _S4 _S5", "\x80\0\0\x81\x85\x80" }, { found, states })
    assert.is_truthy(dsdt:find("_S4_\x12\x08\x04\x0a\x05\x0a\x05\0\0", 1, true))
    found, states = described { disable_s3 = true }
    assert.same({ "_S4 _S5", "\x80\0\0\x01\x82\x80" }, { found, states })
    found, states = described { disable_s4 = true }
    assert.same({ "_S3 _S5", "\x80\0\0\x81\x02\x80" }, { found, states })
    found, states = described { disable_s3 = true, disable_s4 = true }
    assert.same({ "_S5", "\x80\0\0\x01\x02\x80" }, { found, states })
  end)

  it("say that the clock's wake status is in the fixed registers", function()
    local m <close> = lunik.machine { accel = "none", memory = "16M" }
    local flags = ("<I4"):unpack(m:acpi_table "FACP", 113)
    assert.equal(0, flags >> 6 & 1)
  end)
end)
