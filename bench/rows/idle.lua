-- Machines whose guest sleeps: memory, processor time, wake-ups.
local uv = require "luv"
local places = require "bench.places"
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
local function observe(p, seconds)
  sleep(0.3)
  local woken, cpu = waits(p.pid), cpu_ms(p.pid)
  local memory = process.status(p.pid, "VmRSS") / 1024
  sleep(seconds)
  return { memory = memory, waits = waits(p.pid) - woken, cpu = cpu_ms(p.pid) - cpu }
end

local function observe_program(argv, seconds)
  local p <close> = process.start(argv)
  p:take(1)
  return observe(p, seconds)
end

local function collect(samples, seen)
  for name, value in pairs(seen) do
    samples[name] = samples[name] or {}
    table.insert(samples[name], value)
  end
end

local function rows_of_waits(b, name, ours, theirs, seconds)
  b:row {
    name = "wake-ups, " .. name, unit = "", lunik = ours.waits, qemu = theirs.waits,
    what = ("times that a thread of the process was woken in %.1f s"):format(seconds),
    target = { at_most = 0 },
  }
  b:row {
    name = "processor time, " .. name, unit = "ms", lunik = ours.cpu, qemu = theirs.cpu,
    what = ("processor time in %.1f s"):format(seconds), target = { at_most = 0 },
  }
end

local function rows_of_counts(b, seconds)
  local lunik, theirs, further = { [1] = {}, [10] = {}, [100] = {} }, {}, {}
  for _ = 1, b:rounds(3) do
    for count, samples in pairs(lunik) do
      collect(samples, observe_program(process.script("idle", tostring(count), "kvm"), seconds))
    end
    if qemu.installed then
      collect(theirs, observe_program(qemu.guest("idle.bin", "pc", "128M"), seconds))
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
    rows_of_waits(b, ("machines: %d"):format(count), lunik[count], count == 1 and theirs or {},
      seconds)
  end
end

-- ---- all kinds of devices ----------------------------------------------------------------------

local function lunik_with_devices(b, disk, socket)
  return process.script("idle", "1", b.kvm and "kvm" or "none", disk, socket)
end

local function qemu_devices(disk, socket)
  return "-object", "iothread,id=io",
    "-drive", ("file=%s,format=raw,if=none,id=file"):format(disk),
    "-device", "virtio-blk-pci,drive=file,iothread=io",
    "-netdev", "stream,id=net,server=on,addr.type=unix,addr.path=" .. socket,
    "-device", "virtio-net-pci,netdev=net",
    "-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng",
    "-chardev", "null,id=null", "-device", "virtio-serial-pci",
    "-device", "virtconsole,chardev=null",
    "-device", "virtio-balloon-pci", "-object", "memory-backend-ram,id=more,size=128M",
    "-device", "virtio-mem-pci,memdev=more", "-device", "pvpanic-pci", "-device", "i6300esb",
    "-device", "edu", "-device", "pci-bridge,chassis_nr=1", "-device", "pvpanic"
end

-- Without KVM no guest runs on either side.
local function observe_qemu(b, seconds, disk, socket)
  local memory = "128M,slots=1,maxmem=1G"
  if b.kvm then
    local argv = qemu.guest("idle.bin", "pc", memory, qemu_devices(disk, socket))
    return observe_program(argv, seconds)
  end
  local q <close> = qemu.start(qemu.argv("pc", memory, "-S", qemu_devices(disk, socket)))
  return observe(q.process, seconds)
end

local function rows_of_devices(b, seconds)
  local file <close> = places.file(places.list[1], true)
  local socket = file.name .. ".sock"
  local ours, theirs = {}, {}
  for _ = 1, b:rounds(3) do
    collect(ours, observe_program(lunik_with_devices(b, file.name, socket), seconds))
    os.remove(socket)
    if qemu.installed then
      collect(theirs, observe_qemu(b, seconds, file.name, socket))
      os.remove(socket)
    end
  end
  b:row {
    name = "memory, all devices", unit = "MiB", lunik = ours.memory, qemu = theirs.memory,
    what = "resident memory (VmRSS) of a machine with twelve devices, virtio and others, and an "
      .. "iothread" .. (b.kvm and "" or "; no guest runs, in QEMU by TCG"),
    target = { vs = "qemu", at_most = 1 / 6 },
  }
  rows_of_waits(b, "all devices", ours, theirs, seconds)
end

return {
  name = "idle",
  title = "Idle machines in one process: pc boards, 128 MiB, guests in hlt",
  run = function(b)
    local seconds = (b.quick and 0.5 or 10) / 3
    if b.kvm then
      rows_of_counts(b, seconds)
    else
      print "  skipped with guests: no /dev/kvm"
    end
    rows_of_devices(b, seconds)
  end,
}
