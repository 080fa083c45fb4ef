-- SeaBIOS on KVM: its menu on the serial port, what its log says of the board, a disk that it boots
-- from, and shadow RAM that changes while the guest executes in it.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local BIOS = "/usr/share/seabios/bios-256k.bin"

local function unavailable()
  if not command.kvm() then return "no /dev/kvm" end
  local file = io.open(BIOS)
  if not file then return "no " .. BIOS .. " (package seabios)" end
  file:close()
  local _, _, code = command.run "command -v as ld"
  return code ~= 0 and "no assembler (package binutils)" or nil
end

local why = unavailable()
if why then
  return describe("SeaBIOS", function()
    it("boots on KVM", function() pending(why) end)
  end)
end

local WAIT = { timeout = 60 } -- seconds for what takes one or two on a quiet machine

-- Prints; has the segment at 0xd0000 be RAM, runs a routine there that makes it read-only and
-- writes to it in vain, has reads go past it, and at last finds the routine as it was.
local SECTOR = [[
    .code16
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %sp
    mov $begins, %si
    call print
    mov $0x8000005c, %eax
    mov $0xcf8, %dx
    outl %eax, %dx
    mov $0x33, %al
    call shadow
    mov $0xd000, %ax
    mov %ax, %es
    mov $routine, %si
    xor %di, %di
    mov $routine_end - routine, %cx
    cld
    rep movsb
    lcall $0xd000, $0
    mov $readonly, %si
    cmpb $0xba, %es:0
    jne fail
    call print
    mov $0x22, %al
    call shadow
    mov $hidden, %si
    cmpb $0xff, %es:0
    jne fail
    call print
    mov $0x33, %al
    call shadow
    mov $kept, %si
    cmpb $0xba, %es:0
    jne fail
    call print
    hlt
fail:
    mov $failed, %si
    call print
    hlt
shadow:
    mov $0xcfc, %dx
    outb %al, %dx
    ret
routine:
    mov $0xcfc, %dx
    mov $0x11, %al
    outb %al, %dx
    movb $0, %es:0
    lret
routine_end:
print:
    mov $0x3f8, %dx
1:  lodsb
    test %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  ret
begins: .asciz "sector: begins\r\n"
readonly: .asciz "sector: read-only\r\n"
hidden: .asciz "sector: hidden\r\n"
kept: .asciz "sector: kept\r\n"
failed: .asciz "sector: failed\r\n"
    .org 510
    .word 0xaa55
]]

-- Returns what an assembler makes of a boot sector.
local function assembled(source)
  local object <close> = command.file ""
  local image <close> = command.file ""
  local _, err, code = command.run(("as -o %s && ld -Ttext=0x7c00 -e 0 --oformat=binary -o %s %s")
    :format(object, image, object), source)
  assert.equal(0, code, err)
  return command.read(image)
end

-- What the log has, in this order, with other lines between.
local LOG = {
  "^SeaBIOS %(version ", "\nRunning on QEMU %(i440fx%)\n", "\nRunning on KVM\n",
  "\nFound QEMU fw_cfg\n", "\nQEMU fw_cfg DMA interface supported\n",
  "\nqemu/e820: addr 0x0000000000000000 len 0x00000000000a0000 %[RAM%]\n",
  "\nqemu/e820: addr 0x0000000000100000 len 0x000000000ff00000 %[RAM%]\n",
  "\nRelocating init from 0x%x+ to 0x0%x+ ", "\nMoving pm_base to 0x600\n",
  "\nkvmclock: at 0x%x+ ", "\nFound 4 PCI devices %(max PCI bus is 00%)\n",
  "\nPCI: init bdf=00:00%.0 id=8086:1237\n", "\nPCI: init bdf=00:01%.0 id=8086:7000\n",
  "\nPIIX3/PIIX4 init: elcr=00 0c\n", "\nPCI: init bdf=00:01%.3 id=8086:7113\n",
  "\nPCI: init bdf=00:07%.0 id=1af4:1042\n", "\nFound 2 cpu%(s%) max supported 2 cpu%(s%)\n",
  "\nCopying SMBIOS 3%.0 from ", "\ntable%(50434146%)=0x%x+ %(via xsdt%)\n",
  "\nfound virtio%-blk at 00:07%.0\n", "\npci dev 00:07%.0 using modern %(1%.0%) virtio mode\n",
  "\nFound 1 serial ports\n", "\nPress ESC for boot menu%.\n",
  "\ndrive 0x%x+: PCHS=%d+/%d+/%d+ translation=none LCHS=%d+/%d+/%d+ s=2048\n",
  "\ne820 map has %d+ items:\n", "\nenter handle_19:\n", "\nBooting from Hard Disk%.%.%.\n",
  "\nBooting from 0000:7c00\n",
}

local function assert_in_order(log)
  local at = 1
  for _, pattern in ipairs(LOG) do
    local _, last = log:find(pattern, at)
    assert.is_truthy(last, ("no '%s' in what follows:\n%s"):format(pattern, log:sub(at)))
    at = last -- the line end, with which the next line's pattern begins
  end
end

describe("SeaBIOS", function()
  after_each(machines.close_all)

  for _, irqchip in ipairs { "kernel", "split" } do
    it("shows its menu and boots from a disk, with irqchip " .. irqchip, function()
      local sector = assembled(SECTOR)
      local disk <close> = command.file(sector .. ("\0"):rep((1 << 20) - #sector))
      local log = {}
      local m = lunik.machine {
        board = "pc", memory = "256M", maxmem = "1G", slots = 2, cpus = 2, serial = "buffer",
        irqchip = irqchip, firmware = BIOS, boot = { menu = true, menu_wait = 60000 },
        firmware_log = function(bytes) log[#log + 1] = bytes end,
        objects = { { "blockdev-file", { id = "disk", filename = tostring(disk) } } },
        devices = { { "virtio-blk-pci", { bus = "i440fx", drive = "disk", addr = "7" } } },
      }
      m:fw_cfg_add("etc/sercon-port", ("<I2"):pack(0x3f8))
      m:start()
      local console = m:console()
      console:expect("Press ESC for boot menu", WAIT)
      console:write "\27"
      console:expect("Select boot device:", WAIT)
      console:expect("1%. Virtio disk PCI:00:07%.0", WAIT)
      console:write "1"
      for _, line in ipairs { "begins", "read-only", "hidden", "kept" } do
        assert.equal("sector: " .. line, console:expect("(sector: [^\r]*)\r", WAIT))
      end
      assert_in_order(table.concat(log))
      -- What it has put into shadow RAM is behind the segment that the ROM was in.
      local shadow = m:read(0xf0000, 0x10000)
      for _, anchor in ipairs { "_SM3_", "RSD PTR ", "_MP_", "$PIR" } do
        assert.is_truthy(shadow:find(anchor, 1, true), anchor)
      end
    end)
  end
end)
