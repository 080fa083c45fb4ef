-- The SMBIOS tables, read by a reader of their own, and by dmidecode where it is installed.
local lunik = require "lunik"
local smbios = require "lunik.smbios"

local lines_of = require "spec.support.lines_of"

local GiB = 1 << 30

-- Returns the structures in the tables: {type=, handle=, body=, strings={...}}, the body with the
-- header.
local function structures(tables)
  local list, at = {}, 1
  while at <= #tables do
    local kind, size, handle = ("<BBI2"):unpack(tables, at)
    local s = { type = kind, handle = handle, body = tables:sub(at, at + size - 1), strings = {} }
    at = at + size
    if tables:sub(at, at + 1) == "\0\0" then
      at = at + 2
    else
      while tables:byte(at) ~= 0 do
        s.strings[#s.strings + 1] = ("z"):unpack(tables, at)
        at = at + #s.strings[#s.strings] + 1
      end
      at = at + 1
    end
    list[#list + 1] = s
  end
  assert.equal(#tables + 1, at)
  return list
end

local function of_type(list, kind)
  local found = {}
  for _, s in ipairs(list) do
    if s.type == kind then found[#found + 1] = s end
  end
  return found
end

-- Returns the string that the byte at an offset of a structure stands for.
local function text(s, offset)
  return s.strings[s.body:byte(offset + 1)]
end

local function value(s, offset, format)
  return (format:unpack(s.body, offset + 1))
end

describe("SMBIOS", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function machine(options)
    options.board, options.accel, options.serial = "pc", "none", "none"
    if options.fw_cfg == nil then options.fw_cfg = true end
    m = lunik.machine(options)
    return structures(m:fw_cfg "etc/smbios/smbios-tables")
  end

  it("has the tables that are required, each with its length", function()
    local lengths = {}
    for i, s in ipairs(machine { memory = "64M" }) do lengths[i] = { s.type, #s.body } end
    assert.same({ { 0, 24 }, { 1, 27 }, { 2, 15 }, { 3, 22 }, { 4, 48 }, { 16, 23 }, { 17, 40 },
      { 19, 31 }, { 32, 11 }, { 127, 4 } }, lengths)
  end)

  it("says what the options say", function()
    local list = machine {
      memory = "64M",
      smbios = { manufacturer = "Acme", product = "Anvil", version = "2", serial = "S-1",
        uuid = "01234567-89ab-cdef-0123-456789abcdef", sku = "K", family = "F", asset = "A",
        bios_vendor = "BV", bios_version = "BW", bios_date = "02/03/2024" },
    }
    local system, board, bios = of_type(list, 1)[1], of_type(list, 2)[1], of_type(list, 0)[1]
    assert.same({ "Acme", "Anvil", "2", "S-1", "K", "F" }, { text(system, 4), text(system, 5),
      text(system, 6), text(system, 7), text(system, 0x19), text(system, 0x1a) })
    assert.equal("\x67\x45\x23\x01\xab\x89\xef\xcd\x01\x23\x45\x67\x89\xab\xcd\xef",
      system.body:sub(9, 24))
    assert.equal(system.body:sub(9, 24), m:fw_cfg(2))
    assert.same({ "Acme", "Anvil", "A" }, { text(board, 4), text(board, 5), text(board, 8) })
    assert.equal(of_type(list, 3)[1].handle, value(board, 0x0b, "<I2"))
    assert.same({ "BV", "BW", "02/03/2024" }, { text(bios, 4), text(bios, 5), text(bios, 8) })
  end)

  it("describes processors", function()
    local cpus = of_type(machine { memory = "64M", cpus = 8, sockets = 2, cores = 2, threads = 2 },
      4)
    assert.equal(2, #cpus)
    assert.same({ 2, 2, 4 }, { cpus[2].body:byte(0x24, 0x26) })
    m:close()
    assert.equal(1, #of_type(machine { memory = "64M", cpus = 4 }, 4))
    m:close()
    assert.equal(2, #of_type(machine { memory = "64M", cpus = 4, cores = 2 }, 4))
    m:close()
    assert.equal(2, #of_type(machine { numa = { { memory = "64M", cpus = { 0, 1 } },
      { memory = "64M", cpus = { 2, 3 } } }, cpus = 4 }, 4))
  end)

  it("describes memory", function()
    local list = structures(smbios.tables({}, { sockets = 1, cores = 1, threads = 1,
      memory = { { base = 0, size = 3 * GiB }, { base = 4 * GiB, size = 37 * GiB } } }))
    local dimms, ranges = of_type(list, 17), of_type(list, 19)
    assert.equal(40 << 20, value(of_type(list, 16)[1], 7, "<I4"))
    assert.equal(3, value(of_type(list, 16)[1], 0x0d, "<I2"))
    assert.same({ 16384, 16384, 8192 }, { value(dimms[1], 0x0c, "<I2"), value(dimms[2], 0x0c,
      "<I2"), value(dimms[3], 0x0c, "<I2") })
    assert.same({ 0, 3 * GiB // 1024 - 1 }, { value(ranges[1], 4, "<I4"),
      value(ranges[1], 8, "<I4") })
    assert.same({ 4 * GiB // 1024, 41 * GiB // 1024 - 1 }, { value(ranges[2], 4, "<I4"),
      value(ranges[2], 8, "<I4") })
    m = lunik.machine { accel = "none", memory = "128M", lowmem = "64M", fw_cfg = true,
      serial = "none" }
    ranges = of_type(structures(m:fw_cfg "etc/smbios/smbios-tables"), 19)
    assert.same({ 64 * 1024 - 1, 4 * GiB // 1024, (4 * GiB + (64 << 20)) // 1024 - 1 },
      { value(ranges[1], 8, "<I4"), value(ranges[2], 4, "<I4"), value(ranges[2], 8, "<I4") })
  end)

  it("describes more memory than fits into the old fields", function()
    local list = structures(smbios.tables({}, { sockets = 1, cores = 300, threads = 1,
      memory = { { base = 4 * GiB, size = 8 << 40 } } }))
    local array, range, cpu = of_type(list, 16)[1], of_type(list, 19)[1], of_type(list, 4)[1]
    assert.equal(0x80000000, value(array, 7, "<I4"))
    assert.equal(8 << 40, value(array, 0x0f, "<I8"))
    assert.equal(512, #of_type(list, 17))
    assert.equal(0xffffffff, value(range, 4, "<I4"))
    assert.equal((8 << 40) + 4 * GiB - 1, value(range, 0x17, "<I8"))
    assert.same({ 255, 300 }, { cpu.body:byte(0x24), value(cpu, 0x2a, "<I2") })
  end)

  it("has an entry point of version 3.0", function()
    machine { memory = "64M" }
    local anchor, sum = m:fw_cfg "etc/smbios/smbios-anchor", 0
    for i = 1, #anchor do sum = sum + anchor:byte(i) end
    assert.equal(24, #anchor)
    assert.equal(0, sum & 0xff)
    local signature, _, length, major, minor, _, revision, _, size = ("<c5BBBBBBBI4"):unpack(anchor)
    assert.same({ "_SM3_", 24, 3, 0, 1, #m:fw_cfg "etc/smbios/smbios-tables" },
      { signature, length, major, minor, revision, size })
  end)

  it("has an entry point of version 2.8 for those who know no other", function()
    machine { memory = "64M", smbios = { entry = "32" } }
    local anchor, tables = m:fw_cfg "etc/smbios/smbios-anchor", m:fw_cfg "etc/smbios/smbios-tables"
    local function sum(first)
      local total = 0
      for i = first, #anchor do total = total + anchor:byte(i) end
      return total & 0xff
    end
    assert.same({ 0, 0 }, { sum(1), sum(17) })
    local signature, _, length, major, minor, longest, _, _, old, _, size, _, count, bcd =
      ("<c4BBBBI2Bc5c5BI2I4I2B"):unpack(anchor)
    assert.same({ "_SM_", 31, 2, 8, "_DMI_", #tables, 0x28 },
      { signature, length, major, minor, old, size, bcd })
    assert.equal(#structures(tables), count)
    assert.is_true(longest > 30 and longest < 200)
    local ok, err = pcall(smbios.anchor, ("x"):rep(0x10000), 0, "32")
    assert.is_false(ok)
    assert.matches("smbios: entry: '32' allows tables of 65535 bytes", err.message, 1, true)
  end)

  it("reads as meant with dmidecode", function()
    if not os.execute "command -v dmidecode > /dev/null" then return pending "no dmidecode" end
    machine { memory = "1G", smbios = { product = "Anvil", uuid
      = "01234567-89ab-cdef-0123-456789abcdef" } }
    local tables = m:fw_cfg "etc/smbios/smbios-tables"
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(smbios.anchor(tables, 32), ("\0"):rep(8), tables)
    file:close()
    local out = table.concat(lines_of("dmidecode --from-dump " .. path .. " 2>&1"), "\n")
    os.remove(path)
    for _, line in ipairs { "SMBIOS 3.0.0 present.", "Product Name: Anvil", "Size: 1 GB",
      "UUID: 01234567-89ab-cdef-0123-456789abcdef", "Range Size: 1 GB", "End Of Table" } do
      assert.matches(line, out, 1, true)
    end
    assert.is_nil(out:find("<BAD INDEX>", 1, true))
    assert.is_nil(out:find("Wrong", 1, true))
  end)

  it("refuses options that are wrong", function()
    local function refused(options, message)
      local ok, err = pcall(machine, { memory = "64M", smbios = options })
      assert.is_false(ok)
      assert.matches(message, err.message, 1, true)
    end
    refused({ uuid = "123" }, "smbios: uuid: '123' is not a UUID")
    refused({ manufaturer = "x" }, "did you mean 'manufacturer'?")
    refused({ serial = "a\nb" }, "smbios: serial: 'a?b' is not possible")
    refused({ serial = 5 }, "smbios: serial: '5' is not a string")
    refused({ product = ("x"):rep(65) }, "want at most 64 characters")
  end)
end)
