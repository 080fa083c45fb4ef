-- A guest that runs suspends itself to memory and goes on: started directly, and by SeaBIOS.
local lunik = require "lunik"
local small = require "spec.support.small_guest"

local TIMEOUT = small.TIMEOUT
local BOOT_TIMEOUT = 100 -- seconds that firmware may need to load the kernel
local SEABIOS = "/usr/share/seabios/bios-256k.bin"

local starts = {
  ["the small guest"] = {},
  ["the small guest, with split interrupt controllers,"] = { irqchip = "split" },
  ["a guest of SeaBIOS"] = {
    firmware = SEABIOS, kernel = small.image "small.bzimage",
  },
}

for name, options in pairs(starts) do
  describe(name .. " that sleeps", function()
    local why = small.unavailable()
      or options.firmware and not io.open(SEABIOS) and "there is no SeaBIOS"
    if why then return it("wakes up", function() pending(why) end) end

    local m

    setup(function()
      m = small.machine(options)
      small.start(m, options.firmware and BOOT_TIMEOUT)
    end)
    teardown(function() if m then m:close() end end)

    local function sleep()
      m:console():write "suspend\n"
      m:wait("suspend", { timeout = TIMEOUT })
      assert.equal("suspended", m.state)
    end

    -- What the guest says once it is awake.
    local function awake(number, status)
      local text = small.answer(m)
      assert.matches(("guest: awake, sleep %d, status 0x%x"):format(number, status), text, 1, true)
      assert.equal("running", m.state)
    end

    it("goes on where it was", function()
      small.run(m, "touch 0x2000000 16 7")
      local before = small.run(m, "hash 0x100000 0x1000")
      sleep()
      m:wakeup()
      awake(1, 0x8100)
      assert.equal(before, (small.run(m, "hash 0x100000 0x1000")))
      small.run(m, "verify 0x2000000 16 7")
    end)

    it("does so again, by the power button", function()
      sleep()
      m:powerdown()
      awake(2, 0x8100)
    end)

    it("finds memory that came meanwhile", function()
      sleep()
      m:object_add("memory-backend-ram", { id = "mem", size = "128M" })
      m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
      m:wakeup()
      m:wait("acpi-ost", { device = "dimm", source = 1, status = 0, timeout = TIMEOUT })
      awake(3, 0x8100)
    end)

    it("sleeps on while the machine is paused and resumed", function()
      sleep()
      m:pause()
      m:resume()
      assert.equal("suspended", m.state)
      m:wakeup()
      awake(4, 0x8100)
    end)

    it("starts anew when the machine is reset", function()
      sleep()
      m:reset()
      small.ready(m)
      assert.equal("running", m.state)
      small.run(m, "map")
    end)

    it("can be closed", function()
      sleep()
      m:close()
      assert.equal("closed", m.state)
      lunik.run "nowait"
    end)
  end)
end
