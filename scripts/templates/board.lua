-- @NAME@: a board with RAM, a serial port, a port that ends the machine, and a guest in ROM that
-- prints a greeting.
--
--   lunik @NAME@.lua                             builds and runs it; needs /dev/kvm
--   lunik @NAME@.lua -o accel=none               without KVM: Lua plays the guest
--   lunik @NAME@.lua -o greeting=Hi -o memory=2M
--
-- In a script or a test: lunik.machine { board = "./@NAME@.lua", greeting = "Hi" }

local lunik = require "lunik"
local board = require "lunik.board"

local SERIAL, EXIT = 0x3f8, 0x99 -- ports

-- Real-mode code. A kernel of your own is loaded by m:boot_kernel { kernel = opt.kernel } in
-- finish() instead: see the board "micro" (lunik.boards()).
local GUEST = "\xbe\x17\x00" -- 00       mov si, text
  .. "\xba\xf8\x03"          -- 03       mov dx, SERIAL
  .. "\x2e\xac"              -- 06 next: cs lodsb
  .. "\x84\xc0"              -- 08       test al, al
  .. "\x74\x03"              -- 0a       jz done
  .. "\xee"                  -- 0c       out dx, al
  .. "\xeb\xf7"              -- 0d       jmp next
  .. "\xe6\x99"              -- 0f done: out EXIT, al
  .. "\xf4\xeb\xfd"          -- 11       hlt; jmp 11
  .. "\x90\x90\x90"          -- 14
                             -- 17 text:

-- The port that ends the machine, as a device in Lua. `lunik new device NAME` shows more of them.
lunik.device {
  name = "@NAME@-exit",
  doc = "Ends the machine at a write.",
  ports = { base = EXIT, size = 1, write = function(dev) dev.machine:shutdown() end },
}

-- Does what the guest does, for a machine without vCPUs.
local function play(m, text)
  for i = 1, #text do m:outb(SERIAL, text:byte(i)) end
  m:outb(EXIT, 0)
end

-- Makes objects and devices. opt: the machine's options, checked, sizes in bytes.
local function build(m, opt)
  local banks, memory = board.memory(m, opt)
  board.map_ram(m, banks, "ram", 0, 0, memory)
  board.report_ram(m, banks, 0, 0, memory)
  m:device_add("serial16550", { id = "serial0", iobase = SERIAL, irq = 4, chardev = opt.serial })
  m:device_add("@NAME@-exit", { id = "exit" })
end

-- Called last, when the devices that the user has asked for are there as well.
local function finish(m, opt)
  local text = opt.greeting .. "\n"
  m:object_add("memory-backend-ram", { id = "rom", size = "64K" })
  m.memory.root:add(m:region { kind = "ram", name = "rom", memdev = "rom" }, 0xffff0000)
  m:rom_add("guest", 0xffff0000, GUEST .. text .. "\0")
  m:rom_add("reset vector", 0xfffffff0, "\xe9\x0d\x00") -- jmp to the start of the ROM
  if m.accel == "none" then
    m:once("started", function() play(m, text) end)
  end
end

return {
  name = "@NAME@",
  description = "prints a greeting",
  options = { greeting = "Hello from @NAME@", memory = "1M" }, -- name = default
  build = build,
  finish = finish,
}
