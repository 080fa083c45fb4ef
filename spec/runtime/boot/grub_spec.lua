-- A program that looks at the machine by itself, on KVM: GRUB from a virtio disk, with its commands
-- for tables and buses. `make guest-grub` builds the disk, which is not part of what is built for
-- the specs.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local BIOS = "/usr/share/seabios/bios-256k.bin"
local DISK = command.build .. "/guest-grub/disk.img"

local function unavailable()
  if not command.kvm() then return "no /dev/kvm" end
  for _, path in ipairs { BIOS, DISK } do
    local file = io.open(path)
    if not file then return "no " .. path .. " (package seabios, make guest-grub)" end
    file:close()
  end
end

local WAIT = { timeout = 240 } -- seconds

-- What is printed without the sequences that move the cursor and choose colours.
local function plain(text) return (text:gsub("\27%[[%d;?]*%a", ""):gsub("\r", "")) end

describe("GRUB", function()
  after_each(machines.close_all)

  it("boots from a virtio disk, and finds tables valid, PCI functions and SMBIOS", function()
    local why = unavailable()
    if why then return pending(why) end
    local m = lunik.machine {
      board = "pc", memory = "256M", maxmem = "1G", slots = 2, cpus = 2, maxcpus = 4,
      serial = "buffer", firmware = BIOS,
      smbios = { manufacturer = "Acme", product = "Anvil 9000", serial = "0001" },
      objects = {
        { "blockdev-file", { id = "disk", filename = DISK, readonly = true } },
      },
      devices = { { "virtio-blk-pci", { bus = "i440fx", drive = "disk", addr = "7" } } },
    }
    m:start()
    m:console():expect("grub: ends", WAIT)
    local text = plain(m:console():text()):match "grub: begins\n(.*)grub: ends"
    assert.matches("RSDPv2 signature:RSD PTR  chksum:%x+ %(valid%), OEM%-ID: LUNIK  rev=2", text)
    for _, name in ipairs { "XSDT", "FACP", "APIC", "SRAT" } do
      assert.matches("\n" .. name .. " +%d+B rev=%d+ chksum=0x%x+ %(valid%) OEM=LUNIK", text)
    end
    assert.not_matches("not valid", text)
    assert.not_matches("invalid", text)
    local cpus = {}
    for id, flags in text:gmatch "\n  LAPIC ACPI_ID=%x+ APIC_ID=(%x+) Flags=(%x+)" do
      cpus[#cpus + 1] = id .. " " .. flags
    end
    assert.same({ "00 00000001", "01 00000001", "02 00000002", "03 00000002" }, cpus)
    for _, line in ipairs { "00:00.0 8086:1237 [0600] Host Bridge",
      "00:01.0 8086:7000 [0601] ISA Bridge", "00:01.3 8086:7113 [0680] ",
      "00:07.0 1af4:1042 [0100] SCSI Controller", "\nAcme\n", "\nAnvil 9000\n" } do
      assert.is_truthy(text:find(line, 1, true), line .. " in " .. text)
    end
  end)
end)
