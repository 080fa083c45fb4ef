--- A Linux kernel on KVM, watched through its log: that of `make guest-linux`, or $LUNIK_KERNEL.
-- Its /init only spins, so it takes no commands.

local await = require "lunik.testing.await"
local guests = require "lunik.testing.guests"
local images = require "lunik.guest_images"
local initramfs = require "lunik.initramfs"

-- Switches off what KVM may not be able to run where it emulates the guest's ring 0, and what only
-- costs time there. Ordinary hardware needs only the first three words.
local CMDLINE = "console=ttyS0 panic=-1 memhp_default_state=online_movable "
  .. "earlyprintk=serial,ttyS0 lpj=4000000 no_timer_check noxsave mitigations=off swiotlb=noforce "
  .. "clearcpuid=smap,smep,popcnt,xsave,avx,erms,fsrm,pcid,invpcid,movbe,fsgsbase,la57"

local Linux = { name = "linux", timeout = 300, kvm = true }

-- Lines that must not occur in the log: they are fatal for a test.
Linux.complaints = {
  "ACPI [%u ]*Error", "ACPI [%u ]*Warning", "ACPI BIOS", "BIOS bug", "Firmware Bug.*ACPI",
  "Firmware Bug.*e820", "Firmware Bug.*IRQ", "Firmware Bug.*PCI", "WARNING:", "BUG:", "Oops",
  "Kernel panic", "irq %d+: nobody cared", "e820: .-overlap", "PCI: Fatal", "can't claim BAR",
  "BAR %d+: .-failed",
}

local function kernel()
  local path = os.getenv "LUNIK_KERNEL"
  if path then return path end
  return (os.getenv "LUNIK_BUILD" or "build") .. "/guest-linux/vmlinux"
end

function Linux.unavailable()
  local why = guests.no_kvm()
  if why then return why end
  local file = io.open(kernel())
  if not file then return kernel() .. " is not there (make guest-linux, or set LUNIK_KERNEL)" end
  file:close()
  local path, missing = images.find "init"
  return not path and missing or nil
end

function Linux.options()
  local path = os.tmpname()
  initramfs.write(path, {
    ["/init"] = { file = images.find "init", mode = "755" },
    ["/dev/console"] = { char = { 5, 1 } },
  })
  return { kernel = kernel(), initrd = path, cmdline = CMDLINE, memory = "128M" },
    function() os.remove(path) end
end

-- Skips FWAIT, which KVM can't emulate in ring 0; no x87 exception is pending there.
local function step_over_fwait(ev)
  if ev.reason == "emulation-failure" and ev.insn:byte() == 0x9b then
    ev.vcpu:set_reg("rip", ev.rip + 1)
    return "resume"
  end
end

function Linux.start(t)
  t.m:on("vcpu-exit", step_over_fwait)
  for _, pattern in ipairs(Linux.complaints) do t.console:fail_on(pattern) end
  return { test = t, m = t.m }
end

--- Starts the machine and waits until the guest is ready.
function Linux:boot()
  self.m:start()
  self:ready()
end

--- Whether the guest runs its /init.
function Linux:is_ready()
  return self.test.console:is_ready "Run /init as init process"
end

--- Waits until the guest runs its /init.
function Linux:ready()
  await.on(self.test, "the guest to be ready", 2 * self.test.timeout, function()
    return self:is_ready()
  end)
end

function Linux:listens() return true end

--- Waits until the guest has printed nothing for a moment: it takes no commands to be asked.
function Linux:idle()
  local last, since = #self.test.console:text(), 0
  await.on(self.test, "the guest to be idle", self.test.timeout, function()
    local now = #self.test.console:text()
    since = now == last and since + 1 or 0
    last = now
    return since > 50
  end)
end

return Linux
