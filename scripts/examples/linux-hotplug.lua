-- Boots Linux, gives it a DIMM while it runs and takes it back.
--
--   lunik scripts/examples/linux-hotplug.lua [KERNEL [INITRD]]
--
-- LUNIK_CPUS=1 and LUNIK_SLOTS=4 can be changed; LUNIK_VERBOSE=1 shows the log at the end.
--
-- KERNEL: $LUNIK_KERNEL or what `make guest-linux` built; a distribution's kernel does as well.
-- INITRD: by default an image whose /init only spins; the kernel's log shows everything.
local lunik = require "lunik"
local initramfs = require "lunik.initramfs"

local BUILD = os.getenv("LUNIK_BUILD") or "build"
local kernel = arg[1] or os.getenv("LUNIK_KERNEL") or BUILD .. "/guest-linux/vmlinux"
local initrd = arg[2]
local CPUS = tonumber(os.getenv("LUNIK_CPUS")) or 1
local SLOTS = tonumber(os.getenv("LUNIK_SLOTS")) or 4
local verbose = os.getenv("LUNIK_VERBOSE")

-- Switches off what KVM may not be able to run where it emulates the guest's ring 0, and what only
-- costs time there. Ordinary hardware needs only the first three words.
local CMDLINE = "console=ttyS0 panic=-1 memhp_default_state=online_movable "
  .. "earlyprintk=serial,ttyS0 lpj=4000000 no_timer_check noxsave mitigations=off swiotlb=noforce "
  .. "clearcpuid=smap,smep,popcnt,xsave,avx,erms,fsrm,pcid,invpcid,movbe,fsgsbase,la57"

-- Patterns that must not occur in the log.
local COMPLAINTS = {
  "ACPI [%u ]*Error", "ACPI [%u ]*Warning", "ACPI BIOS", "BIOS bug", "Firmware Bug.*ACPI",
  "Firmware Bug.*e820", "Firmware Bug.*IRQ", "Firmware Bug.*PCI", "WARNING:", "BUG:", "Oops",
  "Kernel panic", "irq %d+: nobody cared", "e820: .-overlap", "PCI: Fatal", "can't claim BAR",
  "BAR %d+: .-failed",
}

local function say(...)
  print(("[%6.1f s] %s"):format(lunik.now(), string.format(...)))
end

local function expect(condition, ...)
  if not condition then
    error(string.format(...), 0)
  end
end

local function spinning_initrd()
  local path = os.tmpname()
  initramfs.write(path, {
    ["/init"] = { file = BUILD .. "/guests/init", mode = "755" },
    ["/dev/console"] = { char = { 5, 1 } },
  })
  return path
end

local function boot()
  local temporary = not initrd and spinning_initrd()
  local m = lunik.machine {
    board = "pc", cpus = CPUS, memory = "128M", maxmem = "1G", slots = SLOTS,
    kernel = kernel, initrd = initrd or temporary, cmdline = CMDLINE, serial = "buffer",
  }
  if temporary then
    os.remove(temporary)
  end
  return m
end

-- Prints the guest's _OST answer to a plug (source 1) or an eject request (source 3).
local function report(ev)
  say("guest answers: %s, source %d, status %d", ev.device, ev.source, ev.status)
end

-- Returns the part of the kernel's log that is useful after a failure.
local function last_lines(text, count)
  local lines = {}
  for line in text:gmatch("[^\r\n]+") do
    table.insert(lines, line)
  end
  return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

local function complaints_in(text)
  local count = 0
  for line in text:gmatch("[^\r\n]+") do
    for _, pattern in ipairs(COMPLAINTS) do
      if line:find(pattern) then
        count = count + 1
        say("in its log: %s", line)
        break
      end
    end
  end
  return count
end

local function scenario(m, console)
  m:start()
  say("booting %s", kernel)
  console:expect("Run /init as init process", { timeout = 600 })
  local before = console:text():match(".*Total pages: (%d+)")
  say("Linux runs; its zones have %s pages", before)

  m:object_add("memory-backend-memfd", { id = "mem1", size = "128M", share = true })
  local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
  say("plugged dimm1, 128 MiB at 0x%x", dimm.addr)
  local ost = m:wait("acpi-ost", { device = "dimm1", timeout = 300 })
  expect(ost.source == 1 and ost.status == 0, "the guest refused dimm1: source %d, status %d",
    ost.source, ost.status)
  local after = console:expect("Total pages: (%d+)", { timeout = 60 })
  say("Linux took it: %s pages", after)
  expect(tonumber(after) > tonumber(before), "the guest has no more pages than before")

  local unplug = m:device_del("dimm1")
  say("asked for dimm1 back")
  unplug:wait { timeout = 300 }
  m:object_del("mem1")
  say("Linux let it go: dimm1 is %s", unplug.state)
  expect(complaints_in(console:text()) == 0, "the log has complaints")
end

-- Skips FWAIT, which KVM can't emulate in ring 0. Linux executes it when it ends a process that may
-- have used the FPU; no x87 exception is pending then, so it would do nothing.
local function step_over_fwait(ev)
  if ev.reason == "emulation-failure" and ev.insn:byte() == 0x9b then
    ev.vcpu:set_reg("rip", ev.rip + 1)
    return "resume"
  end
end

local m = boot()
local console = m:console()
m:on("acpi-ost", report)
m:on("vcpu-exit", step_over_fwait)
local ok, err = pcall(scenario, m, console)
if verbose or not ok then
  io.stderr:write(last_lines(console:text(), verbose and math.huge or 20), "\n")
end
m:close()
if not ok then
  error(err, 0)
end
say("done")
