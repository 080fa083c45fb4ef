-- The state of devices as strings: object:save(), object:load().
local lunik = require "lunik"

local function pc()
  return lunik.machine { board = "pc", accel = "none", memory = "64M" }
end

local function refused(code, words, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal(code, err.code)
  assert.truthy(err.message:find(words, 1, true), err.message)
end

describe("the state of a device", function()
  local m, rtc

  before_each(function()
    m = pc()
    rtc = m:object "rtc"
    m:outb(0x70, 0x2f)
    m:outb(0x71, 7)
  end)

  after_each(function() m:close() end)

  it("comes back", function()
    local saved = rtc:save()
    m:outb(0x71, 0)
    rtc:load(saved)
    assert.equal(7, m:inb(0x71))
  end)

  it("goes to another machine", function()
    local other <close> = pc()
    other:object "rtc":load(rtc:save())
    other:outb(0x70, 0x2f)
    assert.equal(7, other:inb(0x71))
  end)

  it("is checked before anything changes", function()
    local saved = rtc:save()
    m:outb(0x71, 9)
    for length = 0, #saved - 1 do
      local ok, err = pcall(rtc.load, rtc, saved:sub(1, length))
      assert.is_false(ok)
      assert.equal("invalid", err.code)
    end
    refused("invalid", "it is of the type 'i8042' (want 'mc146818')", rtc.load, rtc,
      m:object "i8042":save())
    refused("invalid", "load: state: is missing (want a string)", rtc.load, rtc)
    assert.equal(9, m:inb(0x71))
  end)

  it("is there while the machine does not run", function()
    local saved = rtc:save()
    m:start()
    refused("state", "machine 'pc' is running", rtc.save, rtc)
    refused("state", "machine 'pc' is running", rtc.load, rtc, saved)
    m:pause()
    rtc:load(saved)
  end)

  it("is missing of types without a table", function()
    lunik.device { name = "stateless" }
    local device = m:device_add("stateless", { id = "d" })
    refused("unsupported", "its type has no state table", device.save, device)
    m:device_del "d"
    refused("gone", "device 'd' is gone", device.save, device)
  end)
end)
