-- Memory hotplug, one scenario at a time, each with two guests: the scripted one, on a machine
-- without vCPUs, and the small one on KVM.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local testing = require "lunik.testing"

local TIMEOUT = 20 -- seconds for what takes milliseconds on a quiet machine
local CYCLES = tonumber(os.getenv "CYCLES") or os.getenv "LUNIK_QUICK" and 20 or 100
local SIZE, SLOTS = "16M", 4

local EVENTS = {
  "acpi-ost", "device-added", "device-deleted", "device-unplug-request",
  "device-unplug-guest-error",
}

-- ---- what scenarios do -------------------------------------------------------------------------

local Common = {}

function Common:backend(id)
  return self.m:object_add("memory-backend-ram", { id = id .. "-mem", size = SIZE })
end

-- Plugs a DIMM with a backend of its own.
function Common:plug(id, props)
  self:backend(id)
  local all = { id = id, memdev = id .. "-mem" }
  for name, value in pairs(props or {}) do all[name] = value end
  return self.m:device_add("pc-dimm", all)
end

-- The next events, in this order and no other between them: "name device[ source status]".
function Common:expect(...)
  for i, want in ipairs { ... } do
    local ev = self.events:wait { timeout = TIMEOUT }
    local got = ("%s %s"):format(ev.name, ev.device)
    if ev.source then got = ("%s %d %d"):format(got, ev.source, ev.status) end
    assert.equal(want, got, ("event %d"):format(i))
  end
end

function Common:plugged(id)
  self:expect("device-added " .. id, ("acpi-ost %s 1 0"):format(id))
end

function Common:unplugged(id)
  self:expect("device-unplug-request " .. id, ("acpi-ost %s 3 132"):format(id),
    "device-deleted " .. id)
end

function Common:kept(id)
  local status = self.status.eject
  self:expect(("acpi-ost %s 3 %d"):format(id, status),
    ("device-unplug-guest-error %s 3 %d"):format(id, status))
end

-- The machine lists these DIMMs (id -> slot), and the guest uses the memory of all of them.
function Common:check(dimms)
  local want, listed, used = {}, {}, {}
  for id, slot in pairs(dimms) do want[id] = slot end
  for _, dimm in ipairs(self.m:memory_devices()) do
    listed[dimm.data.id] = dimm.data.slot
    used[dimm.data.slot] = { address = dimm.data.addr, size = dimm.data.size }
  end
  assert.same(want, listed)
  assert.same(used, self.t.guest:memory())
end

-- Nothing has happened that a scenario has not seen.
function Common:quiet()
  lunik.run "nowait"
  local ev = self.events:poll()
  assert.is_nil(ev and ev.name)
end

local function code(want, fn, ...)
  local err = machines.raised(fn, ...)
  assert.equal(want, err.code, tostring(err))
  return err.message
end

-- The statuses with which guests refuse.
local STATUS = {
  scripted = { insert = 1, eject = 128 }, small = { insert = 1, eject = 0x82 },
}

-- g.t: the test, g.m: its machine. Options: cold (ids of DIMMs that are there before the guest),
-- deaf (answers nothing until it is told to listen), created (not started).
local function new(guest, options)
  local cold = {}
  for i, id in ipairs(options.cold or {}) do
    cold[i] = { id = id, backend = "ram", size = SIZE }
  end
  local t = testing.machine {
    guest = guest, memory = "64M", maxmem = "1G", slots = SLOTS, cold = cold, deaf = options.deaf,
    boot = false,
  }
  local g = setmetatable({ t = t, m = t.m, status = STATUS[guest] }, { __index = Common })
  g.answers_at_boot = guest == "scripted"
  g.events = g.m:watch(EVENTS)
  if not options.created then t:boot() end
  return g
end

-- ---- scenarios ---------------------------------------------------------------------------------

local orders = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } }

local scenarios = {
  { "takes a DIMM and gives it back", function(g)
    local dimm = g:plug "d"
    assert.is_true(dimm.hotplugged)
    g:plugged "d"
    g:check { d = 0 }
    local removal = g.m:device_del "d"
    assert.equal("requested", removal.state)
    removal:wait { timeout = TIMEOUT }
    g:unplugged "d"
    assert.equal("ejected", removal.state)
    assert.is_false(dimm.alive)
    g:check {}
  end },

  { "refuses a DIMM, which stays plugged and can go", function(g)
    g.t.guest:refuse { insert = true, eject = false }
    g:plug "d"
    g:expect("device-added d", "acpi-ost d 1 " .. g.status.insert)
    assert.same({}, g.t.guest:memory())
    assert.equal("d", g.m:memory_devices()[1].data.id)
    g.m:device_del("d"):wait { timeout = TIMEOUT }
    g:unplugged "d"
    g.t.guest:refuse { insert = false, eject = false }
    g.m:object_del "d-mem"
    g:plug "d"
    g:plugged "d"
    g:check { d = 0 }
  end },

  { "refuses a removal, then agrees", function(g)
    g:plug "d"
    g:plugged "d"
    g.t.guest:refuse { insert = false, eject = true }
    local removal = g.m:device_del "d"
    local message = code("busy", removal.wait, removal, { timeout = TIMEOUT })
    assert.matches(("the guest keeps it (_OST source 0x3, status 0x%x)"):format(g.status.eject),
      message, 1, true)
    g:expect "device-unplug-request d"
    g:kept "d"
    assert.equal("refused", removal.state)
    g:check { d = 0 }
    code("busy", g.m.object_del, g.m, "d-mem")
    g.t.guest:refuse { insert = false, eject = false }
    g.m:device_del("d"):wait { timeout = TIMEOUT }
    g:unplugged "d"
    g:check {}
    g.m:object_del "d-mem"
  end },

  { "takes several at once", function(g)
    for i = 0, SLOTS - 1 do g:plug("d" .. i) end
    for i = 0, SLOTS - 1 do g:expect("device-added d" .. i) end
    for i = 0, SLOTS - 1 do g:expect(("acpi-ost d%d 1 0"):format(i)) end
    g:check { d0 = 0, d1 = 1, d2 = 2, d3 = 3 }
    local removals = {}
    for i = 0, SLOTS - 1 do removals[i] = g.m:device_del("d" .. i) end
    for i = 0, SLOTS - 1 do removals[i]:wait { timeout = TIMEOUT } end
    for i = 0, SLOTS - 1 do g:expect("device-unplug-request d" .. i) end
    for i = 0, SLOTS - 1 do g:expect(("acpi-ost d%d 3 132"):format(i), "device-deleted d" .. i) end
    g:check {}
  end },

  { "takes and gives in the same moment", function(g)
    g:plug "a"
    g:plugged "a"
    g:plug "b"
    local removal = g.m:device_del "a"
    local both = g.m:device_del "b"
    removal:wait { timeout = TIMEOUT }
    both:wait { timeout = TIMEOUT }
    g:expect("device-added b", "device-unplug-request a", "device-unplug-request b",
      "acpi-ost a 3 132", "device-deleted a", "acpi-ost b 1 0", "acpi-ost b 3 132",
      "device-deleted b")
    g:check {}
  end },

  { "finds no room when all slots are full", function(g)
    for i = 0, SLOTS - 1 do
      g:plug("d" .. i)
      g:plugged("d" .. i)
    end
    g:backend "e"
    local map = g.m:mtree()
    local message = code("no-space", g.m.device_add, g.m, "pc-dimm", { id = "e", memdev = "e-mem" })
    assert.matches("no free slots available, all 4 are in use", message, 1, true)
    assert.equal(map, g.m:mtree())
    g:quiet()
    g.m:device_del("d2"):wait { timeout = TIMEOUT }
    g:unplugged "d2"
    g.m:device_add("pc-dimm", { id = "e", memdev = "e-mem" })
    g:plugged "e"
    g:check { d0 = 0, d1 = 1, e = 2, d3 = 3 }
  end },

  { "sees at boot what was there before, and gives it back", { cold = { "a", "b" } }, function(g)
    assert.is_false(g.m:object("a").hotplugged)
    if g.answers_at_boot then g:expect("acpi-ost a 1 0", "acpi-ost b 1 0") end
    g:check { a = 0, b = 1 }
    g.m:device_del("a"):wait { timeout = TIMEOUT }
    g:unplugged "a"
    g:check { b = 1 }
  end },

  { "sees what was plugged before the start", { created = true }, function(g)
    g:plug "a"
    g.m:device_del "a"
    g:expect("device-added a", "device-deleted a")
    g.m:object_del "a-mem"
    g:plug "a"
    g:expect "device-added a"
    g.t:boot()
    if g.answers_at_boot then g:expect "acpi-ost a 1 0" end
    assert.is_false(g.m:object("a").hotplugged)
    g:check { a = 0 }
  end },

  { "sees what was plugged while it was paused", function(g)
    g:plug "a"
    g:plugged "a"
    g.m:pause()
    g:plug "b"
    local removal = g.m:device_del "a"
    code("timeout", removal.wait, removal, { timeout = 0.05 })
    g:expect("device-added b", "device-unplug-request a")
    g:quiet()
    g.m:resume()
    removal:wait { timeout = TIMEOUT }
    g:expect("acpi-ost a 3 132", "device-deleted a", "acpi-ost b 1 0")
    g:check { b = 1 }
  end },

  { "may be asked twice", { deaf = true }, function(g)
    g:plug "d"
    local first, second = g.m:device_del "d", g.m:device_del "d"
    assert.same({ "requested", "requested" }, { first.state, second.state })
    g.t.guest:listen()
    first:wait { timeout = TIMEOUT }
    second:wait { timeout = TIMEOUT }
    assert.same({ "ejected", "ejected" }, { first.state, second.state })
    assert.equal("there is no device 'd'", code("not-found", g.m.device_del, g.m, "d"))
  end },

  { "gives up at a reset what it was asked for", { deaf = true, cold = { "a" } }, function(g)
    g:plug "b"
    local removal = g.m:device_del "a"
    g:expect("device-added b", "device-unplug-request a")
    g.m:reset()
    g:expect "device-deleted a"
    assert.equal("ejected", removal.state)
    assert.equal("ejected", removal:wait())
    g.t.guest:ready()
    g.t.guest:listen()
    if g.answers_at_boot then g:expect "acpi-ost b 1 0" end
    g:check { b = 1 }
    g.m:object_del "a-mem"
  end },

  { "finds after a reset what was plugged before it", { deaf = true }, function(g)
    local function events() -- of slot 0: insert 2, remove 4
      g.m:outl(0xa00, 0)
      return g.m:inb(0xa14) & 6
    end
    g:plug "a"
    g:expect "device-added a"
    assert.equal(2, events())
    g.m:reset()
    assert.equal(0, events())
    g.t.guest:ready()
    g.t.guest:listen()
    if g.answers_at_boot then g:expect "acpi-ost a 1 0" end
    g:check { a = 0 }
  end },

  { "keeps its memory over a reset", function(g)
    g:plug "a"
    g:plugged "a"
    g.m:reset()
    g.t.guest:ready()
    if g.answers_at_boot then g:expect "acpi-ost a 1 0" end
    g:check { a = 0 }
    g.m:device_del("a"):wait { timeout = TIMEOUT }
    g:unplugged "a"
  end },

  { "gets id, slot and address again", function(g)
    for _, slot in ipairs { 2, 0, 2 } do
      local dimm = g:plug("d", { slot = slot, addr = 0x108000000 })
      g:plugged "d"
      g:check { d = slot }
      assert.equal(0x108000000, dimm.addr)
      g.m:device_del("d"):wait { timeout = TIMEOUT }
      g:unplugged "d"
      g.m:object_del "d-mem"
    end
  end },

  { "holds on to the memory behind a DIMM", { deaf = true }, function(g)
    g:plug "d"
    local function busy()
      assert.matches("object 'd-mem' is in use by 'd'", code("busy", g.m.object_del, g.m, "d-mem"),
        1, true)
      code("busy", g.m.device_add, g.m, "pc-dimm", { id = "e", memdev = "d-mem" })
    end
    busy()
    local removal = g.m:device_del "d"
    busy()
    g.t.guest:listen()
    removal:wait { timeout = TIMEOUT }
    g.m:object_del "d-mem"
    code("not-found", g.m.object_del, g.m, "d-mem")
  end },

  { "plugs in every order and unplugs in the reverse", function(g)
    for _, order in ipairs(orders) do
      local dimms = {}
      for _, slot in ipairs(order) do
        local id = "d" .. slot
        dimms[id] = slot
        g:plug(id, { slot = slot })
        g:plugged(id)
      end
      g:check(dimms)
      for i = #order, 1, -1 do
        local id = "d" .. order[i]
        dimms[id] = nil
        g.m:device_del(id):wait { timeout = TIMEOUT }
        g:unplugged(id)
        g.m:object_del(id .. "-mem")
        g:check(dimms)
      end
    end
  end },

  { "may never answer; the request stands", { deaf = true }, function(g)
    g:plug "d"
    local removal = g.m:device_del "d"
    g:expect("device-added d", "device-unplug-request d")
    assert.equal("no removal of 'd' within 0.05 s",
      code("timeout", removal.wait, removal, { timeout = 0.05 }))
    assert.equal("requested", removal.state)
    assert.is_true(g.m:object("d").alive)
    assert.equal("d", g.m:memory_devices()[1].data.id)
    g.t.guest:listen()
    assert.equal("ejected", removal:wait { timeout = TIMEOUT })
    g:check {}
  end },

  { ("does it %d times"):format(CYCLES), function(g)
    for _ = 1, CYCLES do
      g:plug "d"
      g:plugged "d"
      g.m:device_del("d"):wait { timeout = TIMEOUT }
      g:unplugged "d"
      g.m:object_del "d-mem"
    end
    g:check {}
    g:quiet()
  end },
}

testing.each_guest({ "scripted", "small" }, function(guest)
  for _, scenario in ipairs(scenarios) do
    it(scenario[1], function()
      local options = #scenario == 3 and scenario[2] or {}
      scenario[#scenario](new(guest, options))
    end)
  end
end)
