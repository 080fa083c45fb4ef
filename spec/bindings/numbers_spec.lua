-- Sizes and addresses are written the same way everywhere: as integers, "512M" or "0x1000".
local lunik = require "lunik"
local machines = require "spec.support.machines"

describe("a size or an address as a string", function()
  local m

  setup(function() m = machines.none { memory = "16M" } end)
  teardown(machines.close_all)

  it("is taken by what reads and writes memory", function()
    m:write("1M", "hello\0")
    assert.are.equal("hello", m:read("1M", "5"))
    assert.are.equal("hello", m.memory:read("0x100000", "0x5"))
    m:store("0x200000", 4, 7)
    assert.are.equal(7, m:load("2M", 4))
    m.memory:set("u32", "2M", 8)
    assert.are.equal(8, m.memory:get("u32", "2M"))
    m:fill("3M", "4K", 0x55)
    assert.are.equal(m:hash("3M", "4K"), m:hash(3 << 20, 4096))
    assert.are.equal(1 << 20,
      m:search("hello", { from = "64K", length = "4M", align = "4K" }))
    assert.are.equal("hello", m.memory:string("1M", "1K"))
    assert.are.equal(m.memory:find("1M").region, m.memory:find(1 << 20).region)
    assert.are.same({}, { m:why("1M") and nil })
    assert.are.equal(8, m.memory:view("u32", "2M", 1)[1])
  end)

  it("is taken by mappings", function()
    local map <close> = m:map("1M", "1M")
    map:write("4K", "there\0")
    assert.are.equal("there", map:read("0x1000", "5"))
    map:fill("8K", "1K", 1)
    assert.are.equal(map:hash("8K", "1K"), map:hash(8192, 1024))
    map:set("u8", "16K", 9)
    assert.are.equal(9, map:get("u8", 16384))
    assert.are.equal("there", map:string("4K", "1K"))
    assert.are.equal(9, map:view("u8", "16K", 1)[1])
    assert.matches("beyond the mapping", machines.raised(map.read, map, "2M", 1).message)
  end)

  it("is taken by ports and by what describes the guest's memory", function()
    assert.are.equal((m:inb(0x3fd)), (m:inb("0x3fd")))
    m:outb("0x3ff", 0x12)
    assert.are.equal(0x12, (m:inb(0x3ff)))
    m:fwmap_add { base = "1T", size = "0x1000", type = "reserved" }
    local last = m:fwmap()[#m:fwmap()]
    assert.are.same({ 1 << 40, 4096 }, { last.base, last.size })
    m:rom_add("table", "4M", "rom")
    assert.are.equal("rom", m:read("4M", 3))
  end)

  it("is taken by regions", function()
    local r = m.memory.root:add(m:region { kind = "reserved", size = "64K" }, "2G")
    r.offset, r.size = "3G", "0x2000"
    assert.are.same({ 3 << 30, 8192 }, { r.offset, r.size })
    m.memory.root:del(r)
  end)

  it("is taken by a board's helpers", function()
    local board = require "lunik.board"
    local made = lunik.machine { accel = "none", memory = "16M", board = {
      build = function(machine, opt)
        local banks = board.memory(machine, opt)
        board.map_ram(machine, banks, "low", "0", "1M", "8M")
        board.report_ram(machine, banks, "0x0", "1M", "8M")
      end,
    } }
    assert.are.equal(1 << 20, made:fwmap()[1].base)
    made:write("8M", "x")
  end)

  -- One number of a property that is too large only for those that are limited.
  local function message(type_name, property)
    local info = lunik.type(type_name)
    local add = info.device and m.device_add or m.object_add
    local given = { id = "probe", [property.name] = property.kind == "list" and { "4K" } or "4K" }
    local ok, result = pcall(m.transaction, m, function()
      add(m, type_name, given)
      error("undo", 0)
    end)
    return not ok and tostring(result) or ""
  end

  it("is taken by every property that is a number", function()
    local seen = 0
    for _, type_name in ipairs(lunik.types()) do
      local info = lunik.type(type_name)
      for _, p in ipairs(info.abstract and {} or info.props) do
        if not p.readonly and (p.kind == "uint" or p.kind == "size" or p.kind == "list") then
          seen = seen + 1
          assert.not_matches("'4K' is not a", message(type_name, p), 1, true)
        end
      end
    end
    assert.is_true(seen > 30)
  end)

  it("places a DIMM", function()
    local pc = machines.pc()
    pc:object_add("memory-backend-ram", { id = "mem", size = "128M" })
    assert.are.equal(0x100000000, pc:device_add("pc-dimm", { memdev = "mem", addr = "4G" }).addr)
  end)

  it("is taken by types that scripts define", function()
    lunik.device { name = "test-numbers", properties = {
      base = { kind = "uint", default = "0x510", min = "0x100", max = "64K" },
      length = { kind = "size", default = "4K", max = "1M" },
      width = 2,
    }, ports = { base = "base", size = "width" }, mmio = { base = "3G", size = "length" } }
    local device = m:device_add("test-numbers", { width = "0x4", length = "0x2000" })
    assert.are.same({ 0x510, 0x2000, 4 }, { device.base, device.length, device.width })
    m:device_del(device)
    local err = machines.raised(m.device_add, m, "test-numbers", { base = "1M" })
    assert.matches("base: '1M' is out of range (want 256 to 65536)", err.message, 1, true)
  end)
end)
