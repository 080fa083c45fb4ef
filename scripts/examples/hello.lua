-- A custom board in ten lines, and a guest that says hello through its port.
--
--     lunik run scripts/examples/hello.lua
--
-- What you should see: "hello". Needs KVM, as the guest is machine code.
local lunik = require "lunik"

-- Real-mode code: each byte of the text goes to port 0x99, the 0 at its end as well.
local GUEST = "\xbe\x0d\x00"    -- 00       mov si, text
  .. "\x2e\xac"                 -- 03 next: cs lodsb
  .. "\xe6\x99"                 -- 05       out 0x99, al
  .. "\x84\xc0"                 -- 07       test al, al
  .. "\x75\xf8"                 -- 09       jnz next
  .. "\xf4\xf4"                 -- 0b       hlt; hlt
  .. "hello\n\0"                -- 0d text:

lunik.device {
  name = "hello-port",
  ports = { { base = 0x99, size = 1, write = function(dev, _, _, byte)
    if byte == 0 then dev.machine:shutdown() else io.write(string.char(byte)) end
  end } },
}

local board = {
  name = "hello",
  build = function(m)
    m:object_add("memory-backend-ram", { id = "ram0", size = "64K" })
    m.memory.root:add(m:region { kind = "ram", name = "ram", memdev = "ram0" }, 0xffff0000)
    m:device_add("hello-port", {})
    m:rom_add("guest", 0xffff0000, GUEST)
    m:rom_add("reset vector", 0xfffffff0, "\xe9\x0d\x00") -- jmp 00
  end,
}

lunik.machine { board = board }:start()
