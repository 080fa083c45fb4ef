-- m:mtree() for programs that parse it, and what the lines say.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local mtree = require "spec.support.mtree"

-- The first region of that name among regions and what is below them.
local function find(regions, name)
  for _, region in ipairs(regions) do
    local found = region.name == name and region or find(region.children or region, name)
    if found then return found end
  end
end

local function plug(m)
  m:object_add("memory-backend-ram", { id = "mem", size = "2M" })
  m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
end

describe("m:mtree", function()
  local m

  after_each(machines.close_all)

  it("keeps to its grammar, whatever it is asked for", function()
    m = machines.pc { slots = 3 }
    plug(m)
    for bits = 0, 3 do
      local options = { owner = bits & 1 > 0, disabled = bits & 2 > 0 }
      local tree = mtree.tree(m:mtree(options), options)
      local dimm = find(find(tree, "device-memory").children, "mem")
      assert.are.same({ "0000000100000000", "00000001001fffff", "ram", 0, 3 },
        { dimm.first, dimm.last, dimm.kind, dimm.priority, dimm.depth })
      assert.are.equal(options.owner and "dev id=dimm" or nil, dimm.owner)
      assert.are.equal("pc.ram", find(tree, "ram-below-4g").target)
      options.flat = true
      assert.is_truthy(find(mtree.flat(m:mtree(options), options), "mem"))
    end
  end)

  describe("of a small machine", function()
    before_each(function() m = machines.none() end)

    local function tree(options) return mtree.tree(m:mtree(options), options) end

    it("says what a ROM device is to a reader", function()
      m:object_add("memory-backend-ram", { id = "flash", size = "64K" })
      local rom = m:region { kind = "rom-device", memdev = "flash", name = "pflash",
        write = function() end }
      m.memory.root:add(rom, 0x80000000)
      local function kinds()
        return find(tree(), "pflash").kind,
          find(mtree.flat(m:mtree { flat = true }), "pflash").kind
      end
      assert.are.same({ "romd", "romd" }, { kinds() })
      rom.romd = false
      assert.are.same({ "i/o", "i/o" }, { kinds() })
    end)

    it("names an owner for each region", function()
      m:device_add("debug-exit", { iobase = 0x600 })
      local outer = m:region { kind = "container", name = "outer", size = 4096,
        owner = m:object "serial0" }
      m.memory.root:add(outer, 0x80000000)
      m.memory.root:add(m:region { kind = "reserved", name = "mine", size = 4096 }, 0x80001000)
      local all = tree { owner = true }
      assert.are.same({ "obj path=/machine", "obj path=/machine", "dev id=serial0" },
        { find(all, "system").owner, find(all, "mine").owner, find(all, "outer").owner })
      assert.matches("0600%-%x+0603 %(prio 0, i/o%): debug%-exit owner:"
        .. "{dev path=/machine/unattached/device%[%d+%]}\n", m:mtree { owner = true })
    end)

    it("marks what is disabled, and shows it only on request", function()
      local window = m:region { kind = "container", name = "window", size = 4096 }
      window:add(m:region { kind = "reserved", name = "inside", size = 16 }, 16)
      m.memory.root:add(window, 0x80000000)
      window.enabled = false
      assert.is_nil(find(tree(), "window") or find(tree(), "inside"))
      local all = tree { disabled = true }
      assert.are.same({ true, false },
        { find(all, "window").disabled, find(all, "inside").disabled })
      assert.are.equal("0000000080000010", find(all, "inside").first)
    end)

    it("marks a region that wraps around, before its indentation", function()
      local window = m:region { kind = "container", name = "window", size = 0x2000 }
      window:add(m:region { kind = "reserved", name = "beyond", size = 0x1000 }, 0x1000)
      m.memory.root:add(window, -0x1000)
      assert.are.same({ true, true, false }, { find(tree(), "window").overflow,
        find(tree(), "beyond").overflow, find(tree(), "system").overflow })
    end)

    it("has names that leave a line whole", function()
      local err = machines.raised(m.region, m, { kind = "reserved", size = 1, name = "a\nb" })
      assert.are.equal("invalid", err.code)
      assert.matches("memory region: name: 'a?b' has a control character", err.message, 1, true)
      assert.matches("machine: name: 'x?y'", machines.raised(machines.none, { name = "x\27y" })
        .message, 1, true)
    end)
  end)

  it("tells what KVM maps by itself", function()
    if not command.kvm() then return pending "no /dev/kvm" end
    m = lunik.machine { board = "pc", memory = "64M", maxmem = "4G", slots = 2, serial = "none" }
    plug(m)
    m.memory.root:add(m:region { kind = "reserved", name = "kept", size = "64K" }, 0xfed00000)
    local views = mtree.flat(m:mtree { flat = true, owner = true }, { owner = true })
    local mapped = 0
    for _, range in ipairs(views[1]) do
      assert.are.equal(range.kind == "ram", range.slot)
      mapped = mapped + (range.slot and 1 or 0)
    end
    assert.are.equal(m.stats.memslots, mapped)
    assert.matches(("memory slots: 1 of 2 in use; KVM memslots: %d of "):format(mapped),
      m:memory_map(), 1, true)
    assert.is_false(find(views[1], "kept").slot)
  end)
end)
