-- The board and the device of this project.
local lunik = require "lunik"
require "@MODULE@"

describe("the board", function()
  for _, accel in ipairs { "none", "kvm" } do
    it("greets, accel = " .. accel, function()
      if accel == "kvm" and not io.open "/dev/kvm" then return pending "no /dev/kvm" end
      local m <close> = lunik.machine {
        board = "./boards/@NAME@.lua", accel = accel, greeting = "Good morning", serial = "buffer",
      }
      m:start()
      m:console():expect("Good morning", { timeout = 10 })
      m:wait("shutdown", { timeout = 10 })
    end)
  end
end)

describe("the device", function()
  it("counts down and interrupts", function()
    local m <close> = lunik.machine {
      board = "micro", accel = "none", memory = "1M", clock = "manual",
    }
    m:device_add("@MODULE@", { id = "a" })
    m:start()
    m:outl(0x600, 10)
    m:advance(4000)
    assert.equal(6, m:inl(0x600))
    m:advance(6000)
    assert.same({ 1, 1 }, { m:inl(0x604), m:irq_count(10) })
    m:outl(0x604, 0)
    assert.is_false(m:irq_level(10))
  end)
end)
