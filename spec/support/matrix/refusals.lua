-- Rows of spec/qa_matrix_spec.lua: what must be refused, in words, and change nothing.
local assert = require "luassert"
local command = require "spec.support.command"
local core = require "lunik.core"
local lunik = require "lunik"
local testing = require "lunik.testing"

local function host_memory()
  return tonumber(command.read("/proc/meminfo"):match "MemTotal:%s+(%d+)") << 10
end

-- A row that plugs a DIMM that is refused, one for each of a table of cells {name, code, words,
-- props}; others: what is plugged before.
local function refused(name, cells, options)
  options = options or {}
  local values = {}
  for i, cell in ipairs(cells) do
    values[i] = { name = cell[1], code = cell[2], words = cell[3], props = cell[4] }
  end
  return { name, keys = { case = values }, machine = options.machine, test = function(t, cell)
    if options.before then options.before(t) end
    local case = cell.case
    local props = type(case.props) == "function" and case.props(t) or case.props
    t:refused { code = case.code, words = case.words, function() t:plug(props) end }
    t:check()
    t:plug { size = "128M" } -- and the machine goes on
    t:check()
  end }
end

-- Properties with a DIMM's address relative to the range for DIMMs.
local function at(where)
  return function(t)
    local range = t.m:object "device-memory"
    return { size = "32M", addr = where(range.addr, range.addr + range.size) }
  end
end

local function plug_first(t) t:plug { id = "first", size = "128M", addr = "5G" } end

-- A row for a machine that is not made.
local function not_made(name, cells)
  local values = {}
  for i, cell in ipairs(cells) do
    values[i] = { name = cell[1], code = cell[2], words = cell[3], make = cell[4] }
  end
  return { name, keys = { case = values }, machine = false, test = function(_, cell)
    local case = cell.case
    testing.refused { code = case.code, words = case.words, function()
      testing.machine(case.make())
    end }
  end }
end

local function nodes(change)
  return function()
    local options = testing.numa(2)
    change(options)
    return options
  end
end

local FILE = { backend = "file", size = "32M" }
local function file(props)
  local all = {}
  for _, source in ipairs { FILE, props } do
    for key, value in pairs(source) do all[key] = value end
  end
  return all
end

return {
  { "memory that the machine has booted with is asked for", test = function(t)
    t:refused { code = "state", words = { "ram-below-4g", "can't be removed" },
      function() t:unplug "ram-below-4g" end }
    t:check()
  end },

  refused("a backend that the host has no memory for", {
    { "ram", "no-memory", { "size", "more than the host can map" },
      function() return { backend = "ram", size = 2 * host_memory() } end },
    { "memfd", "no-memory", { "prealloc", "the host has" },
      function() return { size = 2 * host_memory(), prealloc = true } end },
  }, { machine = { maxmem = "512G" } }),

  refused("sizes", {
    { "0", "invalid", { "size", "out of range" }, { size = 0 } },
    { "no whole page", "invalid", { "size", "multiple of the page size" }, { size = 1000 } },
    { "not aligned", "invalid", { "dimm1-mem", "multiple of" },
      { size = "33556K", backend = "ram" } },
    { "no size", "invalid", { "size", "'4Q'" }, { size = "4Q" } },
  }),

  refused("more than maxmem", {
    { "one DIMM", "no-space", { "not enough space", "maxmem" }, { size = "4G" } },
  }),

  refused("policies", {
    { "without nodes", "invalid", { "host-nodes", "bind" }, { policy = "bind" } },
    { "with a node that the host has not", "not-found", { "host-nodes", "77" },
      { policy = "bind", ["host-nodes"] = { 77 } } },
    { "nodes without one", "invalid", { "host-nodes", "default" }, { ["host-nodes"] = { 0 } } },
    { "unknown", "invalid", { "policy", "'bund'" }, { policy = "bund" } },
  }),

  refused("addresses", {
    { "not aligned", "invalid", { "addr", "aligned" }, at(function(from) return from + 100 end) },
    { "below", "invalid", { "addr", "not in the range" },
      at(function(from) return from - (32 << 20) end) },
    { "above", "invalid", { "addr", "not in the range" }, at(function(_, to) return to end) },
    { "at the end of the space", "invalid", { "addr", "out of range" },
      { size = "32M", addr = -(32 << 20) } },
    { "half outside", "invalid", { "addr", "not in the range" },
      at(function(_, to) return to - (16 << 20) end) },
  }),

  refused("addresses that are taken", {
    { "the same", "exists", { "conflicts", "'first'" }, { size = "128M", addr = "5G" } },
    { "from below", "exists", { "conflicts", "'first'" },
      { size = "128M", addr = (5 << 30) - (64 << 20) } },
    { "from above", "exists", { "conflicts", "'first'" },
      { size = "128M", addr = (5 << 30) + (64 << 20) } },
  }, { before = plug_first }),

  { "a machine that takes no DIMMs", keys = { lacks = { "maxmem", "slots" } },
    machine = function(cell)
      return { maxmem = cell.lacks == "slots" and "2G" or false, slots = 0 }
    end,
    test = function(t, cell)
      t:refused { words = cell.lacks == "slots" and "slots option" or "maxmem",
        function() t:plug { size = "32M" } end }
      t:check()
    end },

  { "removals of what is not there, of an object, and twice", machine = { deaf = true },
    no_guests = { linux = "Linux always answers" },
    test = function(t)
      t:refused { code = "not-found", words = "'nothing'", function() t:unplug "nothing" end }
      t:plug {}
      t:refused { code = "invalid", words = "not a device",
        function() t.m:device_del "dimm1-mem" end }
      local first, second = t:unplug "dimm1", t.m:device_del "dimm1"
      t.guest:listen()
      t:check()
      assert.same({ "ejected", "ejected" }, { first.state, second.state })
      assert.equal(1, t.journal:count "device-deleted dimm1")
    end },

  refused("huge page sizes", {
    { "no power of two", "unsupported", { "hugetlbsize", "3145728" },
      { hugetlb = true, hugetlbsize = "3M" } },
    { "of another host", "unsupported", { "hugetlbsize", "not a huge page size" },
      { hugetlb = true, hugetlbsize = "512M" } },
    { "without huge pages", "invalid", { "hugetlbsize", "needs hugetlb" },
      { hugetlbsize = "2M" } },
  }),

  refused("files", {
    { "no path", "invalid", { "mem-path", "missing" }, function(t)
      t.m:object_add("memory-backend-ram", { id = "other", size = "1M" })
      return { backend = "file", size = "32M", fd = -1 }
    end },
    { "no such folder", "not-found", { "/nowhere/file" },
      file { ["mem-path"] = "/nowhere/file" } },
    { "align 1.5G", "invalid", { "align", "power of two" }, file { align = "1536M" } },
    { "align 3M", "invalid", { "align", "power of two" }, file { align = "3M" } },
    { "too small for readonly", "invalid", { "0 bytes", "readonly" }, file { readonly = true } },
    { "odd offset", "invalid", { "offset", "page size" }, file { offset = 100 } },
  }),

  refused("ids and backends that are taken", {
    { "an id twice", "exists", "'first-mem' is taken", { id = "first", size = "32M" } },
    { "a backend for two DIMMs", "busy", { "first-mem", "in use" }, { memdev = "first-mem" } },
    { "no backend", "not-found", { "memdev", "'nothing'" }, { memdev = "nothing" } },
    { "a wrong backend", "invalid", { "memdev", "'serial0'", "memory-backend" },
      { memdev = "serial0" } },
  }, { before = plug_first }),

  { "a backend that no DIMM uses is deleted, and its id is free", test = function(t)
    for _ = 1, 2 do
      t.m:object_add("memory-backend-memfd", { id = "unused", size = "32M" })
      t.m:object_del "unused"
      assert.is_nil(t.m:object "unused")
    end
    t:check()
  end },

  { "maxmem and slots of a machine that runs are changed", test = function(t)
    for _, property in ipairs { "limit", "slots" } do
      t:refused { code = "state", words = { property, "can't be changed" },
        function() t.m:object("device-memory"):set(property, 8) end }
    end
  end },

  { "what is plugged is changed", test = function(t)
    t:plug { size = "128M" }
    for _, change in ipairs { { "dimm1-mem", "size", "64M" }, { "dimm1-mem", "share", false },
      { "dimm1", "memdev", "pc.ram" } } do
      t:refused { code = "state", words = { change[2], "can't be changed" },
        function() t.m:object(change[1]):set(change[2], change[3]) end }
    end
    t:check()
  end },

  { "sizes by unit", test = function(t)
    for i, value in ipairs { 134217728, "134217728", "131072K", "128M", "0x8000000" } do
      assert.equal(128 << 20, t:plug { id = "d" .. i, size = value }.size)
      t:unplug("d" .. i)
    end
    t:check()
  end },

  not_made("a machine whose DIMMs don't fit", {
    { "a slot twice", "busy", { "slot", "1" }, function()
      return { cold = { { size = "32M", slot = 1 }, { size = "32M", slot = 1 } } }
    end },
    { "an address twice", "exists", { "addr", "conflicts" }, function()
      return { cold = { { size = "32M", addr = "4G" }, { size = "32M", addr = "4G" } } }
    end },
    { "beyond maxmem", "no-space", { "not enough space", "maxmem" }, function()
      return { cold = { { size = "4G" } } }
    end },
  }),

  not_made("a machine whose nodes are wrong", {
    { "other memory than the machine", "invalid", { "128M", "256M" },
      nodes(function(o) o.memory = "256M" end) },
    { "a CPU twice", "invalid", { "node 1", "cpu 0" },
      nodes(function(o) o.numa[2].cpus = { 0 } end) },
    { "an unknown CPU", "invalid", { "node 1", "cpu 7" },
      nodes(function(o) o.numa[2].cpus = { 7 } end) },
    { "too few distances", "invalid", { "node 0", "distances" },
      nodes(function(o) o.numa[1].distances = { 10 } end) },
    { "a distance to itself", "invalid", { "node 0", "11" },
      nodes(function(o) o.numa[1].distances = { 11, 20 } end) },
    { "a distance below 10", "invalid", { "node 0", "'9'" },
      nodes(function(o) o.numa[1].distances = { 10, 9 } end) },
    { "size 0", "invalid", { "memory", "'0'" }, nodes(function(o)
      o.numa[1].memory, o.numa[2].memory, o.memory = 0, 0, 0
    end) },
  }),

  { "a file beside the sandbox's folder", machine = false, test = function()
    if lunik.sandbox() then testing.skip "this process is in a sandbox already" end
    if core.sanitized() then testing.skip "sanitizers need what the sandbox forbids" end
    local folder = testing.directory()
    local out, err = command.script(([[
      local testing = require "lunik.testing"
      local t <close> = testing.machine { sandbox = { write = { "%s" } } }
      t:plug { backend = "file", size = "32M", ["mem-path"] = "%s/inside" }
      t:check()
      local err = t:refused { code = "denied", words = "/var/tmp/outside", function()
        t:plug { backend = "file", size = "32M", ["mem-path"] = "/var/tmp/outside" }
      end }
      print(err.code)
    ]]):format(folder, folder))
    if err:find "Landlock" or err:find "seccomp" then testing.skip(err:match "[^\n]+") end
    assert.same({ "denied\n", "" }, { out, err })
  end },
}
