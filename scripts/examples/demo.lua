-- The demo: a PC runs a small guest, takes a DIMM and gives it back. `make demo` runs it.
local lunik = require "lunik"
local board = require "lunik.board"
local host = require "lunik.host"

local BUILD = os.getenv("LUNIK_BUILD") or "build"
local SIZE = "256M"

-- ---- output ------------------------------------------------------------------------------------

local colours = host.isatty(1) and not os.getenv("NO_COLOR")

local function paint(code, text)
  return colours and ("\27[%sm%s\27[0m"):format(code, text) or text
end

local function heading(...)
  print("\n" .. paint("1", string.format(...)))
end

local function line(who, colour, text)
  print(("%8.3f s  %s  %s"):format(lunik.now(), paint(colour, ("%-5s"):format(who)), text))
  io.stdout:flush()
end

local function say(...)
  line("lunik", "36", string.format(...))
end

local function guest_says(text)
  line("guest", "33", text)
end

-- ---- two kinds of guest ------------------------------------------------------------------------

-- Returns whether this process may use KVM; if not, why.
local function kvm_usable()
  local file, why = io.open("/dev/kvm", "r+")
  if file then
    file:close()
  end
  return file ~= nil, why
end

local OPTIONS = { name = "demo", board = "pc", memory = "128M", maxmem = "1G", slots = 4 }

local function with(options)
  local all = {}
  for _, from in ipairs { OPTIONS, options } do
    for key, value in pairs(from) do
      all[key] = value
    end
  end
  return all
end

-- Runs the small guest of spec/guests on a real vCPU; prints its UART's lines as they come.
local function real_guest()
  local rest = ""
  local m = lunik.machine(with {
    cpus = 2, kernel = BUILD .. "/guests/small.elf",
    serial = function(bytes)
      rest = rest .. bytes
      for text in rest:gmatch("([^\r\n]*)\r?\n") do
        guest_says(text)
      end
      rest = rest:match("[^\n]*$")
    end,
  })
  return m, {
    boot = function()
      m:start()
      m:console():expect("guest: ready", { timeout = 60 })
    end,
    has_said = function(text) m:console():expect(text, { timeout = 30 }) end,
    power_off = function()
      m:console():write("poweroff\n")
      m:wait("shutdown", { timeout = 30 })
    end,
  }
end

-- Runs a guest written in Lua that uses the same registers, without KVM.
local function scripted_guest()
  local m = lunik.machine(with { accel = "none", serial = "none" })
  return m, {
    boot = function()
      m:start()
      require("lunik.guest").attach(m, { log = guest_says })
    end,
    has_said = function() lunik.sleep(0) end,
    power_off = function() m:shutdown() end,
  }
end

-- ---- the story ---------------------------------------------------------------------------------

local function show_board(m)
  for _, object in ipairs(m:objects()) do
    say("  %-20s %s", object.type, object.id)
  end
end

local function show_memory(m)
  for _, range in ipairs(m:fwmap()) do
    if range.type == "ram" then
      say("  RAM   0x%09x  %s", range.base, board.show(range.size))
    end
  end
  for _, device in ipairs(m:memory_devices()) do
    local dimm = device.data
    say("  DIMM  0x%09x  %s  slot %d, %s", dimm.addr, board.show(dimm.size), dimm.slot, dimm.id)
  end
end

local function plug(m, guest)
  m:object_add("memory-backend-memfd", { id = "mem1", size = SIZE, share = true })
  say("object_add memory-backend-memfd id=mem1 size=%s share=true", SIZE)
  say("device_add pc-dimm id=dimm1 memdev=mem1")
  local start = lunik.now()
  local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
  say("dimm1 is in slot %d at 0x%x; the guest gets an interrupt", dimm.slot, dimm.addr)
  local ost = m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
  guest.has_said("slot 0 accepted")
  say("the guest answers _OST source %d status %d: %s, after %.0f ms", ost.source, ost.status,
    ost.status == 0 and "accepted" or "refused", (lunik.now() - start) * 1000)
  return ost.status == 0
end

local function unplug(m, guest)
  say("device_del dimm1")
  local start = lunik.now()
  local request = m:device_del("dimm1")
  request:wait { timeout = 30 }
  local seconds = lunik.now() - start
  guest.has_said("slot 0 ejected")
  say("dimm1 is %s, after %.0f ms", request.state, seconds * 1000)
  m:object_del("mem1")
  return request.state == "ejected"
end

local real, why = kvm_usable()
heading("Lunik %s: a machine that takes memory and gives it back while it runs", lunik.version)
if not real then
  say("KVM can't be used here (%s):", why)
  say("a guest written in Lua takes the part of the real one.")
end

local m, guest = (real and real_guest or scripted_guest)()
heading("The board, from scripts/boards/pc.lua")
show_board(m)
heading("The guest boots")
guest.boot()
heading("A DIMM goes in")
local accepted = plug(m, guest)
show_memory(m)
heading("The DIMM comes out")
local ejected = unplug(m, guest)
show_memory(m)
heading("The end")
guest.power_off()
say("the machine has shut down, exit code %d", m.exit_code)
m:close()
lunik.exit(accepted and ejected and 0 or 1)
