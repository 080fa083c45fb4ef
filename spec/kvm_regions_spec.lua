-- What KVM answers itself has its place in the memory map, and nothing else can take it. On KVM.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local command = require "spec.support.command"

if not command.kvm() then
  return describe("KVM's own devices", function()
    it("need KVM", function() pending "no /dev/kvm" end)
  end)
end

local TIMEOUT = 30
local IOAPIC, APIC = 0xfec00000, 0xfee00000

describe("KVM's own devices", function()
  local m

  before_each(function()
    m = lunik.machine { board = "pc", memory = "32M", serial = "buffer",
      kernel = command.build .. "/guests/small.elf" }
  end)

  after_each(machines.close_all)

  -- What the guest answers to a command.
  local function run(line)
    m:console():write(line .. "\n")
    return (m:console():expect("ok ([^\r\n]*)\r?\n", { timeout = TIMEOUT }))
  end

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
    m:start()
    m:console():expect("guest: ready", { timeout = TIMEOUT })
    run(("write 0x%x 1 4"):format(IOAPIC)) -- selects the version register
    local version = tonumber(run(("read 0x%x 4"):format(IOAPIC + 0x10)):match "0x%x+$")
    assert.are.equal(23, version >> 16 & 0xff) -- its last line
  end)
end)
