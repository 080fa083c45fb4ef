-- start.lua BOARD MEMORY MAXMEM SLOTS DIMMS: starts the idle guest, whose report goes to standard
-- output, in a machine with that many DIMMs of 128 MiB. BOARD pc-firmware: the guest as firmware.
local lunik = require "lunik"
local build = os.getenv "LUNIK_BUILD" .. "/bench/"

local board, memory, maxmem, slots, dimms = table.unpack(arg)
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
lunik.machine(options):start()
lunik.run()
