-- What the pc board hands to firmware through the fw-cfg device, and what it refuses.
local lunik = require "lunik"
local linuxboot = require "lunik.linuxboot"

local small = require "spec.support.small_guest"

local GiB = 1 << 30

local KERNEL_ADDR, KERNEL_DATA, INITRD_ADDR, INITRD_DATA = 0x07, 0x11, 0x0a, 0x12
local CMDLINE_ADDR, CMDLINE_DATA, SETUP_ADDR, SETUP_SIZE, SETUP_DATA = 0x13, 0x15, 0x16, 0x17, 0x18

local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read "a"
  file:close()
  return data
end

local function write(data)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(data)
  file:close()
  return path
end

describe("a firmware", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function machine(options)
    options.board, options.accel, options.serial = "pc", "none", "none"
    options.memory = options.memory or "64M"
    options.firmware = options.firmware or small.image "firmware.bin"
    m = lunik.machine(options)
    return m
  end

  local function refused(message, options)
    local ok, err = pcall(machine, options)
    assert.is_false(ok)
    assert.matches(message, err.message, 1, true)
  end

  it("gets the memory map without what it reserves itself", function()
    machine { memory = "64M", lowmem = "32M", slots = 1, maxmem = "1G" }
    local map, list = m:fw_cfg "etc/e820", {}
    for at = 1, #map, 20 do list[#list + 1] = { ("<I8I8I4"):unpack(map, at) } end
    for _, entry in ipairs(list) do entry[4] = nil end
    assert.same({ { 0, 0xa0000, 1 }, { 0x100000, 0x1f00000, 1 }, { 4 * GiB, 0x2000000, 1 } }, list)
    assert.equal(("<I8"):pack(5 * GiB + 2 * GiB), m:fw_cfg "etc/reserved-memory-end")
  end)

  it("gets ACPI tables to place, unless they are not wanted", function()
    machine {}
    assert.equal("RSD PTR ", m:fw_cfg("etc/acpi/rsdp"):sub(1, 8))
    assert.equal(0, #m:fw_cfg "etc/table-loader" % 128)
    m:close()
    machine { acpi = false }
    assert.is_nil(m:fw_cfg "etc/table-loader")
  end)

  it("gets a boot order and how long to wait", function()
    machine { boot = { order = { "/a@1/b", "HALT" }, menu = true, menu_wait = 300,
      fail_wait = 5000 } }
    assert.equal("/a@1/b\nHALT\0", m:fw_cfg "bootorder")
    assert.equal(1, ("<I2"):unpack(m:fw_cfg(0x0e)))
    assert.equal(300, ("<I2"):unpack(m:fw_cfg "etc/boot-menu-wait"))
    assert.equal(5000, ("<I4"):unpack(m:fw_cfg "etc/boot-fail-wait"))
    m:close()
    machine {}
    assert.is_nil(m:fw_cfg "bootorder")
    assert.equal(0, ("<I2"):unpack(m:fw_cfg(0x0e)))
    assert.equal("\x80\0\0\x81\x82\x80", m:fw_cfg "etc/system-states")
  end)

  it("boots from disks in the order of their bootindex", function()
    local function disk(id, addr, bootindex)
      return { "virtio-blk-pci",
        { bus = "i440fx", drive = id, addr = addr, bootindex = bootindex } }
    end
    local function contents(id)
      return { "blockdev-lua", { id = id, size = "1M", readonly = true, read = function() end } }
    end
    machine {
      objects = { contents "a", contents "b", contents "c" },
      devices = { disk("a", "5", 7), disk("b", "6.0"), disk("c", "7.0", 2) },
    }
    assert.equal("/pci@i0cf8/scsi@7/disk@0,0\n/pci@i0cf8/scsi@5/disk@0,0\0", m:fw_cfg "bootorder")
  end)

  it("boots no kernel that can't be read", function()
    local ok, err = pcall(machine, { kernel = "/" })
    assert.is_false(ok)
    assert.matches("kernel: /: illegal operation on a directory", err.message, 1, true)
  end)

  it("writes its log where the option says", function()
    local log = {}
    machine { firmware_log = function(bytes) log[#log + 1] = bytes end }
    for c in ("hello"):gmatch "." do m:outb(0x402, c:byte()) end
    lunik.sleep(0)
    assert.equal("hello", table.concat(log))
    assert.equal(0xe9, m:inb(0x402))
  end)

  it("boots a Linux kernel through its items", function()
    local rom = io.open(linuxboot.ROM)
    if not rom then return pending("no " .. linuxboot.ROM) end
    rom:close()
    local kernel = small.image "small.bzimage"
    local image, initrd = read(kernel), ("initrd"):rep(1000)
    local path = write(initrd)
    machine { kernel = kernel, initrd = path, cmdline = "a=b", boot = { order = { "HALT" } } }
    os.remove(path)
    local sectors = image:byte(0x1f2)
    local size = ((sectors == 0 and 4 or sectors) + 1) * 512
    local setup = m:fw_cfg(SETUP_DATA)
    local function header(offset, format) return (format:unpack(setup, offset + 1)) end
    assert.equal("/rom@genroms/linuxboot_dma.bin\nHALT\0", m:fw_cfg "bootorder")
    assert.equal(read(linuxboot.ROM), m:fw_cfg "genroms/linuxboot_dma.bin")
    assert.equal(image:sub(size + 1), m:fw_cfg(KERNEL_DATA))
    assert.equal(0x100000, ("<I4"):unpack(m:fw_cfg(KERNEL_ADDR)))
    assert.equal("a=b\0", m:fw_cfg(CMDLINE_DATA))
    assert.equal(initrd, m:fw_cfg(INITRD_DATA))
    local address = ("<I4"):unpack(m:fw_cfg(INITRD_ADDR))
    assert.equal(0, address % 4096)
    assert.is_true(address + #initrd <= (64 << 20) - 0x28000)
    assert.same({ size, size }, { #setup, (("<I4"):unpack(m:fw_cfg(SETUP_SIZE))) })
    assert.same({ address, #initrd }, { header(0x218, "<I4"), header(0x21c, "<I4") })
    assert.equal(("<I4"):unpack(m:fw_cfg(CMDLINE_ADDR)), header(0x228, "<I4"))
    assert.equal(0xb0, header(0x210, "B"))
    assert.equal(0x80, header(0x211, "B") & 0x80)
    local heap_end = ("<I4"):unpack(m:fw_cfg(SETUP_ADDR)) + 0x200 + header(0x224, "<I2")
    assert.equal(header(0x228, "<I4"), heap_end)
  end)

  it("can't boot what is no such kernel", function()
    refused("kernel: '" .. small.image "small.elf" .. "' is no bzImage",
      { kernel = small.image "small.elf" })
  end)

  it("recognises the host bridge of a virtual machine, with shadow RAM off", function()
    machine {}
    m:outl(0xcf8, 0x8000002c)
    assert.equal(0x11001af4, m:inl(0xcfc))
    local first = m:load(0xf0000, 4)
    pcall(m.store, m, 0xf0000, 4, ~first & 0xffffffff)
    assert.equal(first, m:load(0xf0000, 4))
    m:outl(0xcf8, 0x80000058)
    m:outb(0xcfd, 0x20) -- writes of the last segment go to RAM, reads still to the ROM
    m:store(0xf0000, 4, 0x12345678)
    assert.equal(first, m:load(0xf0000, 4))
    m:outb(0xcfd, 0x10) -- reads go to RAM, which is read-only
    assert.equal(0x12345678, m:load(0xf0000, 4))
    pcall(m.store, m, 0xf0000, 4, 0)
    assert.equal(0x12345678, m:load(0xf0000, 4))
  end)

  it("needs options that are right", function()
    refused("boot: order: [1]: '5' is not a string", { boot = { order = { 5 } } })
    refused("boot: order: [2]: 'a?b' is no path", { boot = { order = { "HALT", "a\nb" } } })
    refused("boot: fail_wait: '4294967296' is out of range", { boot = { fail_wait = 1 << 32 } })
    refused("boot: 'orders' is not an option (did you mean 'order'?)", { boot = { orders = {} } })
    refused("fw_cfg: 'false' is not possible with firmware", { fw_cfg = false })
    local ok, err = pcall(lunik.machine, { accel = "none", memory = "64M", boot = {} })
    assert.is_false(ok)
    assert.matches("boot: needs the fw-cfg device", err.message, 1, true)
  end)
end)
