-- Lines of the monitor at the prompt: which ones are commands, and how they are completed.
local lunik = require "lunik"
local line = require "lunik.hmp.line"

describe("a line at the prompt", function()
  local m

  setup(function()
    m = lunik.machine {
      board = "pc", accel = "none", memory = "128M", maxmem = "1G", slots = 2, serial = "buffer",
    }
    m:hmp "object_add memory-backend-ram,id=mem1,size=128M"
    m:hmp "object_add memory-backend-ram,id=mem2,size=128M"
    m:hmp "device_add pc-dimm,id=dimm1,memdev=mem1"
  end)

  teardown(function() m:close() end)

  it("is a command if it names one and is no Lua", function()
    for _, text in ipairs { "info mtree -f", "device_add pc-dimm,id=d1,memdev=m1", "stop", "c",
      "x/4xw 0x1000", "xp /2i 0", "o/b 0x70 1", "help quit", "? info", "  info status",
      "qom-get /machine type", "system_reset", "sum 0 16", "p $rip + 4" } do
      assert.is_true(line.is_command(text), text)
    end
  end)

  it("is no command if it is Lua, or names none", function()
    for _, text in ipairs { "", "x = 5", "print(x", "print(1 +", "nosuch 1 2", "m:stop()",
      "info.x = 1", "x, o = 1", 'help "x"', "p {", "for i = 1, 2 do", "stop()", "q.a", "--", "?x",
      "o = lunik.machine {" } do
      assert.is_false(line.is_command(text), text)
    end
  end)

  it("is Lua if its name has a value", function()
    local function defined(name) return name == "x" end
    assert.is_false(line.is_command("x", defined))
    assert.is_false(line.is_command("x -1", defined))
    assert.is_true(line.is_command("p", defined))
    assert.is_true(line.is_command("x /4x 0", defined))
    assert.is_false(line.is_command "print")
  end)

  local function completes(text, ...)
    local found = line.complete(m, text)
    local has = {}
    for _, word in ipairs(found) do has[word] = true end
    for _, word in ipairs { ... } do assert.is_true(has[word], text .. ": " .. word) end
    return found
  end

  it("completes commands and what info shows", function()
    assert.same({ "object_add", "object_del" }, completes "obj")
    assert.same({ "memdev", "memory-devices", "memory_size_summary" }, completes "info mem")
    assert.same({ "stats", "status" }, completes "help info sta")
    assert.same({ "-D", "-d", "-f", "-o" }, completes "info mtree -")
    local _, from = line.complete(m, "info mem")
    assert.equal(6, from)
  end)

  it("completes types, properties and their values", function()
    completes("device_add ", "pc-dimm", "isa-serial", "virtio-blk-pci")
    assert.same({ "memory-backend-file", "memory-backend-memfd", "memory-backend-ram" },
      completes "object_add memory-b")
    local found, from = line.complete(m, "device_add pc-dimm,id=d2,me")
    assert.same({ "memdev=" }, found)
    assert.equal(26, from)
    assert.same({ "share=off", "share=on" }, completes "object_add memory-backend-ram,share=")
    completes("object_add memory-backend-ram,policy=", "policy=bind")
    completes("device_add edu,bus=", "bus=pci.0")
  end)

  it("completes ids of what fits and is free", function()
    assert.same({ "memdev=mem2" }, completes "device_add pc-dimm,memdev=")
    local found = completes("device_del ", "dimm1")
    for _, id in ipairs(found) do assert.is_true(m:object(id).is_device) end
    completes("object_del mem", "mem1", "mem2")
    completes("qom-get /machine/peripheral/dimm1 s", "size", "slot")
    assert.equal(#m:cpus(), #completes "cpu ")
  end)

  it("completes up to the cursor, without a machine as well, and never fails", function()
    assert.same({ "info" }, (line.complete(nil, "inf mtree", 3)))
    assert.same({}, (line.complete(nil, "device_del ")))
    assert.same({}, (line.complete(m, "stop ")))
    assert.same({}, (line.complete(m, "device_add nosuch,")))
    assert.same({}, (line.complete(m, "device_add =,=")))
    for _, text in ipairs { "qom-get x y", "\0", "device_add ,,,", "x/ ", "cpu 9 9" } do
      assert.is_table((line.complete(m, text)), text)
    end
  end)
end)
