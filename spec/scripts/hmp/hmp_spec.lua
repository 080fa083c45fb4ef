-- The human monitor: m:hmp(line).
local lunik = require "lunik"
local monitor = require "lunik.hmp.monitor"

describe("the human monitor", function()
  local m

  setup(function()
    m = lunik.machine {
      board = "pc", accel = "none", memory = "128M", maxmem = "1G", slots = 2, maxcpus = 2,
      serial = "buffer", name = "box",
    }
  end)

  teardown(function() m:close() end)

  local function lines(...) return table.concat({ ... }, "\n") .. "\n" end

  it("adds a DIMM and shows it as QEMU does", function()
    assert.equal("", m:hmp "object_add memory-backend-ram,id=m1,size=128M,share=on")
    assert.equal("", m:hmp "device_add pc-dimm,id=d1,memdev=m1")
    assert.is_true(m:object "m1".share)
    assert.equal(lines('Memory device [dimm]: "d1"', "  addr: 0x100000000", "  slot: 0",
      "  node: 0", "  size: 134217728", "  memdev: /objects/m1", "  hotplugged: false",
      "  hotpluggable: true"), m:hmp "info memory-devices")
    assert.equal(lines("base memory: 134217728", "plugged memory: 134217728"),
      m:hmp "info memory_size_summary")
    assert.equal("0\n", m:hmp "qom-get /machine/peripheral/d1 slot")
    assert.equal("Error: object 'm1' is in use by 'd1' and can't be deleted\n",
      m:hmp "object_del m1")
    assert.equal("", m:hmp "device_del d1")
    assert.equal("", m:hmp "object_del m1")
    assert.is_nil(m:object "m1")
  end)

  it("takes QEMU's names of types, buses and addresses", function()
    assert.equal("", m:hmp "device_add edu,id=card,bus=pci.0,addr=0x1d.3")
    assert.equal("1d.3", m:object "card".addr)
    assert.equal("", m:hmp "device_add isa-debug-exit,id=exit2,iobase=0x504")
    assert.equal("debug-exit", m:object "exit2".type)
    assert.truthy(m:hmp "info qom-tree":find("/exit2 (isa-debug-exit)", 1, true))
    assert.truthy(m:hmp "info qtree":find('dev: edu, id "card"', 1, true))
    assert.truthy(m:hmp "info pci":find("Bus  0, device  29, function 3:", 1, true))
  end)

  it("shows memory in QEMU's formats", function()
    m:write(0x2000, "AB\0\n\xff\x80\x01\x02")
    assert.equal("0000000000002000: 0x41 0x42 0x00 0x0a\n", m:hmp "xp/4xb 0x2000")
    assert.equal("0000000000002000: 'A' 'B' '\\x00' '\\n' '\\xff'\n", m:hmp "xp /5c 0x2000")
    assert.equal("0000000000002004:   -1 -128\n", m:hmp "xp /2db 0x2000+4")
    assert.equal("0000000000002004: 255 128\n", m:hmp "xp /2ub 0x2000+4")
    assert.equal(lines("0000000000002000: 0x0a004241 0x020180ff 0x00000000 0x00000000",
      "0000000000002010: 0x00000000"), m:hmp "xp/5xw 0x2000")
    assert.equal("0000000000002000: 0x020180ff0a004241\n", m:hmp "xp/gx 0x2000")
  end)

  it("reads and writes ports", function()
    assert.equal("", m:hmp "o/b 0x70 0x2f")
    assert.equal("", m:hmp "o/b 0x71 0x5a")
    assert.equal("portb[0x0071] = 0x5a\n", m:hmp "i/b 0x71")
  end)

  it("adds up memory as QEMU does", function()
    m:write(0x3000, "\1\2\3")
    -- 1; rotated 0x8000 + 2; rotated 0x4001 + 3
    assert.equal("16388\n", m:hmp "sum 0x3000 3")
  end)

  it("saves memory", function()
    local path = os.tmpname()
    m:write(0x4000, "contents")
    assert.equal("", m:hmp("pmemsave 0x4000 8 " .. path))
    local file <close> = io.open(path)
    assert.equal("contents", file:read "a")
    os.remove(path)
  end)

  it("stops and continues", function()
    assert.equal("VM status: paused (prelaunch)\n", m:hmp "info status")
    m:hmp "cont"
    assert.equal("VM status: running\n", m:hmp "info status")
    m:hmp "stop"
    assert.equal("VM status: paused\n", m:hmp "info status")
    m:hmp "c"
    assert.equal("running", m.state)
    assert.truthy(m:hmp "cpu 7":find "^Error: ")
  end)

  it("disassembles memory as QEMU does", function()
    if not pcall(lunik.disassemble, "\x90") then
      assert.truthy(m:hmp "xp /i 0x5000":find "^Error: disassemble: ")
      return
    end
    m:write(0x5000, "\xea\x5b\xe0\x00\xf0\x30\x36\x2f\x32"
      .. "\x66\x67\xc7\x80\0\0\0\0\1\2\3\4\x90")
    assert.equal(lines("0x00005000:  ea 5b e0 00 f0           ljmpw    $0xf000:$0xe05b",
      "0x00005005:  30 36 2f 32              xorb     %dh, 0x322f",
      "0x00005009:  66 67 c7 80 00 00 00 00  movl     $0x4030201, (%eax)",
      "0x00005011:  01 02 03 04", "0x00005015:  90                       nop"),
      m:hmp "xp/4i 0x5000")
    assert.equal("0x90000000000: unable to read memory\n", m:hmp "xp /i 0x90000000000")
  end)

  it("shows the dispatch of a flat view", function()
    local text = m:hmp "info mtree -f -d"
    local head = "  Dispatch\n    Physical sections\n      #0 @0000000000000000.."
    assert.truthy(text:find(head, 1, true))
    assert.is_nil((m:hmp "info mtree -d"):find "Dispatch")
  end)

  it("shows ROMs, counters, the UUID and networks in QEMU's forms", function()
    assert.truthy(m:hmp "info stats vm":find(
      "^provider: lunik\n    memslots %(instant%): %d+\n    max_memslots %(instant%): %d+\n"))
    assert.equal("provider: lunik\n    holds (cumulative): 0\n", m:hmp "info stats vm holds lunik")
    assert.equal("", m:hmp "info stats vm * kvm")
    assert.truthy(m:hmp "info stats nosuch":find "^Error: .*nosuch")
    assert.equal("00000000-0000-0000-0000-000000000000\n", m:hmp "info uuid")
    assert.equal("Error: No balloon device has been activated\n", m:hmp "info balloon")
    local other <close> = lunik.machine { board = "pc", accel = "none", memory = "16M",
      fw_cfg = true }
    other:fw_cfg_add("opt/test/file", "12345")
    local roms = other:hmp "info roms"
    assert.truthy(roms:find('/rom@opt/test/file size=0x000005 name="opt/test/file"\n', 1, true),
      roms)
  end)

  it("is gone with its machine", function()
    local closed = lunik.machine { board = "micro", accel = "none" }
    closed:close()
    local ok, err = pcall(closed.hmp, closed, "help")
    assert.is_false(ok)
    assert.equal("gone", err.code)
  end)

  it("explains itself", function()
    assert.equal("quit|q  -- quit the emulator\n", m:hmp "help quit")
    assert.equal("info status  -- show the current VM status (running|paused)\n",
      m:hmp "help info status")
    local all = m:hmp "help"
    for _, command in ipairs((monitor.commands())) do
      assert.truthy(("\n" .. all):find("\n" .. command.name, 1, true), command.name)
    end
    assert.equal("unknown command: 'nosuch'\n", m:hmp "nosuch 1 2")
    assert.equal("unknown command: 'info nosuch'\n", m:hmp "info nosuch")
    assert.equal("", m:hmp "   ")
  end)

  it("answers wrong input with an error that changes nothing", function()
    local before = #m:objects()
    for line, words in pairs {
      ["device_add"] = "driver: is missing", ["device_add nosuch,id=x"] = "'nosuch' is not a type",
      ["device_add pc-dimm,id=x"] = "memdev", ["device_del nosuch"] = "Device 'nosuch' not found",
      ["object_add memory-backend-ram,id=x,size=1M,share=maybe"] = "'maybe' is not a switch",
      ["object_add memory-backend-ram,id=x,size=1Q"] = "size", ["xp"] = "addr: is missing",
      ["xp /8z 0"] = "'z' is not a format", ["xp /xw 1 2"] = "'2': is too much",
      ["p 1+"] = "a value is missing", ["p $nosuch"] = "'$nosuch' is not a register",
      ["stop now"] = "'now': is too much", ["o/g 1 2"] = "'8' bytes are not a port's width",
      ['pmemsave 0 1 "unfinished'] = "a string has no end", ["x 0"] = "vCPUs",
    } do
      local text = m:hmp(line)
      assert.truthy(text:find "^Error: " and text:find(words, 1, true), line .. ": " .. text)
    end
    assert.equal(before, #m:objects())
    assert.equal("running", m.state)
  end)
end)
