-- exits.lua: runs exits.S on the pc board, with handlers in Lua.
local lunik = require "lunik"

local m = lunik.machine {
  board = "pc", firmware = os.getenv "LUNIK_BUILD" .. "/bench/exits.bin", serial = "null",
  debugcon = "stdio",
}

local function add(space, address, size)
  space.root:add(m:region {
    kind = "io", name = "bench", size = size,
    read = function() return 0xff end,
    write = function() end,
  }, address)
end

add(m.io, 0x5600, 1)
add(m.memory, 0xfed00000, 0x400)
m:start()
lunik.run()
