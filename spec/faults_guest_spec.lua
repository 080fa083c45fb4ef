-- Each call into libc and libuv that can fail does so in turn, below what guests and the peers of
-- character devices cause. These can't be told of an error: the machine goes on, or it stops and an
-- event says why; nothing leaks, and the next time it works.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"
local steps = require "spec.support.fault_steps"
local walks = require "spec.support.faults"

-- Runs the loop until fn() or for some seconds, without anything that could fail.
local function until_true(fn, seconds)
  local deadline = lunik.now() + (seconds or small.TIMEOUT)
  while not fn() do
    if lunik.now() > deadline then return false end
    lunik.run "nowait"
  end
  return true
end

-- What is told about a machine.
local function listen(m)
  local told = {}
  m:on("*", function(ev) told[ev.name] = true end)
  return setmetatable(told, { __index = {
    forget = function() for name in pairs(told) do told[name] = nil end end,
    any = function(names)
      for _, name in ipairs(names) do
        if told[name] then return true end
      end
      return false
    end,
  } })
end

-- What a guest does to reset or to end its machine: by its console, or by its ports.
local RESET_PORT = { "reset port", "reset", function(m)
  m:outb(0xcf9, 2)
  m:outb(0xcf9, 6)
end }
local OTHER_RESETS = {
  { "keyboard controller", "reset 1", function(m) m:outb(0x64, 0xfe) end },
  { "fast reset", "reset 2", function(m)
    m:outb(0x92, 0)
    m:outb(0x92, 1)
  end },
}
local POWER_OFF = { "power off", "poweroff", function(m) m:outw(0x604, 0x2000) end, all = true }

for _, accel in ipairs { "none", "kvm" } do
  describe("faults, accel " .. accel .. ":", function()
    if accel == "kvm" and small.unavailable() then
      return it("needs KVM", function() pending(small.unavailable()) end)
    end

    after_each(machines.close_all)

    local function start(m)
      m:console():read()
      m:start()
      if accel == "kvm" then small.ready(m) end
    end

    -- A step in which the guest does something that makes events of those names.
    local function guest(m, told, how, names, undo)
      return { name = how[1], all = how.all, run = function()
        told.forget()
        if accel == "kvm" then
          m:console():write(how[2] .. "\n")
        else
          how[3](m)
        end
        assert(until_true(function() return told.any(names) end), "nothing has happened")
      end, undo = undo }
    end

    it("the guest resets the machine", function()
      local m = steps.running(accel)
      local told = listen(m)
      local list = {}
      for _, how in ipairs { RESET_PORT, table.unpack(accel == "none" and OTHER_RESETS or {}) } do
        list[#list + 1] = guest(m, told, how, { "reset", "shutdown", "error" }, function()
          lunik.sleep(0)
          if m.state == "running" then
            if accel == "kvm" then small.ready(m) end
          else
            assert(told.error, how[1] .. " has failed, and nobody was told")
            assert(m.state == "shutdown", m.state)
            start(m)
          end
        end)
      end
      walks.assert(steps.on(m, list))
    end)

    it("the guest powers the machine off", function()
      local m = steps.running(accel)
      local told = listen(m)
      walks.assert(steps.on(m, { guest(m, told, POWER_OFF, { "shutdown", "error" }, function()
        lunik.sleep(0)
        assert(m.state == "shutdown", m.state)
        local err = machines.raised(m.wait, m, "acpi-ost", { timeout = small.TIMEOUT })
        assert(err.code ~= "timeout", "who waits is not told of the end")
        assert.equal(0, m:wait("shutdown").code)
        start(m)
      end) }))
    end)
  end)
end
