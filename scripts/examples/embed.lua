-- Plain Lua with a virtual machine in it.
--
--     lua5.4 scripts/examples/embed.lua
--
-- What you should see: the text that was sent through the serial port, and what was written to
-- memory. The machine has no vCPUs, so KVM is not needed: Lua drives its devices through their
-- ports, as a guest would. Before `make install`, set
--
--     LUA_PATH="scripts/?.lua;scripts/?/init.lua;;" LUA_CPATH="build/lua/?.so;;"
local lunik = require "lunik"

local m = lunik.machine { board = "micro", accel = "none", memory = "16M", serial = "buffer" }
m:start()

for c in ("hello from Lua\n"):gmatch(".") do
  m:outb(0x3f8, c:byte())
end
io.write("the serial port says: ", m:console():read())

m:write(0x1000, "some bytes")
print("memory at 0x1000 says: " .. m:read(0x1000, 10))

m:on("shutdown", function(ev) print(("shutdown: %s, code %d"):format(ev.reason, ev.code)) end)
m:outb(0xf4, 0)
lunik.run()
m:close()
