-- How much memory a guest writes, watched over time: a plot in the terminal, and one as SVG.
--
--     lunik run scripts/examples/dirty-rate.lua [FILE.svg]
--
-- What you should see: two bursts of writes, the second one stronger, as hills in the plot. The
-- same plot is in FILE.svg, by default dirty-rate.svg. Needs no KVM: the scripted guest writes.
local lunik = require "lunik"
local testing = require "lunik.testing"

local FILE = arg[1] or "dirty-rate.svg"
local MIB = 1 << 20

local t <close> = testing.machine { memory = "128M" }

-- Has the guest write so many MiB, a little at a time, in about a second.
local function burst(mib)
  for i = 1, 20 do
    t.guest:fill(i * 4 * MIB, mib * MIB // 20, i)
    lunik.sleep(0.05)
  end
end

-- The sampling goes on in the background while the guest works.
local samples <close> = t.m:sample { "dirty rate", every = 0.1 }
lunik.sleep(0.4)
burst(20)
lunik.sleep(0.4)
burst(60)
lunik.sleep(0.4)
samples:stop()

local plot = { title = "memory that the guest writes", x = "s" }
print(samples:plot(plot))
plot.file = FILE
samples:plot(plot)
print("the same as a picture: " .. FILE)
