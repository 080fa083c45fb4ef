-- virtio.lua: runs the virtio guest on the pc board.
--   virtio.lua disk FILE cached|direct          with a disk
--   virtio.lua net listen|connect SOCKET MAC    with a network card
local lunik = require "lunik"

local kind = table.remove(arg, 1)
local objects, device

if kind == "disk" then
  local path, mode = table.unpack(arg)
  objects = { { "blockdev-file", { id = "back", filename = path, direct = mode == "direct" } } }
  device = { "virtio-blk-pci", { drive = "back", iothread = "io", bus = "i440fx" } }
else
  local how, path, mac = table.unpack(arg)
  objects = { { "netdev-socket", { id = "back", [how] = path } } }
  device = { "virtio-net-pci", { netdev = "back", mac = mac, iothread = "io", bus = "i440fx" } }
end
table.insert(objects, { "iothread", { id = "io" } })

lunik.machine({
  board = "pc", memory = "128M", firmware = os.getenv "LUNIK_BUILD" .. "/bench/virtio.bin",
  debugcon = "stdio", objects = objects, devices = { device },
}):start()
lunik.run()
