-- idle.lua COUNT kvm|none [DISK SOCKET]: that many machines with the idle guest; prints a line when
-- all run. With the last two the machine has all kinds of devices: a disk with that file, a network
-- with that socket, and others.
local lunik = require "lunik"

local count, accel, disk, socket = tonumber(arg[1]), arg[2], arg[3], arg[4]
local reported = 0

local function all_devices(options)
  options.maxmem, options.slots = "1G", 1
  options.objects = {
    { "iothread", { id = "io" } },
    { "blockdev-file", { id = "file", filename = disk } },
    { "netdev-socket", { id = "net", listen = socket } },
    { "rng-builtin", { id = "rng" } },
    { "chardev-null", { id = "null" } },
    { "memory-backend-ram", { id = "more", size = "128M" } },
  }
  options.devices = {
    { "virtio-blk-pci", { drive = "file", iothread = "io", bus = "i440fx" } },
    { "virtio-net-pci", { netdev = "net", iothread = "io", bus = "i440fx" } },
    { "virtio-rng-pci", { rng = "rng", bus = "i440fx" } },
    { "virtio-serial-pci", { id = "serial", bus = "i440fx" } },
    { "virtconsole", { bus = "serial", chardev = "null" } },
    { "virtio-balloon-pci", { bus = "i440fx" } },
    { "virtio-mem-pci", { memdev = "more", bus = "i440fx" } },
    { "pvpanic-pci", { bus = "i440fx" } },
    { "i6300esb", { bus = "i440fx" } },
    { "edu", { bus = "i440fx" } },
    { "pci-bridge", { bus = "i440fx" } },
    { "pvpanic", {} },
  }
end

local function on_report()
  reported = reported + 1
  if reported == count then
    print "ready"
    io.stdout:flush()
  end
end

for _ = 1, count do
  local options = {
    board = "pc", firmware = os.getenv "LUNIK_BUILD" .. "/bench/idle.bin", debugcon = on_report,
    accel = accel,
  }
  if disk then all_devices(options) end
  lunik.machine(options):start()
  if accel == "none" then on_report() end -- no guest does
end
lunik.run()
