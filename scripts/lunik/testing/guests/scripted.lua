--- The guest in Lua (lunik.guest) on a machine without vCPUs: needs no KVM.

local await = require "lunik.testing.await"
local lunik_guest = require "lunik.guest"

local Scripted = { name = "scripted", timeout = 20, kvm = false }

function Scripted.unavailable() end

function Scripted.options()
  return { accel = "none", memory = "64M" }
end

function Scripted.start(t)
  return { test = t, m = t.m, refuses = {} }
end

--- Starts the machine and waits until the guest is ready.
function Scripted:boot()
  self.m:start()
  if not self.test.deaf then self:listen() end
  self:ready()
end

--- Begins to answer hotplug, where the guest was deaf.
function Scripted:listen()
  self.guest = self.guest or lunik_guest.attach(self.m, {
    refuse_insert = function() return self.refuses.insert end,
    refuse_eject = function() return self.refuses.eject end,
    pages = 16,
    log = function(line) self.test.console:append(line .. "\n") end,
  })
end

--- Whether the guest answers hotplug.
function Scripted:listens()
  return self.guest ~= nil
end

--- Whether the guest has booted and has nothing to do.
function Scripted:is_ready()
  return self.guest and self.m.state == "running" and self.guest.booted
    and not self.guest:is_busy()
end

--- Waits until the guest has booted and has nothing to do.
function Scripted:ready()
  if not self.guest then return end
  await.on(self.test, "the guest to be ready", self.test.timeout, function()
    return self:is_ready()
  end)
end

Scripted.idle = Scripted.ready

--- The memory that the guest uses: slot -> {address=, size=}.
function Scripted:memory()
  local found = {}
  for slot, memory in pairs(self.guest and self.guest.online or {}) do
    found[slot] = { address = memory.address, size = memory.size }
  end
  return found
end

--- The PCI functions that the guest has found: {{bus=, slot=, fn=, vendor=, device=, bars=}, ...};
-- bars, {{index=, kind=, size=, address=}, ...}, of those that came while it ran.
function Scripted:pci()
  return self.guest and self.guest.pci and self.guest.pci:list() or {}
end

--- How much memory the guest has, in bytes.
function Scripted:total()
  return self.guest and self.guest:total()
end

--- Has the guest reboot; returns when it is ready again.
function Scripted:reboot()
  local resets = self.test.journal:count "reset"
  self.guest:reboot()
  await.on(self.test, "the reset that the guest asked for", self.test.timeout, function()
    return self.test.journal:count "reset" > resets
  end)
  self:ready()
end

--- Makes the guest refuse insertions, removals, or (false) neither, from now on.
function Scripted:refuse(what)
  self.refuses = what or {}
end

--- Writes a pattern over memory.
function Scripted:fill(address, size, seed)
  self.guest:fill(address, size, seed)
end

--- Reads the pattern back; returns nil and where it differs.
function Scripted:verify(address, size, seed)
  return self.guest:verify(address, size, seed)
end

return Scripted
