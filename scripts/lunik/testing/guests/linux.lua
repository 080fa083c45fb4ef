--- A Linux kernel on KVM: that of `make guest-linux`, or $LUNIK_KERNEL. Its /init is the project's
-- agent (lunik.agent), on the second serial port, so that the kernel's log has the first to itself.

local await = require "lunik.testing.await"
local guests = require "lunik.testing.guests"
local images = require "lunik.guest_images"
local initramfs = require "lunik.initramfs"
local lunik = require "lunik"

-- Switches off what KVM may not be able to run where it emulates the guest's ring 0, and what only
-- costs time there. Ordinary hardware needs only the first three words.
local CMDLINE = "console=ttyS0 panic=-1 memhp_default_state=online_movable "
  .. "earlyprintk=serial,ttyS0 lpj=4000000 no_timer_check noxsave mitigations=off swiotlb=noforce "
  .. "clearcpuid=smap,smep,popcnt,xsave,avx,erms,fsrm,pcid,invpcid,movbe,fsgsbase,la57 "
  .. "agent=ttyS1"

local ATTEMPT = 2 -- seconds in which the agent answers, if it has started

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
  local path, missing = images.find "agent"
  return not path and missing or nil
end

-- How the agent calls the kernel: that of `make guest-linux`, an ELF file, takes `ud2`, which also
-- works where KVM emulates ring 0; a distribution's, a bzImage, does not.
local function system_call()
  local given = os.getenv "LUNIK_AGENT_CALL"
  if given then return given end
  local file <close> = io.open(kernel(), "rb")
  return file and file:read(4) == "\x7fELF" and "ud2" or "syscall"
end

-- The kernel's command line, with words of a test's own.
local function cmdline(append)
  return ("%s agent_call=%s%s"):format(CMDLINE, system_call(), append and " " .. append or "")
end

function Linux.options(given)
  local options = {
    kernel = kernel(), cmdline = cmdline(given.append), memory = "128M",
    objects = { { "chardev-buffer", { id = "agent" } } },
    devices = { { "serial16550",
      { id = "serial1", iobase = 0x2f8, irq = 3, chardev = "agent" } } },
  }
  if given.initrd ~= nil then return options end
  options.initrd = os.tmpname()
  initramfs.write(options.initrd, {
    ["/init"] = { file = images.path "agent", mode = "755" },
    ["/dev/console"] = { char = { 5, 1 } },
  })
  return options, function() os.remove(options.initrd) end
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
  return { test = t, m = t.m, agent = lunik.agent(t.m, { chardev = "agent" }) }
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

--- Waits until the guest runs its /init, and the agent answers.
function Linux:ready()
  await.on(self.test, "the guest to be ready", 2 * self.test.timeout, function()
    return self:is_ready()
  end)
  await.on(self.test, "the guest's agent", self.test.timeout, function()
    return pcall(self.agent.ready, self.agent, { timeout = ATTEMPT })
  end)
end

function Linux:listens() return true end

--- Waits until the guest has printed nothing for a moment.
function Linux:idle()
  local last, since = #self.test.console:text(), 0
  await.on(self.test, "the guest to be idle", self.test.timeout, function()
    local now = #self.test.console:text()
    since = now == last and since + 1 or 0
    last = now
    return since > 50
  end)
end

-- The ranges that the guest has as RAM: first address -> last.
local function ram(agent)
  local found = {}
  for first, last in agent:read("/proc/iomem"):gmatch "%f[%w](%x+)%-(%x+) : System RAM" do
    found[tonumber(first, 16)] = tonumber(last, 16)
  end
  return found
end

--- The DIMMs whose memory the guest has as RAM: slot -> {address=, size=}.
function Linux:memory()
  local found, ranges = {}, ram(self.agent)
  for _, device in ipairs(self.m:memory_devices()) do
    local dimm = device.data
    local last = device.type == "dimm" and ranges[dimm.addr]
    if last then found[dimm.slot] = { address = dimm.addr, size = last + 1 - dimm.addr } end
  end
  return found
end

--- How much memory the guest has, in bytes.
function Linux:total()
  return self.agent:memory().total
end

--- Has the guest reboot; returns when it is ready again.
function Linux:reboot()
  local resets = self.test.journal:count "reset"
  self.agent:reboot()
  await.on(self.test, "the reset that the guest asked for", self.test.timeout, function()
    return self.test.journal:count "reset" > resets
  end)
  self:ready()
end

return Linux
