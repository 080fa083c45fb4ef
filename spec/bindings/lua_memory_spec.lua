-- Lua runs out of memory at each of its requests in turn, below the calls of a script: nothing
-- crashes or leaks, the lock is not lost, and afterwards the same call works. FULL=1 refuses every
-- request, else one in a few.
local lunik = require "lunik"
local faults = require "faults"
local machines = require "spec.support.machines"
local process = require "spec.support.process"
local walks = require "spec.support.faults"
local small = require "spec.support.small_guest"

local FULL = os.getenv "FULL"
local TRACKED = 1 << 40 -- beyond every point: memory is tracked, no call fails

-- Runs step() with each request refused in turn and undo() after each; both have to work at last.
local function walk(step, undo, stride)
  step()
  undo()
  local held = process.holds()
  local n, refused = 1, 0
  faults.forget()
  repeat
    local ok, err = pcall(function()
      faults.arm { at = TRACKED + n } -- fails nothing
      faults.lua_arm(n) -- in here: the call of pcall also takes memory
      step()
    end)
    local count = faults.lua_disarm()
    faults.disarm()
    if n <= count then
      refused = refused + 1
      assert(ok or tostring(err):find "memory", tostring(err))
    end
    undo(ok)
    local done = n > count
    n = n + (FULL and 1 or stride or 1)
  until done
  assert(refused > 0)
  step() -- what is kept until the next time is replaced
  undo(true)
  assert.is_nil(process.left_behind(held))
  assert.is_nil(walks.leaked())
end

local function is_there(m, id) return m:object(id) ~= nil end

describe("without memory for Lua", function()
  after_each(machines.close_all)

  for _, accel in ipairs { "none", "kvm" } do
    it("a machine is made and closed, accel " .. accel, function()
      if accel == "kvm" and small.unavailable() then return pending(small.unavailable()) end
      walk(function()
        local m <close> = lunik.machine { accel = accel, memory = "16M", maxmem = "1G", slots = 4,
          serial = "buffer", kernel = small.image "small.elf", cpus = 2,
          numa = { { memory = "8M", cpus = { 0 } }, { memory = "8M", cpus = { 1 } } } }
        m:start()
      end, machines.close_all, accel == "kvm" and 101 or 13)
    end)
  end

  it("objects come and go", function()
    local m = machines.pc {}
    walk(function()
      m:object_add("memory-backend-ram", { id = "mem1", size = "4M" })
      m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
      m:device_del "dimm1"
    end, function()
      if is_there(m, "dimm1") then
        m:device_del "dimm1"
        m:reset()
      end
      if is_there(m, "mem1") then m:object_del "mem1" end
    end)
  end)

  it("regions, listeners and transactions", function()
    local m = machines.none()
    m:object_add("memory-backend-ram", { id = "mem1", size = "4M" })
    local root, region, listener = m.memory.root, nil, nil
    walk(function()
      region = m:region { kind = "io", name = "io", size = "4K", read = function() return 0 end,
        write = function() end }
      listener = m:listen { region_add = function(s) assert(s.cause) end,
        region_del = function() end }
      m:transaction(function()
        root:add(region, 0x80000000)
        root:add(m:region { kind = "ram", memdev = "mem1" }, 0x90000000)
      end)
      region:ioeventfd { offset = 0, size = 4, match = 1, on = function() end }:close()
      m:store(0x80000000, 4, 1)
      region.offset = 0x81000000
    end, function()
      if listener then listener:remove() end
      listener, region = nil, nil
      for _, child in ipairs(root.children) do
        if child.offset >= 0x80000000 then root:del(child) end
      end
    end)
  end)

  it("looking and logging", function()
    local m = machines.pc {}
    local dirty
    walk(function()
      m:mtree { flat = true }
      m:why(0x1000)
      m:read(0x1000, 5000)
      m:memory_devices()
      dirty = m:dirty { client = "user" }
      dirty:start()
      dirty:sync()
      for _ in dirty:ranges() do end
      dirty:stop()
      m:search("abc", { from = 0, length = 4096 })
      m:fwmap()
      m:acpi_table "DSDT"
      lunik.type "pc-dimm"
    end, function(ok)
      if dirty and not ok then pcall(dirty.stop, dirty) end
      dirty = nil
    end, 3)
  end)

  it("events, timers, handlers and coroutines", function()
    local m = machines.pc { clock = "manual" }
    walk(function()
      local seen = 0
      local handler = m:on("spec", function(ev) seen = seen + ev.n end)
      m:emit("spec", { n = 1, text = "text" })
      local timer = m:timer(function() end)
      timer:set(10)
      m:advance(20)
      local task = lunik.spawn(function() lunik.sleep(0) end)
      task:wait { timeout = 60 } -- longer than what is left behind is waited for
      handler:off()
    end, function()
      lunik.sleep(0)
      m:advance(20) -- a timer that was set has fired
    end)
  end)

  it("a device in Lua", function()
    local m = machines.none()
    lunik.device { name = "spec-memory", ports = { base = 0x500, size = 4,
      read = function() return 1 end } }
    walk(function()
      m:device_add("spec-memory", { id = "d" })
      m:inb(0x500)
      m:device_del "d"
    end, function()
      if is_there(m, "d") then m:device_del "d" end
    end, 3)
  end)
end)
