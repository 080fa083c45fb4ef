-- qmp.lua [DIMMS]: serves QMP on descriptor 3 for a pc with slots for that many DIMMs.
local lunik = require "lunik"

local slots = math.tointeger(arg[1]) or 0
local m = lunik.machine {
  board = "pc", memory = "128M", maxmem = slots > 0 and "64G" or nil, slots = slots,
  accel = io.open("/dev/kvm", "r+") and "kvm" or "none",
}
lunik.qmp { machine = m, path = { "chardev-socket", { fd = 3 } } }
m:on("chardev-disconnected", function() m:close() end)
require("lunik.qmp.server").stay(m)
lunik.run()
