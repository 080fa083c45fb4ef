-- Addresses that KVM serves itself are in the memory map, and nothing else can take them. On KVM.
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local IOAPIC, APIC = 0xfec00000, 0xfee00000

describe("KVM's own devices", function()
  local m

  if small.unavailable() then
    return it("need KVM", function() pending(small.unavailable()) end)
  end

  before_each(function() m = small.machine { memory = "32M" } end)

  after_each(machines.close_all)

  local function shown_at(address) return m.memory:find(address).region.name end

  it("hide what a script puts there", function()
    m.memory.root:add(m:region { kind = "io", name = "mine", size = 0x200000, read = error },
      APIC - 0x100000)
    assert.are.equal("mine", shown_at(APIC - 1))
    assert.are.equal("kvm-apic-msi", shown_at(APIC))
  end)

  it("stay there when memory comes", function()
    m:object_add("memory-backend-ram", { id = "mem", size = "4M" })
    m.memory.root:add(m:region { kind = "ram", name = "mine", memdev = "mem" }, IOAPIC - 0x200000)
    assert.are.equal("mine", shown_at(IOAPIC - 1))
    assert.are.equal("mine", shown_at(IOAPIC + 0x1000))
    small.start(m)
    small.run(m, ("write 0x%x 1 4"):format(IOAPIC)) -- selects the version register
    local _, answer = small.run(m, ("read 0x%x 4"):format(IOAPIC + 0x10))
    local version = tonumber(answer:match "0x%x+$")
    assert.are.equal(23, version >> 16 & 0xff) -- its last line
  end)
end)
