-- Linux whose I/O APIC, 8259As and PIT are the machine's own (irqchip = "split"), with the I/O APIC
-- and without: its timer, the ACPI interrupt, a disk with MSI-X, and memory that comes and goes.
local command = require "spec.support.command"
local testing = require "lunik.testing"

local SIZE = 4 << 20

-- What the kernel is started with, and what /proc/interrupts has then, each with a count.
local CASES = {
  { name = "I/O APIC",
    timer = "IO%-APIC +2%-edge +timer\n", acpi = "IO%-APIC +9%-fasteoi +acpi\n" },
  { name = "8259As alone", append = "noapic",
    timer = "XT%-PIC +timer\n", acpi = "XT%-PIC +acpi\n" },
}

local function unavailable()
  return testing.unavailable "linux" or os.getenv "LUNIK_QUICK" and "LUNIK_QUICK is set" or nil
end

-- How many interrupts of a kind the guest's only CPU has taken.
local function taken(agent, kind)
  local text = agent:read "/proc/interrupts"
  local count = text:match("\n *%w+: +(%d+) +" .. kind)
  return assert(tonumber(count), ("no '%s' in\n%s"):format(kind, text))
end

for _, case in ipairs(CASES) do
  it(("Linux uses the %s of irqchip split"):format(case.name), function()
    local why = unavailable()
    if why then return pending(why) end
    local path = testing.directory() .. "/disk"
    local _, err, code = command.run(("head -c %d /dev/urandom >%s"):format(SIZE, path))
    assert.equal(0, code, err)
    local t = testing.machine {
      guest = "linux", irqchip = "split", memory = "256M", maxmem = "1G", slots = 2,
      append = case.append,
      objects = { { "blockdev-file", { id = "file", filename = path } } },
      devices = { { "virtio-blk-pci", { bus = "i440fx", id = "disk", drive = "file" } } },
    }
    local agent = t.guest.agent
    assert.is_true(taken(agent, case.timer) > 0)
    local requests, answers = taken(agent, "PCI%-MSI +%d+%-edge +virtio0%-req%.0\n"),
      taken(agent, case.acpi)
    assert.equal((command.run("sha256sum " .. path)):match "^%x+", (agent:sha256 "/dev/vda"))
    assert.is_true(taken(agent, "PCI%-MSI +%d+%-edge +virtio0%-req%.0\n") > requests)
    t:plug { id = "dimm1", size = "128M" }
    t:check()
    t:unplug "dimm1"
    t:check()
    assert.is_true(taken(agent, case.acpi) >= answers + 2)
    assert.is_true(t.m:irq_count(9) >= 2)
  end)
end
