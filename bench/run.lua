-- run.lua [GROUP...]: measures groups of rows, all by default, and prints a table; see README.md.
-- QUICK=1: one round of everything, to see that it works.
if not pcall(require, "luv") then
  error("the benchmarks need luv: make deps GROUPS=\"build bench\"", 0)
end

local process = require "bench.process"
local qemu = require "bench.qemu"
local report = require "bench.report"

local GROUPS = { "start", "idle", "exits", "hotplug", "plug", "qmp", "libvirt", "map", "virtio",
  "blk", "disk", "net", "dirty", "memory", "output", "growth" }

local OUTPUT = process.build .. "/bench.json"

local function wanted(names)
  if #names == 0 then return GROUPS end
  for _, name in ipairs(names) do
    if not package.searchpath("bench.rows." .. name, package.path) then
      error(("there is no group '%s' (want some of: %s)")
        :format(name, table.concat(GROUPS, " ")), 0)
    end
  end
  return names
end

local function first_line(path, pattern)
  for line in io.lines(path) do
    local found = line:match(pattern)
    if found then return found end
  end
end

local quick = (os.getenv "QUICK" or "") ~= ""
local groups = wanted(arg)
local version = qemu.version()
local about = {
  date = os.date "!%Y-%m-%dT%H:%M:%SZ", quick = quick, qemu = version or "not installed",
  kernel = first_line("/proc/version", "^%S+ %S+ (%S+)"),
  processor = first_line("/proc/cpuinfo", "model name%s*: (.*)"),
  load = first_line("/proc/loadavg", "^(%S+)"),
}

print(("Lunik, QEMU %s, bare KVM on Linux %s, %s, load %s")
  :format(version or "(not installed: no figures)", about.kernel, about.processor, about.load))
local kvm = io.open("/dev/kvm", "r+")
local b, start = report.new(quick, kvm ~= nil), process.now()
local failed = false
for _, name in ipairs(groups) do
  local group = require("bench.rows." .. name)
  b:group(group)
  local ok, err = true, nil
  if group.kvm and not kvm then
    print "  skipped: no /dev/kvm"
  else
    ok, err = xpcall(group.run, debug.traceback, b)
  end
  if not ok then
    failed = true
    io.stderr:write(("%s: the rest of its rows is missing: %s\n"):format(name, err))
  end
end
local targets, met = b:count()
about.seconds = process.now() - start
b:save(OUTPUT, about)
print(("\n%d of %d targets met, %.0f s; %s"):format(met, targets, about.seconds, OUTPUT))
os.exit(not failed, true)
