-- Output of a machine: the serial port's text, events.
local lunik = require "lunik"
local process = require "bench.process"
local qemu = require "bench.qemu"

local BYTES = 32 * 1024 -- of bench/guests/uart.S
local UART = "1016" -- its port
local EVENTS = 10000

-- Returns KiB/s from the first byte to the end.
local function measure_uart(argv)
  local p <close> = process.start(argv)
  p:take(1)
  local start = process.now()
  local rest = #p:finish()
  assert(rest == BYTES - 1, "output was lost")
  return rest / 1024 / (process.now() - start)
end

local function measure_events(m)
  local count = 0
  local sub <close> = m:on("bench", function() count = count + 1 end)
  local start = process.now()
  for i = 1, EVENTS do m:emit("bench", { number = i }) end
  while count < EVENTS do lunik.run "nowait" end
  return (process.now() - start) * 1e6 / EVENTS, sub
end

return {
  name = "output", kvm = true,
  title = "Output",
  run = function(b)
    local image = process.built "uart.bin"
    local ours, theirs, bare, events = {}, {}, {}, {}
    local m <close> = lunik.machine { board = "pc", accel = "none" }
    local exits = "isa-debug-exit,iobase=0xf4,iosize=4"
    for i = 1, b:rounds(5) do
      ours[i] = measure_uart(process.script "uart")
      bare[i] = measure_uart { process.built "bare_guest", image, UART }
      if qemu.installed then
        theirs[i] = measure_uart(qemu.argv("pc", "128M", "-bios", image, "-serial", "stdio",
          "-device", exits))
      end
      events[i] = measure_events(m)
    end
    b:row {
      name = "UART to a pipe", unit = "KiB/s", lunik = ours, limit = bare, qemu = theirs,
      what = "32 KiB printed in bursts of 16; limit: write() at each exit",
    }
    b:row {
      name = "event to Lua", unit = "us", lunik = events,
      what = ("m:emit() of %d events and a handler's calls, each"):format(EVENTS),
    }
  end,
}
