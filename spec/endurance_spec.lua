-- The same again and again: what a process holds must not grow. Full numbers: make endurance.
--   PLUGS=n     DIMMs that come and go in a running guest
--   MACHINES=n  machines made and closed one after the other
--   AT_ONCE=n   machines that run at the same time
-- Runs alone: it counts what the whole machine holds.
local command = require "spec.support.command"
local growth = require "spec.support.growth"
local heap = require "faults.heap"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local function knob(name, usual, quick)
  return tonumber(os.getenv(name)) or os.getenv "LUNIK_QUICK" and quick or usual
end

local PLUGS = knob("PLUGS", 100, 20)
local MACHINES = knob("MACHINES", 40, 8)
local AT_ONCE = knob("AT_ONCE", 10, 4)
local TIMEOUT = small.TIMEOUT
local OST_STATUS, EVENTS = 0xa08, 20000 -- the port of memory hotplug that makes an event each time

local backends = {
  { "memory-backend-ram", {} },
  { "memory-backend-memfd", { share = true } },
  { "memory-backend-file", { share = true, mem_path = command.memory_folder } },
}

describe("endurance:", function()
  after_each(machines.close_all)

  it(("%d plugs without a guest"):format(PLUGS), function()
    local m = machines.pc {}
    growth.none(PLUGS, function()
      m:object_add("memory-backend-ram", { id = "mem", size = "2M" })
      m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
      m:wait("acpi-ost", { source = 1, status = 0, timeout = TIMEOUT })
      m:device_del("dimm"):wait { timeout = TIMEOUT }
      m:object_del "mem"
    end)
  end)

  if small.unavailable() then
    return it("needs KVM", function() pending(small.unavailable()) end)
  end

  it(("%d DIMMs come and go in a running guest"):format(PLUGS), function()
    local m = small.machine { cpus = 2 }
    small.start(m)
    local objects = #m:objects()
    local view = m:mtree { flat = true }
    growth.none(PLUGS, function(i)
      local backend = backends[i % #backends + 1]
      local props = { id = "mem", size = "2M" }
      for name, value in pairs(backend[2]) do props[name] = value end
      m:object_add(backend[1], props)
      m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
      m:wait("acpi-ost", { source = 1, status = 0, timeout = TIMEOUT })
      m:device_del("dimm"):wait { timeout = TIMEOUT }
      m:object_del "mem"
      m:console():read()
    end)
    assert.equal(objects, #m:objects())
    assert.equal(view, m:mtree { flat = true })
    small.run(m, "time") -- after which it has said everything about the last one
    assert.equal("", (small.run(m, "slots")))
  end)

  -- It can't run ahead of the loop, nor while a script is busy: its device wants the lock.
  it("a guest that floods the script with events does not fill the host's memory", function()
    local m = small.machine { cpus = 2 }
    small.start(m)
    local count, most = 0, 0
    local before = heap()
    m:on("acpi-ost", function()
      count = count + 1
      if count == 100 then os.execute "sleep 0.5" end
      if count % 100 == 0 then most = math.max(most, heap() - before) end
    end)
    small.run(m, ("outloop 0x%x 0 %d"):format(OST_STATUS, EVENTS))
    assert.is_true(count > EVENTS // 2, count .. " events")
    assert.is_true(most < 4 << 20, most .. " bytes were allocated")
  end)

  it(("%d machines one after the other"):format(MACHINES), function()
    growth.none(MACHINES, function()
      local m <close> = small.machine { cpus = 2, memory = "32M" }
      m:start()
    end)
    assert.same({}, lunik.machines())
  end)

  it(("%d machines at once"):format(AT_ONCE), function()
    growth.none(4, function()
      local list = {}
      for i = 1, AT_ONCE do
        list[i] = small.machine { name = "m" .. i, memory = "16M", maxmem = "1G" }
        list[i]:start()
      end
      for _, m in ipairs(list) do
        m:console():expect("guest: ready\r\n", { timeout = TIMEOUT * AT_ONCE })
      end
      for _, m in ipairs(list) do assert.matches("time", select(2, small.run(m, "time"))) end
      for _, m in ipairs(list) do m:close() end
    end)
  end)
end)
