-- start.lua BOARD MEMORY MAXMEM SLOTS DIMMS [DISK SOCKET]: starts the idle guest, whose report goes
-- to standard output, in a machine with that many DIMMs of 128 MiB, and with a disk with that file
-- and a network with that socket. BOARD pc-firmware: the guest as firmware.
local lunik = require "lunik"
local build = os.getenv "LUNIK_BUILD" .. "/bench/"

local board, memory, maxmem, slots, dimms, disk, socket = table.unpack(arg)
local options = {
  board = board:match "^%l+", memory = memory, kernel = build .. "idle.elf", objects = {},
  devices = {},
}
if board == "pc-firmware" then options.kernel, options.firmware = nil, build .. "idle.bin" end
if board == "micro" then
  options.objects[1] = { "chardev-stdio", { id = "report" } }
  options.devices[1] = { "debugcon", { chardev = "report" } }
else
  options.debugcon, options.maxmem, options.slots = "stdio", maxmem, tonumber(slots)
end
for i = 1, tonumber(dimms) do
  local id = "mem" .. i
  table.insert(options.objects, { "memory-backend-ram", { id = id, size = "128M" } })
  table.insert(options.devices, { "pc-dimm", { id = "dimm" .. i, memdev = id } })
end
if disk then
  table.insert(options.objects, { "iothread", { id = "io" } })
  table.insert(options.objects, { "blockdev-file", { id = "file", filename = disk } })
  table.insert(options.objects, { "netdev-socket", { id = "net", listen = socket } })
  for _, device in ipairs {
    { "virtio-blk-pci", { drive = "file", iothread = "io", bus = "i440fx" } },
    { "virtio-net-pci", { netdev = "net", iothread = "io", bus = "i440fx" } },
  } do table.insert(options.devices, device) end
end
lunik.machine(options):start()
lunik.run()
