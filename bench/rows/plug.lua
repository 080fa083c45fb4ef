-- Hot-adds of disks and processors.
local lunik = require "lunik"
local places = require "bench.places"
local process = require "bench.process"
local qemu = require "bench.qemu"

local DISKS, CPUS = 20, 15 -- in a machine

local image = process.built "plug.bin"

local function blockdev(m, i, path)
  m:object_add("blockdev-file", { id = "file" .. i, filename = path, readonly = true })
end

local function blk(m, i)
  m:device_add("virtio-blk-pci", { id = "disk" .. i, drive = "file" .. i, bus = "i440fx" })
end

local function qemu_blockdev(q, i, path)
  q:call(('{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"file%d",'
    .. '"filename":"%s","read-only":true}}'):format(i, path))
end

local function qemu_blk(i)
  return ('{"execute":"device_add","arguments":{"driver":"virtio-blk-pci","id":"disk%d",'
    .. '"drive":"file%d"}}'):format(i, i)
end

local function timed(scale, fn, ...)
  local start = process.now()
  fn(...)
  return (process.now() - start) * scale
end

-- ---- without a guest ---------------------------------------------------------------------------

local function measure_disks(path, accel)
  local m <close> = lunik.machine { board = "pc", memory = "128M", accel = accel }
  m:start()
  m:pause()
  local times = {}
  for i = 1, DISKS do
    blockdev(m, i, path)
    times[i] = timed(1e6, blk, m, i)
  end
  return times
end

-- Subtracts the time of transporting the commands.
local function measure_qemu_disks(path)
  local q <close> = qemu.start(qemu.argv("pc", "128M", "-S"))
  local times = {}
  for i = 1, DISKS do
    local command = qemu_blk(i)
    qemu_blockdev(q, i, path)
    times[i] = q:time(command) - q:time(qemu.no_op(command))
  end
  return times
end

local function disk_rows(b, path)
  local ours, theirs = {}, {}
  for round = 1, b:rounds(5) do
    ours[round] = measure_disks(path, b.kvm and "kvm" or "none")
    if qemu.installed then theirs[round] = measure_qemu_disks(path) end
  end
  b:row {
    name = "device_add of a disk", unit = "us", lunik = ours, qemu = theirs,
    what = ("device_add of %d virtio-blk-pci from Lua, vCPU outside; QEMU: over QMP, less no-ops "
      .. "of the same length"):format(DISKS),
    target = { vs = "qemu", at_most = 0.33 },
  }
end

-- ---- until the guest has answered --------------------------------------------------------------

local function start_machine(options)
  local ready = false
  options.board, options.memory, options.firmware = "pc", "128M", image
  options.debugcon = function(data) ready = ready or data:find "\n" ~= nil end
  local m = lunik.machine(options)
  m:start()
  while not ready do lunik.sleep(0.01) end
  return m
end

local function await_ost(m)
  assert(m:wait("acpi-ost", { timeout = 20 }).status == 0)
end

local function measure_accepted_disks(path)
  local m <close> = start_machine {}
  local times = {}
  for i = 1, DISKS do
    blockdev(m, i, path)
    times[i] = timed(1e3, function()
      blk(m, i)
      await_ost(m)
    end)
  end
  return times
end

local function measure_accepted_cpus()
  local m <close> = start_machine { cpus = 1, maxcpus = CPUS + 1 }
  local times = {}
  for i = 1, CPUS do
    times[i] = timed(1e3, function()
      m:device_add("cpu", { id = "cpu" .. i })
      await_ost(m)
    end)
  end
  return times
end

local function start_qemu(...)
  local q = qemu.start(qemu.guest("plug.bin", "pc", "128M", ...))
  q.process:line()
  return q
end

-- QEMU has no _OST of PCI devices: what the guest prints then ends the measurement.
local function measure_qemu_accepted_disks(path)
  local q <close> = start_qemu()
  local times = {}
  for i = 1, DISKS do
    qemu_blockdev(q, i, path)
    times[i] = timed(1e3, function()
      q:call(qemu_blk(i))
      q.process:line()
    end)
  end
  return times
end

local function measure_qemu_accepted_cpus()
  local q <close> = start_qemu("-smp", ("1,sockets=%d,maxcpus=%d"):format(CPUS + 1, CPUS + 1))
  local times = {}
  for i = 1, CPUS do
    times[i] = timed(1e3, function()
      q:call(('{"execute":"device_add","arguments":{"driver":"qemu64-x86_64-cpu","id":"cpu%d",'
        .. '"socket-id":%d,"core-id":0,"thread-id":0}}'):format(i, i))
      assert(q:event "ACPI_DEVICE_OST":find '"status": 0')
    end)
  end
  return times
end

local function guest_rows(b, path)
  local disks, cpus, qemu_disks, qemu_cpus = {}, {}, {}, {}
  for round = 1, b:rounds(5) do
    disks[round], cpus[round] = measure_accepted_disks(path), measure_accepted_cpus()
    if qemu.installed then
      qemu_disks[round] = measure_qemu_accepted_disks(path)
      qemu_cpus[round] = measure_qemu_accepted_cpus()
    end
  end
  b:row {
    name = "a disk to _OST", unit = "ms", lunik = disks, qemu = qemu_disks,
    what = "device_add of virtio-blk-pci until the guest has read its identity and accepted it "
      .. "(QEMU: and printed it)",
    target = { vs = "qemu", at_most = 1 },
  }
  b:row {
    name = "a processor to _OST", unit = "ms", lunik = cpus, qemu = qemu_cpus,
    what = "device_add of a cpu until the guest has accepted it",
    target = { vs = "qemu", at_most = 1 },
  }
end

return {
  name = "plug",
  title = "Hot-add of disks and processors; the guest looks for events every 16 us",
  run = function(b)
    local file <close> = places.file(places.list[1], true)
    disk_rows(b, file.name)
    if b.kvm then
      guest_rows(b, file.name)
    else
      print "  skipped until the guest has answered: no /dev/kvm"
    end
  end,
}
