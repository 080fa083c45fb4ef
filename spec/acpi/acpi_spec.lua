-- The ACPI tables of several machines: each goes through iasl's disassembler and compiler, and the
-- methods run under acpiexec. Its operation regions are plain bytes, so what the slot registers do
-- is not seen here.
local lunik = require "lunik"
local command = require "spec.support.command"

local TABLES = { "FACP", "FACS", "APIC", "SRAT", "SLIT", "NFIT", "RSDT", "XSDT", "DSDT" }

local shapes = {
  { name = "one CPU, no slots, no 64-bit window", cpus = 1, memory = "64M", pci64 = 0 },
  { name = "4 CPUs, one slot", cpus = 4, memory = "64M", maxmem = "1G", slots = 1 },
  {
    name = "2 nodes with distances, 4 slots", cpus = 2, memory = "128M", maxmem = "1G", slots = 4,
    numa = {
      { cpus = { 0 }, memory = "64M", distances = { 10, 17 } },
      { cpus = { 1 }, memory = "64M" }, -- as far from the other as that is from it
    },
  },
  {
    name = "8 CPUs, 256 slots, 64-bit window", cpus = 8, memory = "64M", maxmem = "16G",
    slots = 256, pci64 = "8G",
  },
  {
    name = "2 of 6 CPUs in 2 nodes, one slot", cpus = 2, maxcpus = 6, memory = "128M",
    maxmem = "1G", slots = 1,
    numa = {
      { cpus = { 0, 3, 5 }, memory = "64M", distances = { 10, 17 } },
      { cpus = { 1, 2, 4 }, memory = "64M", distances = { 17, 10 } },
    },
  },
  {
    name = "NVDIMMs in 2 of 20 slots", cpus = 1, memory = "64M", maxmem = "1G", slots = 20,
    nvdimm = true,
  },
}

local function machine(shape)
  local options = { board = "pc", accel = "none", serial = "buffer", clock = "manual" }
  for key, value in pairs(shape) do
    if key ~= "name" then options[key] = value end
  end
  local m = lunik.machine(options)
  for _, slot in ipairs(options.nvdimm and { 0, 19 } or {}) do
    local id = "nv" .. slot
    m:object_add("memory-backend-ram", { id = id .. "-mem", size = "4M" })
    m:device_add("nvdimm", { id = id, memdev = id .. "-mem", slot = slot, label_size = "256K" })
  end
  if options.nvdimm then m:start() end -- with tables as of now
  return m
end

-- A folder for tables and what the tools make of them.
local function new_folder()
  local pipe = assert(io.popen("mktemp -d"))
  local path = pipe:read("l")
  pipe:close()
  return path
end

local read, write = command.read, command.write

-- Runs a command in the folder; its output, and whether it succeeded.
local function run(folder, format, ...)
  local pipe = assert(io.popen(("cd %s && %s 2>&1"):format(folder, format:format(...))))
  local output = pipe:read("a")
  return output, (pipe:close())
end

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

local function u(bytes, width, offset)
  return (string.unpack("<I" .. width, bytes, offset + 1))
end

local PCI_SLOTS = 30 -- all but those of the chipset

-- A resource buffer: extended interrupt 11, level, active high, shared.
local LINK_TO_11 = "89 06 00 09 01 0B 00 00 00 79 00"

-- Intel's functions of NVDIMMs.
local NVDIMM_UUID = "30 AC 09 43 11 0D E4 11 91 91 08 00 20 0C 9A 66"

-- Commands for acpiexec, and the byte that fills its operation regions.
local function programs(slots, cpus, nvdimm)
  local last = ("\\_SB.MHPC.MP%02X."):format((slots or 1) - 1)
  local list = {
    names = { 0, "all _STA; all _CRS; all _PRS; all _PRT; all _PXM; all _DIS; all _EJ0; all _UID" },
    window = { 0, "evaluate \\_SB.PCI0._CRS" },
    pci = { 1, "evaluate \\_GPE._E01" },
    pci_slot = { 0, "evaluate \\_SB.PCI0.S01F._ADR; evaluate \\_SB.PCI0.S01F._OST 1 0 (00)" },
    link = { 0, ("evaluate \\_SB.LNKB._SRS (%s); evaluate \\_SB.LNKB._CRS"):format(LINK_TO_11) },
  }
  if slots then
    list.quiet = { 1, "evaluate \\_GPE._E03" }
    list.inserted = { 2, "evaluate \\_GPE._E03" }
    list.remove = { 4, "evaluate \\_GPE._E03" }
    list.here = { 15, ("evaluate %s_STA; evaluate %s_OST 1 0 (00); evaluate %s_EJ0 1"):format(last,
      last, last) }
  end
  if cpus then
    local cpu = ("\\_SB.CPUS.C%03X."):format(cpus - 1)
    list.cpu_quiet = { 0, "evaluate \\_GPE._E02; evaluate \\_SB.CPUS._INI" }
    list.cpu_here = { 15, ("evaluate %s_STA; evaluate %s_MAT; evaluate %s_OST 1 0 (00); "
      .. "evaluate %s_EJ0 1"):format(cpu, cpu, cpu, cpu) }
    list.notify = { 0, ("evaluate \\_SB.CPUS.CTFY %d 3"):format(cpus - 1) }
  end
  if nvdimm then
    list.nvdimm = { 0, "evaluate \\_SB.NVDR._FIT; evaluate \\_SB.NVDR.NV13._ADR; "
      .. "evaluate \\_GPE._E04" }
    list.labels = { 0, "evaluate \\_SB.NVDR.NV13._LSI" }
    list.label_read = { 0, "evaluate \\_SB.NVDR.NV13._LSR 0x10 0x20" }
    list.label_write = { 0, "evaluate \\_SB.NVDR.NV13._LSW 0x10 2 (AA BB)" }
    local dsm = ("evaluate \\_SB.NVDR.%%s_DSM (%s) %%d %%d [(01 02 03 04 05)]"):format(NVDIMM_UUID)
    list.dsm = { 0, dsm:format("NV13.", 1, 5) }
    list.dsm_none = { 0, dsm:format("NV13.", 2, 0) .. "; " .. dsm:format("", 1, 5) }
  end
  return list
end

local function add_calls(calls, folder, shape)
  for name, program in pairs(programs(shape.slots, shape.maxcpus, shape.nvdimm)) do
    local call = ("acpiexec -fv %d -b '%s' %s/dsdt.aml"):format(program[1], program[2], folder)
    calls[#calls + 1] = ("{ %s; echo status $?; } > %s/%s.out 2>&1 &"):format(call, folder, name)
  end
end

-- The bytes of the buffer in a program's output.
local function buffer_bytes(output)
  local bytes = {}
  for line in output:gmatch("%x%x%x%x: ([%x ]+) //") do
    for byte in line:gmatch("%x%x") do bytes[#bytes + 1] = string.char(tonumber(byte, 16)) end
  end
  return table.concat(bytes)
end

-- The slots that a program notified of an event.
local function notified(output, event)
  local slots = {}
  for slot in output:gmatch("Notify on %[MP(%x%x)%] %S+ Value 0x0" .. event) do
    slots[tonumber(slot, 16)] = true
  end
  return slots
end

local function all_slots(count_of_slots)
  local slots = {}
  for slot = 0, count_of_slots - 1 do slots[slot] = true end
  return slots
end

local made = {} -- the machine of each shape, and the folder of its tables

-- A run of acpiexec takes a second to end, so all runs for all machines are started at once.
setup(function()
  local calls = {}
  for _, shape in ipairs(shapes) do
    local m, folder = machine(shape), new_folder()
    made[shape] = { m, folder }
    for _, name in ipairs(TABLES) do
      local bytes = m:acpi_table(name)
      if bytes then write(folder .. "/" .. name .. ".dat", bytes) end
    end
    write(folder .. "/dsdt.aml", m:acpi_table("DSDT"))
    add_calls(calls, folder, shape)
  end
  run("/", "{ %s wait; }", table.concat(calls, " "))
end)

teardown(function()
  for _, one in pairs(made) do
    one[1]:close()
    os.execute("rm -r " .. one[2])
  end
end)

local passed = {} -- iasl takes the same bytes the same way

for _, shape in ipairs(shapes) do
  describe("ACPI tables, " .. shape.name, function()
    local m, folder
    setup(function() m, folder = table.unpack(made[shape]) end)

    local outputs = {}

    -- Returns the output of a run; fails if it contains an error.
    local function said(name)
      if outputs[name] then return outputs[name] end
      local output = read(folder .. "/" .. name .. ".out")
      assert.truthy(output:find("status 0\n", 1, true), output)
      for line in output:gmatch "[^\n]+" do
        local others = line:gsub("AE_OK", "")
        local wrong = others:find "ACPI.* Error" or others:find "ACPI Warning"
          or others:find("AE_", 1, true)
        assert.is_nil(wrong and line)
      end
      outputs[name] = output
      return output
    end

    for _, name in ipairs(TABLES) do
      it("pass through iasl: " .. name, function()
        local bytes = m:acpi_table(name)
        if not bytes or passed[bytes] then return end
        local output, ok = run(folder, "iasl -vs -d %s.dat", name)
        assert.is_true(ok, output)
        assert.is_nil(output:match("[^\n]*Warning[^\n]*"), output)
        output, ok = run(folder, "iasl -vs -we -z -p again_%s %s.dsl", name, name)
        assert.is_true(ok, output)
        assert.truthy(output:find("0 Errors, 0 Warnings", 1, true), output)
        -- Integers get their shortest encoding, so only tables without code stay the same.
        if name ~= "DSDT" then
          assert.is_true(read(folder .. "/again_" .. name .. ".aml") == bytes)
        end
        passed[bytes] = true
      end)
    end

    it("have methods that run", function()
      local output, slots, cpus = said "names", shape.slots or 0, shape.maxcpus or 0
      local ports = (slots > 0 and 1 or 0) + (cpus > 0 and 1 or 0)
      assert.equal(4 + slots + cpus, count(output, "%._STA +returned AE_OK"))
      assert.equal(11 + slots + ports, count(output, "%._CRS +returned AE_OK"))
      assert.equal(1 + slots + cpus, count(output, "%._PXM +returned AE_OK"))
      assert.equal(slots + math.max(cpus - 1, 0) + PCI_SLOTS,
        count(output, "%._EJ0 +returned AE_OK"))
      assert.equal(1, count(output, "%._PRT +returned AE_OK"))
      assert.equal(5, count(output, "%._DIS +returned AE_OK"))
    end)

    it("notify PCI slots", function()
      local output = said "pci" -- with registers that say slots 0, 8, 16 and 24
      for _, event in ipairs { 1, 3 } do
        local slots = {}
        for slot in output:gmatch("Notify on %[S0(%x%x)%] %S+ Value 0x0" .. event) do
          slots[#slots + 1] = slot
        end
        table.sort(slots) -- the interpreter carries notifications out on several threads
        assert.same({ "08", "10", "18" }, slots)
      end
      assert.truthy(said("pci_slot"):find("[Integer] = 00000000001F0000", 1, true))
    end)

    it("route PCI interrupts", function()
      assert.truthy(said("link"):find("89 06 00 09 01 0B 00 00 00 79 00", 1, true))
    end)

    it("describe the PCI windows", function()
      local output = said "window"
      local length = tonumber(output:match("%[Buffer%] Length (%x+)"), 16)
      assert.equal(shape.pci64 == 0 and 0x7e or 0x7e + 0x2e, length)
      if shape.pci64 == 0 then return end
      -- The quad-word descriptor: its header, flags, granularity, first and last address.
      local bytes = buffer_bytes(output)
      assert.equal(length, #bytes)
      local at = bytes:find("\x8a\x2b\0\0", 1, true)
      local first, last = string.unpack("<I8I8", bytes, at + 14)
      assert.equal((shape.pci64 and 8 or 2) << 30, last - first + 1)
      local window = m:object("device-memory")
      assert.equal(window and (window.addr + window.size + 0x3fffffff) & ~0x3fffffff or 1 << 32,
        first)
    end)

    -- Their ports are among the bridge's: next to it they would be taken twice.
    it("have the devices with ports below the ISA bridge", function()
      local output = said "names"
      for _, name in ipairs { "SR00", "RTC_", "KBD_", "PHPD", shape.slots and "MHPD" or "PHPD",
        shape.maxcpus and "CHPD" } do -- the list ends at what there is not
        assert.truthy(output:find("\\_SB_.PCI0.ISA_." .. name .. "._CRS", 1, true), name)
      end
      for path in output:gmatch("(\\_SB_%S+)%._CRS +returned") do
        assert.truthy(path:find("^\\_SB_.PCI0") or path:find("^\\_SB_%.LNK")
          or path:find("^\\_SB_%.MHPC%.MP"), path)
      end
    end)

    it("have a processor for each vCPU", function()
      local dsdt, madt = m:acpi_table("DSDT"), m:acpi_table("APIC")
      local most = shape.maxcpus or shape.cpus
      assert.equal(most, count(dsdt, "ACPI0007"))
      for cpu = 0, most - 1 do -- enabled, or online capable
        local flags = cpu < shape.cpus and 1 or 2
        assert.equal(("<BBBBI4"):pack(0, 8, cpu, cpu, flags), madt:sub(45 + 8 * cpu, 52 + 8 * cpu))
      end
      assert.equal(shape.maxcpus and 5 or 3, madt:byte(9))
    end)

    it("have CPUs that can be plugged", function()
      if not shape.maxcpus then return end
      local last = shape.maxcpus - 1
      assert.equal(0, count(said "cpu_quiet", "Notify on"))
      local here = said "cpu_here"
      assert.truthy(here:find("[Integer] = 000000000000000F", 1, true), here)
      assert.equal(("<BBBBI4"):pack(0, 8, last, last, 1), buffer_bytes(here))
      local path = ("Notify on %%[C%03X%%] %%S+ Value 0x03"):format(last)
      assert.equal(1, count(said "notify", path), said "notify")
      assert.is_nil(said("names"):find("C000._EJ0", 1, true))
    end)

    it("name the node of every CPU there can be", function()
      local srat, of = m:acpi_table("SRAT"), {}
      for node, one in ipairs(shape.numa or {}) do
        for _, cpu in ipairs(one.cpus) do of[cpu] = node - 1 end
      end
      for cpu = 0, srat and (shape.maxcpus or shape.cpus) - 1 or -1 do
        local want = ("<BBBBI4"):pack(0, 16, of[cpu] or 0, cpu, 1)
        assert.equal(want, srat:sub(49 + 16 * cpu, 56 + 16 * cpu))
      end
      for cpu = 0, (shape.maxcpus or 0) - 1 do
        local pxm = ("C%03X._PXM +returned[^\n]*\n *%%[Integer%%] = (%%x+)"):format(cpu)
        assert.equal(of[cpu] or 0, tonumber(said("names"):match(pxm), 16))
      end
    end)

    it("tell about events in every slot", function()
      if not shape.slots then return end
      assert.equal(0, count(said "quiet", "Notify on"))
      assert.same(all_slots(shape.slots), notified(said "inserted", 1))
      assert.equal(shape.slots, count(said "inserted", "Notify on"))
      assert.same(all_slots(shape.slots), notified(said "remove", 3))
      assert.equal(shape.slots, count(said "remove", "Notify on"))
    end)

    it("have slots that answer", function()
      if not shape.slots then return end
      local here = said "here"
      assert.truthy(here:find("[Integer] = 000000000000000F", 1, true), here)
      local empty = "MP%x%x%._STA returned[^\n]*\n *%[Integer%] = 0+\n"
      assert.equal(shape.slots, count(said "names", empty))
    end)

    -- As acpiexec's registers are plain bytes, where each slot looks is read from the code.
    it("have slots that each look at a port of their own", function()
      local dsdt = m:acpi_table("DSDT")
      for slot = 0, (shape.slots or 0) - 1 do
        local at = dsdt:find(("MP%02X\x08_HID"):format(slot), 1, true)
        local low, high = dsdt:match("^.-\0(..)_STA\x08", at):byte(1, 2)
        assert.equal(slot * 8, high << 4 | low & 0x0f)
        assert.equal(0x40, low & 0xf0)
      end
    end)

    -- As acpiexec's registers are plain bytes, an answer is the call itself, whose handle, 20, is
    -- taken for its length.
    it("have methods that call an NVDIMM's functions", function()
      if not shape.nvdimm then return end
      local function call(fn, ...)
        return string.pack("<I4I4I4I4", 1, fn, ...)
      end
      local nvdimm = said "nvdimm"
      assert.truthy(nvdimm:find("%[Integer%] = 0+14\n"), nvdimm) -- handle
      assert.truthy(nvdimm:find("[Buffer] Length 00", 1, true), nvdimm)
      assert.truthy(nvdimm:find("Notify on %[NVDR%] %S+ Value 0x80"), nvdimm)
      assert.equal(call(5, 0x04030201, 5), buffer_bytes(said "dsm"))
      assert.equal(1, count(said "dsm_none", "Length 01 = +0000: 00"), said "dsm_none")
      assert.equal(1, count(said "dsm_none", "Length 04 = +0000: 01 00 00 00"))
      local labels = said "labels"
      assert.truthy(labels:find("0001\n *%[Integer%] = 0+4\n *%[Integer%] = 0+\n"), labels)
      assert.equal(call(5, 0x10, 0x20):sub(5), buffer_bytes(said "label_read"))
      assert.truthy(said("label_write"):find("[Integer] = 0000000000000001", 1, true))
    end)

    it("have an NFIT with the NVDIMMs that are there", function()
      local nfit = m:acpi_table "NFIT"
      if not shape.nvdimm then
        assert.is_nil(nfit)
        return
      end
      assert.equal(40 + 2 * 184, #nfit)
    end)

    it("name the memory a DIMM may bring", function()
      local srat = m:acpi_table("SRAT")
      if not shape.slots then
        assert.is_nil(srat)
        return
      end
      -- Memory affinity: enabled and hot-pluggable, from 4 GiB, in the last node.
      local at = srat:find("\1\40" .. string.pack("<I4I2I8", shape.numa and 1 or 0, 0, 1 << 32), 1,
        true)
      assert.truthy(at)
      assert.equal(3, u(srat, 4, at - 1 + 28))
    end)

    it("give distances between nodes", function()
      local slit = m:acpi_table("SLIT")
      if not shape.numa then
        assert.is_nil(slit)
        return
      end
      assert.equal("\10\17\17\10", slit:sub(45))
    end)
  end)
end

describe("ACPI tables of as many CPUs and slots as there can be", function()
  it("fit below 1 MiB", function()
    local m <close> = machine {
      cpus = 1, maxcpus = 255, memory = "64M", maxmem = "16G", slots = 256,
    }
    assert.equal(255, count(m:acpi_table "DSDT", "ACPI0007"))
    assert.equal(44 + 8 * 255, m:acpi_table("APIC"):find("\1\12\0\0", 44, true) - 1)
  end)
end)

describe("the ports behind _STA", function()
  it("follow the slots", function()
    local m <close> = machine { memory = "64M", maxmem = "1G", slots = 3 }
    assert.equal(0, m:inb(0xa18) | m:inb(0xa19) | m:inb(0xa1a))
    assert.equal(0xff, m:inb(0xa1b))
    m:object_add("memory-backend-ram", { id = "mem1", size = "2M" })
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1", slot = 1 })
    m:outb(0xa19, 0)
    assert.equal(0x000f00, m:inl(0xa18) & 0xffffff)
    m:start()
    m:device_del("dimm1")
    assert.equal(0x0f, m:inb(0xa19))
    m:outl(0xa00, 1)
    m:outb(0xa14, 8)
    assert.equal(0, m:inb(0xa19))
  end)
end)

describe("ACPI tables in guest memory", function()
  it("are there again after a reset", function()
    local m <close> = machine { memory = "64M" }
    local dsdt = m:acpi_table("DSDT")
    local address = u(m:acpi_table("FACP"), 4, 40)
    m:start()
    assert.is_true(m:read(address, #dsdt) == dsdt)
    m:write(address, ("\255"):rep(#dsdt))
    m:reset()
    assert.is_true(m:read(address, #dsdt) == dsdt)
    assert.equal("RSD PTR ", m:read(0xe0000, 8))
  end)

  it("are put there once", function()
    local m <close> = machine { memory = "64M" }
    local ok, err = pcall(m.acpi_install, m)
    assert.is_false(ok)
    assert.equal("exists", err.code)
  end)
end)
