-- Rows of spec/qa_matrix_spec.lua: CPUs come and go. The scripted guest alone has CPU hotplug.
local assert = require "luassert"
local testing = require "lunik.testing"

local ONLY_SCRIPTED = { small = "has no CPU hotplug", linux = "has no CPU hotplug in this matrix" }

local function row(r)
  r.no_guests = ONLY_SCRIPTED
  return r
end

local function count(t)
  local found = { machine = 0, guest = 0 }
  for _, cpu in ipairs(t.m:hotpluggable_cpus()) do
    found.machine = found.machine + (cpu.present and 1 or 0)
  end
  for _ in pairs(t.guest.guest.cpus.online) do found.guest = found.guest + 1 end
  return found
end

-- Machine and guest have so many.
local function expect(t, want)
  t.guest:ready()
  assert.same({ machine = want, guest = want }, count(t))
end

local function plug(t, from, to)
  for i = from, to do
    t.m:device_add("cpu", { id = "cpu" .. i })
    t.m:wait("acpi-ost", { timeout = t.timeout })
  end
end

local function unplug(t, from, to)
  for i = from, to do t.m:device_del("cpu" .. i):wait { timeout = t.timeout } end
end

local function refused(t, words, props)
  local ok, err = pcall(t.m.device_add, t.m, "cpu", props)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(words, 1, true), tostring(err))
  expect(t, 1)
end

return {
  row { "CPUs are plugged, as many as there can be, and unplugged",
    keys = { maxcpus = { 2, 8, 240 } },
    machine = function(cell) return { cpus = 1, maxcpus = cell.maxcpus, record = false } end,
    test = function(t, cell)
      plug(t, 1, cell.maxcpus - 1)
      expect(t, cell.maxcpus)
      unplug(t, 1, cell.maxcpus - 1)
      expect(t, 1)
    end },

  row { "a CPU's place is in use, out of range, or not given",
    keys = {}, machine = { cpus = 1, maxcpus = 8, sockets = 2, cores = 2, threads = 2 },
    test = function(t)
      refused(t, "exists", { socket_id = 0, core_id = 0, thread_id = 0 })
      refused(t, "must be in range 0:1", { socket_id = 5, core_id = 0, thread_id = 0 })
      refused(t, "must be in range 0:1", { socket_id = 0, core_id = 2, thread_id = 0 })
      refused(t, "must be in range 0:1", { socket_id = 0, core_id = 0, thread_id = 9 })
      refused(t, "is not set", { socket_id = 0, core_id = 1 })
    end },

  row { "a CPU is plugged before the guest listens", keys = {},
    machine = { cpus = 1, maxcpus = 4, deaf = true },
    test = function(t)
      t.m:device_add("cpu", { id = "cpu1" })
      t.guest:listen()
      expect(t, 2)
    end },

  row { "a CPU is plugged into each node", keys = {},
    machine = function()
      local options = testing.numa(2)
      options.cpus, options.maxcpus, options.sockets = 1, 4, 1
      options.numa[1].cpus, options.numa[2].cpus = { 0, 2 }, { 1, 3 }
      return options
    end,
    test = function(t)
      for node = 1, 0, -1 do
        local cpu = t.m:device_add("cpu", { id = "n" .. node, core_id = 2 + node, node_id = node })
        t.m:wait("acpi-ost", { timeout = t.timeout })
        assert.equal(node, cpu.node_id)
      end
      expect(t, 3)
    end },

  row { "2 CPUs become 4, then 2, and the guest reboots in between", keys = {},
    machine = { cpus = 2, maxcpus = 4 },
    test = function(t)
      plug(t, 1, 2)
      expect(t, 4)
      t.guest:reboot()
      expect(t, 4)
      unplug(t, 1, 2)
      expect(t, 2)
      t.guest:reboot()
      expect(t, 2)
    end },
}
