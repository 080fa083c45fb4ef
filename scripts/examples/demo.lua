-- The demo: a PC runs a small guest, takes a DIMM and gives it back. `make demo` runs it with
-- --transcript, which prints what happens.
local images = require "lunik.guest_images"
local lunik = require "lunik"

-- Returns whether this process may use KVM; if not, why.
local function kvm_usable()
  local file, why = io.open("/dev/kvm", "r+")
  if file then
    file:close()
  end
  return file ~= nil, why
end

local options = {
  name = "demo", board = "pc", memory = "128M", maxmem = "1G", slots = 4, serial = "buffer",
}
local boot, power_off

local real, why = kvm_usable()
if real then
  -- The small guest on a real vCPU.
  options.cpus, options.kernel = 2, images.path "small.elf"
  function boot(m)
    m:start()
    m:console():expect("guest: ready", { timeout = 60 })
  end
  function power_off(m)
    m:console():write "poweroff\n"
    m:wait("shutdown", { timeout = 30 })
  end
else
  -- A guest written in Lua that uses the same registers. It prints to the serial port.
  options.accel = "none"
  function boot(m)
    m:start()
    require("lunik.guest").attach(m, { log = function(line)
      for c in (line .. "\n"):gmatch "." do m:outb(0x3f8, c:byte()) end
    end })
    m:console():expect("hotplug: 4 slots", { timeout = 30 })
  end
  function power_off(m) m:shutdown() end
end

print(("Lunik %s: a machine that takes memory and gives it back while it runs"):format(
  lunik.version))
if not real then
  print(("KVM can't be used here (%s):"):format(why))
  print "a guest written in Lua takes the part of the real one."
end

print "\nThe guest boots"
local m = lunik.machine(options)
boot(m)

print "\nA DIMM goes in"
m:object_add("memory-backend-memfd", { id = "mem1", size = "256M", share = true })
m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
local answer = m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
m:console():expect("slot 0 accepted", { timeout = 30 })

print "\nThe DIMM comes out"
m:device_del("dimm1"):wait { timeout = 30 }
m:console():expect("slot 0 ejected", { timeout = 30 })
m:object_del "mem1"

print "\nThe end"
power_off(m)
m:close()
lunik.exit(answer.status == 0 and m.exit_code or 1)
