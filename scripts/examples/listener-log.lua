-- Prints every map and unmap of a machine's memory and ports with its cause: from the construction
-- by the board through the guest's boot to adding and removing a DIMM.
--
--     lunik run scripts/examples/listener-log.lua
--
-- What you should see: a line for each section that appears (+) or goes (-), with what caused it: a
-- call of the script, or an access by the guest. Without KVM the guest is a script.
local lunik = require "lunik"
local images = require "lunik.guest_images"

local function log(mark)
  return function(s)
    print(("%8.3f %s %-6s %010x-%010x %-3s %-18s %s"):format(lunik.now(), mark, s.space.name,
      s.address, s.address + s.size - 1, s.readonly and "ro" or s.romd and "rw" or "io", s.name,
      s.cause and s.cause.text or ""))
  end
end

local function listen(m)
  m:listen { name = "log", region_add = log "+", region_del = log "-" }
end

-- A board that adds a listener before it builds the machine.
local pc = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/../boards/pc.lua")
local board = {
  name = "pc", description = pc.description, options = pc.options, finish = pc.finish,
  build = function(m, opt)
    listen(m)
    pc.build(m, opt)
  end,
}

local kvm = io.open("/dev/kvm", "r+")
local options = { board = board, memory = "128M", maxmem = "1G", slots = 4 }
if kvm then
  kvm:close()
  options.kernel, options.serial = images.path "small.elf", "buffer"
else
  options.accel, options.serial = "none", "none"
end

local m = lunik.machine(options)
print "---- the guest boots"
m:start()
if kvm then
  m:console():expect("guest: ready", { timeout = 60 })
else
  require("lunik.guest").attach(m)
end
print "---- a DIMM is added and removed"
m:object_add("memory-backend-memfd", { id = "mem1", size = "256M" })
local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
local address = dimm.addr
m:device_del("dimm1"):wait { timeout = 30 }
print(("---- why nothing is at 0x%x now:\n%s"):format(address, m:why(address).text))
m:close()
