-- uart.lua: runs uart.S on the pc board, its serial port on standard output.
local lunik = require "lunik"

lunik.machine {
  board = "pc", firmware = os.getenv "LUNIK_BUILD" .. "/bench/uart.bin", serial = "stdio",
}:start()
lunik.run()
