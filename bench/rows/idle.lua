-- Machines whose guest sleeps: memory, processor time, wake-ups.
local uv = require "luv"
local process = require "bench.process"
local qemu = require "bench.qemu"

local function children(pid)
  local names, scan = {}, uv.fs_scandir(("/proc/%d/task"):format(pid))
  repeat
    local name = uv.fs_scandir_next(scan)
    names[#names + 1] = name
  until not name
  return names
end

-- Returns how often threads of the process have begun to wait, and so have been woken.
local function waits(pid)
  local sum = 0
  for _, task in ipairs(children(pid)) do
    sum = sum + process.status(("%d/task/%s"):format(pid, task), "voluntary_ctxt_switches")
  end
  return sum
end

-- Returns the processor time in milliseconds.
local function cpu_ms(pid)
  local file <close> = assert(io.open(("/proc/%d/stat"):format(pid)))
  local user, system = file:read("a"):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (tonumber(user) + tonumber(system)) * 10
end

local function sleep(seconds)
  local timer, done = uv.new_timer(), false
  timer:start(math.floor(seconds * 1000), 0, function() done = true end)
  while not done do uv.run "once" end
  timer:close()
end

-- Waits until the program's guests are idle, then measures for some time.
local function observe(argv, seconds)
  local p <close> = process.start(argv)
  p:take(1)
  sleep(0.3)
  local woken, cpu = waits(p.pid), cpu_ms(p.pid)
  local memory = process.status(p.pid, "VmRSS") / 1024
  sleep(seconds)
  return { memory = memory, waits = waits(p.pid) - woken, cpu = cpu_ms(p.pid) - cpu }
end

local function collect(samples, seen)
  for name, value in pairs(seen) do
    samples[name] = samples[name] or {}
    table.insert(samples[name], value)
  end
end

return {
  name = "idle", kvm = true,
  title = "Idle machines in one process: pc boards, 128 MiB, guests in hlt",
  run = function(b)
    local seconds = b.quick and 0.5 or 10
    local lunik, theirs, further = { [1] = {}, [10] = {}, [100] = {} }, {}, {}
    for _ = 1, b:rounds(3) do
      for count, samples in pairs(lunik) do
        collect(samples, observe(process.script("idle", tostring(count)), seconds / 3))
      end
      if qemu.installed then
        collect(theirs, observe(qemu.guest("idle.bin", "pc", "128M"), seconds / 3))
      end
      local memory = #lunik[1].memory
      further[#further + 1] = (lunik[100].memory[memory] - lunik[10].memory[memory]) / 90
    end
    b:row {
      name = "memory", unit = "MiB", lunik = lunik[1].memory, qemu = theirs.memory,
      what = "resident memory of a process with one machine (VmRSS)",
      target = { vs = "qemu", at_most = 1 / 8 },
    }
    b:row {
      name = "memory, further machine", unit = "MiB", lunik = further,
      what = "resident memory that each machine from the 11th to the 100th adds",
      target = { at_most = 1 },
    }
    for _, count in ipairs { 1, 10, 100 } do
      local s = lunik[count]
      b:row {
        name = ("wake-ups, machines: %d"):format(count), unit = "", lunik = s.waits,
        qemu = count == 1 and theirs.waits or nil, target = { at_most = 0 },
        what = ("times that a thread of the process was woken in %.1f s"):format(seconds / 3),
      }
      b:row {
        name = ("processor time, machines: %d"):format(count), unit = "ms", lunik = s.cpu,
        qemu = count == 1 and theirs.cpu or nil, target = { at_most = 0 },
        what = ("processor time in %.1f s"):format(seconds / 3),
      }
    end
  end,
}
