-- memtest86+, booted by SeaBIOS: it tests the machine's memory, and shows the product that the
-- SMBIOS tables name. Only where Debian's package memtest86+ is installed.
local command = require "spec.support.command"
local lunik = require "lunik"

local MEMTEST = os.getenv "LUNIK_MEMTEST" or "/boot/memtest86+x64.bin"
local SEABIOS = "/usr/share/seabios/bios-256k.bin"
local WAIT = { timeout = 60 } -- seconds for what takes a few on a quiet machine

local function missing()
  if not command.kvm() then return "no /dev/kvm" end
  for _, path in ipairs { MEMTEST, SEABIOS } do
    local file = io.open(path)
    if not file then return "no " .. path .. " (packages memtest86+, seabios)" end
    file:close()
  end
end

describe("memtest86+", function()
  it("shows the SMBIOS product and tests the memory", function()
    local why = missing()
    if why then return pending(why) end
    local m <close> = lunik.machine {
      board = "pc", memory = "64M", serial = "buffer", firmware = SEABIOS, kernel = MEMTEST,
      cmdline = "console=ttyS0,115200 nosmp",
      smbios = { entry = "32", manufacturer = "Acme", product = "Anvil 9000" },
    }
    m:start()
    local console = m:console()
    console:expect("Acme Anvil 9000", WAIT)
    console:expect("Moving inversions", WAIT)
    assert.matches("Errors: 0", console:expect("Pass:  0        (Errors: %d+)", WAIT), 1, true)
  end)
end)
