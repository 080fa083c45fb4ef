-- idle.lua COUNT: that many machines with the idle guest; prints a line when all run.
local lunik = require "lunik"

local count, reported = tonumber(arg[1]), 0
for _ = 1, count do
  lunik.machine {
    board = "pc", firmware = os.getenv "LUNIK_BUILD" .. "/bench/idle.bin",
    debugcon = function()
      reported = reported + 1
      if reported == count then
        print "ready"
        io.stdout:flush()
      end
    end,
  }:start()
end
lunik.run()
