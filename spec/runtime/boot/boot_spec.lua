-- Booting: every protocol with the project's own guest, firmware, and what is said about files that
-- can't be booted. The loaders themselves have unit tests in spec/runtime/boot/test_boot.c.
local lunik = require "lunik"
local command = require "spec.support.command"
local small = require "spec.support.small_guest"

local SEABIOS = "/usr/share/seabios/bios-256k.bin"

describe("booting", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  for image, protocol in pairs {
    ["small.elf"] = "pvh",
    ["small-multiboot.elf"] = "multiboot",
    ["small-multiboot.bin"] = "multiboot",
    ["small.bzimage"] = "linux64",
    ["small32.bzimage"] = "linux32",
  } do
    it(("enters %s by %s, with map, command line and tables"):format(image, protocol), function()
      if small.unavailable() then return pending(small.unavailable()) end
      m = small.machine {
        kernel = small.image(image), memory = "64M", cmdline = 'slots=4 cmd="map; modules; exit 5"',
      }
      local text, ended = small.finish(m)
      assert.equal(11, ended.code)
      assert.matches(("guest: started by %s, 63 MiB of RAM\n"):format(protocol), text, 1, true)
      assert.matches("acpi: %d tables, 0 bad, 1 cpus, sci 9\n", text)
      assert.matches("ok map 4 ranges, 0x3f9fc00 bytes of RAM\n", text, 1, true)
      assert.matches("ok modules 0\n", text, 1, true)
      assert.not_matches("unknown", text)
    end)
  end

  for image, modules in pairs {
    ["small.elf"] = true, ["small-multiboot.elf"] = true, ["small.bzimage"] = false,
  } do
    it("hands an initrd to " .. image, function()
      if small.unavailable() then return pending(small.unavailable()) end
      local initrd <close> = command.file(("initrd "):rep(1000))
      local module <close> = command.file("module")
      m = small.machine {
        kernel = small.image(image), initrd = tostring(initrd), cmdline = 'cmd="modules; exit 1"',
        modules = modules and { module .. " with arguments" } or nil,
      }
      local text = small.finish(m)
      local at, size = text:match("module 0 at 0x(%x+) size 0x(%x+)")
      assert.equal(7000, tonumber(size, 16))
      assert.equal(("initrd "):rep(1000), m:read(tonumber(at, 16), 7000))
      if modules then
        local second, arguments = text:match("module 1 at 0x(%x+) size 0x6 '(.-)'")
        assert.equal("module", m:read(tonumber(second, 16), 6))
        assert.equal(module .. " with arguments", arguments)
      end
      assert.matches(("ok modules %d\n"):format(modules and 2 or 1), text)
    end)
  end

  it("places everything anew at a reset", function()
    if small.unavailable() then return pending(small.unavailable()) end
    m = small.machine {}
    local first = small.start(m)
    m:write(0x200000, ("\xcc"):rep(0x10000))
    m:reset()
    assert.equal(first, small.ready(m))
  end)

  it("maps a firmware image below 4 GiB and below 1 MiB", function()
    if small.unavailable() then return pending(small.unavailable()) end
    m = lunik.machine {
      board = "pc", memory = "16M", serial = "buffer", firmware = small.image("firmware.bin"),
    }
    local text, ended = small.finish(m)
    assert.equal("firmware: reset vector\nfirmware: alias below 1 MiB ok\n"
      .. "firmware: read-only ok\nfirmware: ram ok\nfirmware: done\n", text)
    assert.equal(33, ended.code)
    assert.matches("00000000ffff0000%-00000000ffffffff %(prio 0, rom%): pc.bios",
      m:mtree { flat = true })
  end)

  it("runs SeaBIOS up to its search for something to boot", function()
    if small.unavailable() then return pending(small.unavailable()) end
    local bios = io.open(SEABIOS)
    if not bios then return pending("no " .. SEABIOS) end
    bios:close()
    m = lunik.machine { board = "pc", memory = "64M", serial = "none", firmware = SEABIOS,
      firmware_log = "buffer" }
    m:start()
    local log = require("lunik.console").of(m:object("firmware-log-chardev"))
    log:expect("SeaBIOS %(version", { timeout = small.TIMEOUT })
    for _, line in ipairs { "Running on QEMU %(i440fx%)", "Found QEMU fw_cfg",
      "QEMU fw_cfg DMA interface supported", "Moving pm_base to 0x600",
      "Found 1 cpu%(s%) max supported 1 cpu%(s%)", "Copying SMBIOS", "ACPI: parse DSDT at",
      "No bootable device" } do
      log:expect(line, { timeout = 3 * small.TIMEOUT })
    end
  end)

  it("ends with the guest's exit code when asked for it from the command line", function()
    if small.unavailable() then return pending(small.unavailable()) end
    m = small.machine { cmdline = 'cmd="exit 0"' }
    local _, ended = small.finish(m)
    assert.same({ "exit-device", 1 }, { ended.reason, ended.code })
  end)
end)

describe("a kernel that can't be booted", function()
  local function refuse(options, message)
    options.board, options.accel = "pc", "none"
    options.memory = options.memory or "64M"
    options.serial = "none"
    local ok, err = pcall(lunik.machine, options)
    assert.is_false(ok)
    assert.matches(message, tostring(err), 1, true)
    assert.same({}, lunik.machines())
  end

  for name, case in pairs {
    ["is missing"] = { "/nonexistent/vmlinux",
      "kernel: '/nonexistent/vmlinux' can't be opened: no such file or directory" },
    ["is a directory"] = { "/tmp", "kernel: '/tmp' is a directory (want a file)" },
    ["is a device"] = { "/dev/zero", "kernel: '/dev/zero' is not a regular file" },
  } do
    it(name, function() refuse({ kernel = case[1] }, case[2]) end)
  end

  for name, case in pairs {
    ["is empty"] = { "", "is empty" },
    ["is text"] = { "hello", "is not a kernel: it starts with 68 65 6c 6c (want an ELF image" },
    ["is compressed"] = { "\x1f\x8b\x08\x00xxxx", "compressed by gzip: unpack it" },
    ["is an ELF image for another machine"] = {
      "\x7fELF\2\1\1" .. ("\0"):rep(9) .. "\2\0\xb7\0" .. ("\0"):rep(44), "for machine 183" },
  } do
    it(name, function()
      local path <close> = command.file(case[1])
      refuse({ kernel = tostring(path) }, case[2])
    end)
  end

  it("is truncated", function()
    local file = assert(io.open(small.image("small.elf"), "rb"))
    local path <close> = command.file(file:read(6000))
    file:close()
    refuse({ kernel = tostring(path) }, "segment 0 is truncated")
  end)

  it("does not fit", function()
    refuse({ kernel = small.image("small.elf"), memory = "3M" },
      "is outside RAM (RAM is 0x0-0x9fbff, 0x100000-0x2fffff)")
  end)

  it("has an initrd that does not fit", function()
    local initrd <close> = command.file(("x"):rep(7 << 20))
    refuse({ kernel = small.image("small.elf"), memory = "8M", initrd = tostring(initrd) },
      "initrd, 7340032 bytes, is too large for the free RAM")
  end)

  it("is given beside a firmware", function()
    refuse({ kernel = small.image("small.elf"), firmware = small.image("firmware.bin") },
      "firmware")
  end)

  it("has a firmware of odd size", function()
    local path <close> = command.file(("x"):rep(1000))
    refuse({ firmware = tostring(path) }, "has 1000 bytes (want a multiple of 4096)")
  end)
end)
