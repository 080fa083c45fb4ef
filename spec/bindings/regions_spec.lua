-- Regions as scripts make them: RAM from files and mappings, the whole 2^64, what a script can read
-- back of a region.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local has_luv, uv = pcall(require, "luv")

describe("a region", function()
  local m, root

  before_each(function()
    m = machines.none { memory = "2M" }
    root = m.memory.root
  end)

  after_each(machines.close_all)

  it("is found anywhere in 2^64 bytes", function()
    local top = m:region { kind = "io", size = 4096, read = function(o) return o & 0xff end }
    root:add(top, 0xfffffffffffff000)
    assert.are.equal(0xf8, m:load(0xfffffffffffffff8, 4))
    assert.are.equal("\xf0\xf4", m:read(-16, 1) .. m:read(-12, 1))
    local section = m.memory:find(-1)
    assert.are.equal(top, section.region)
    assert.are.same({ 0xfffffffffffff000, 0, 4096 },
      { section.address, section.offset, section.size })
    assert.are.equal("access", machines.raised(m.read, m, -16, 17).code)
    top.offset = 0x8000000000000000
    assert.are.equal(0x10, m:load(math.mininteger + 16, 1))
    assert.matches("\n  8000000000000000%-8000000000000fff %(prio 0, i/o%)",
      m:mtree { flat = true })
    assert.are.equal("script", m.memory:why(math.mininteger).action)
  end)

  it("has no more memory than its block, from where it starts", function()
    m:object_add("memory-backend-ram", { id = "ram", size = "64K" })
    local options = { kind = "ram", name = "half", memdev = "ram", ram_offset = "32K" }
    local half = m:region(options)
    assert.are.equal(32 << 10, half.size)
    assert.matches("want at most 0x8000", machines.raised(function() half.size = "33K" end).message)
    options.size = "33K"
    assert.matches("want at most 0x8000", machines.raised(m.region, m, options).message)
    options.ram_offset, options.size = "64K", nil
    assert.matches("is beyond its RAM", machines.raised(m.region, m, options).message)
    root:add(half, "1G")
    m:write(1 << 30, "half")
    local again = m:region { kind = "ram", host = half.host, size = "32K" }
    assert.are.equal("half", m:read(root:add(again, "2G").offset, 4))
    root:del(half)
    assert.are.equal(0, half.offset)
  end)

  it("is taken out of the container that it is in", function()
    local window = root:add(m:region { kind = "container", size = "4K" }, "1G")
    local r = root:add(m:region { kind = "reserved", size = "4K" }, "2G")
    assert.are.equal("not-found", machines.raised(window.del, window, r).code)
    assert.are.equal(root, r.parent)
  end)

  it("is kept while it is mapped, with its functions, and not longer", function()
    local weak = setmetatable({}, { __mode = "v" })
    local function make(value)
      weak[value] = m:region { kind = "io", size = 4, read = function() return value end }
      return weak[value]
    end
    root:add(make(1), "1G")
    assert.are.equal("busy", machines.raised(root.add, root, weak[1], "4G").code)
    assert.are.equal("exists", machines.raised(root.add, root, make(4), "1G").code)
    m:transaction(function() root:add(make(2), "2G") end)
    pcall(m.transaction, m, function()
      root:add(make(3), "3G")
      error "no"
    end)
    machines.collect()
    assert.is_nil(weak[3] or weak[4])
    assert.are.equal(1, m:load(1 << 30, 4))
    assert.are.equal(2, m:load(2 << 30, 4))
    pcall(m.transaction, m, function()
      root:del(weak[2])
      error "no"
    end)
    machines.collect()
    assert.are.equal(2, m:load(2 << 30, 4))
    root:del(weak[1])
    m:transaction(function() root:del(weak[2]) end)
    machines.collect()
    assert.are.same({}, weak)
  end)

  it("is refused with options that its kind does not have", function()
    local function read() return 0 end
    m:object_add("memory-backend-ram", { id = "ram", size = "2M" })
    for kind, options in pairs {
      container = { read = read, target = root, fd = 0 },
      alias = { target = root, write = print, valid = { max = 8 }, ram_offset = 0 },
      reserved = { read = read, offset = 0, endian = "big" },
      io = { memdev = "ram", target = root, share = true, host = root.host },
      ram = { memdev = "ram", offset = 0 },
    } do
      local known = { alias = { target = true }, ram = { memdev = true } }
      for name, value in pairs(options) do
        if not (known[kind] or {})[name] then
          local err = machines.raised(m.region, m, { kind = kind, size = "4K", [name] = value })
          assert.are.equal("invalid", err.code)
          assert.are.equal(("region: '%s' is not an option of kind '%s'"):format(name, kind),
            err.message)
        end
      end
    end
    assert.are.equal("rom", m:region { kind = "rom", memdev = "ram", write = print }.kind)
    local ram = m.memory:find(0).region
    assert.matches("more than one of memdev, fd and host", machines.raised(m.region, m,
      { kind = "ram", size = "4K", fd = 0, host = ram.host }).message)
  end)

  it("may have 2^64 bytes", function()
    assert.are.equal(lunik.SIZE_MAX, root.size)
    local all = m:region { kind = "io", size = lunik.SIZE_MAX, valid = { max = 8 },
      read = function(o) return o end }
    root:add(all, 0, { priority = -1, overlap = true })
    assert.are.equal(lunik.SIZE_MAX - 7, m:load(-8, 8))
    all.size = "1G"
    assert.is_nil(m.memory:find(-8))
    all.size = lunik.SIZE_MAX
    local window = m:region { kind = "alias", target = all, offset = 0xffffffff00000000,
      size = "32K" }
    m.io.root:add(window, 0x8000, { overlap = true })
    assert.are.equal(0xffffffff00000010, m.io:load(0x8010, 8))
    window.alias_offset = 0xfffffffffffffff0
    assert.are.equal(-8, m.io:load(0x8008, 8))
    assert.is_nil(m.io:find(0x8010))
    assert.are.same({ all, 0xfffffffffffffff0 }, { window.target, window.alias_offset })
  end)

  it("has RAM from a mapping that it shares with others", function()
    local other = machines.none { name = "other", memory = "2M" }
    local theirs = other.memory:find(0).region
    local ours = m:region { kind = "ram", name = "shared", host = theirs.host, size = "1M" }
    root:add(ours, "1T")
    m:write(1 << 40, "seen by both")
    assert.are.equal("seen by both", other:read(0, 12))
    assert.are.equal(theirs.host, ours.host)
    assert.is_nil(root.host)
    ours.size = 4096
    assert.are.equal("access", machines.raised(m.read, m, (1 << 40) + 4095, 2).code)
    ours.size = "1M"
    other:write(4096, "again")
    assert.are.equal("again", m:read((1 << 40) + 4096, 5))
    assert.are.equal("invalid", machines.raised(function() ours.size = "2M" end).code)
  end)

  if has_luv then
    it("has RAM from a file", function()
      local path = os.tmpname()
      local fd = uv.fs_open(path, "w+", 384)
      uv.fs_ftruncate(fd, 12288)
      uv.fs_write(fd, "from the file", 4096)
      local ram = m:region { kind = "ram", fd = fd, fd_offset = 4096, size = 8192 }
      local rom = m:region { kind = "rom", fd = fd, fd_offset = 4096, size = 4096 }
      local copy = m:region { kind = "ram", fd = fd, size = 4096, share = false }
      uv.fs_close(fd)
      fd = uv.fs_open(path, "r", 0)
      assert.matches("permission denied",
        machines.raised(m.region, m, { kind = "rom", fd = fd, size = 4096 }).message)
      assert.is_true(m:region { kind = "ram", fd = fd, size = 4096, readonly = true }.readonly)
      uv.fs_close(fd)
      root:add(ram, "1T")
      root:add(rom, "2T")
      root:add(copy, "3T")
      assert.are.equal("from the file", m:read(1 << 40, 13))
      m:write((1 << 40) + 5, "a spec ")
      m:write(3 << 40, "private")
      pcall(m.write, m, 2 << 40, "dropped")
      assert.are.equal("from a spec e", m:read(2 << 40, 13))
      local file <close> = io.open(path)
      local text = file:read "a"
      assert.are.equal("from a spec e", text:sub(4097, 4109))
      assert.are.equal("\0\0\0", text:sub(1, 3))
      os.remove(path)
      local err = machines.raised(m.region, m, { kind = "ram", fd = 0, size = 4095 })
      assert.matches("4095 is not a multiple", err.message)
    end)
  end

  it("switches between reading its RAM and asking its functions", function()
    m:object_add("memory-backend-ram", { id = "rom", size = "2M" })
    local writes = {}
    local flash = m:region { kind = "rom-device", memdev = "rom", size = 4096,
      read = function(offset) return 0x40 + offset end,
      write = function(offset, _, value) writes[#writes + 1] = { offset, value } end }
    root:add(flash, "1T")
    assert.is_true(flash.romd)
    assert.are.equal(0, m:load(1 << 40, 1))
    m:store((1 << 40) + 2, 1, 9)
    flash.romd = false
    assert.is_false(flash.romd)
    assert.are.equal(0x43, m:load((1 << 40) + 3, 1))
    assert.are.same({ { 2, 9 } }, writes)
    assert.is_false(root.romd)
  end)

  it("counts rejected accesses, and names their source", function()
    local picky = m:region { kind = "io", size = 16, valid = { min = 2, max = 4 },
      read = function(offset) if offset < 8 then return 7 end end,
      write = function(offset) return offset < 8 end }
    root:add(picky, "1T")
    local at = 1 << 40
    assert.are.equal(7, m:load(at, 2))
    m:store(at, 4, 1)
    assert.are.same({ reads = 1, writes = 1, rejected = 0 }, picky.stats)
    for _, access in ipairs { { at, 1 }, { at, 8 }, { at + 1, 2 } } do
      assert.are.equal("access", machines.raised(m.load, m, table.unpack(access)).code)
    end
    local err = machines.raised(m.load, m, at + 8, 4)
    assert.are.equal("device", err.code)
    assert.matches("load of 4 bytes at 0x10000000008: a device there refuses it", err.message)
    assert.are.equal("device", machines.raised(m.store, m, at + 8, 4, 1).code)
    assert.are.equal(5, picky.stats.rejected)
    local before = m.memory.stats
    assert.are.equal("access", machines.raised(m.load, m, 5 << 40, 4).code)
    assert.are.same({ rejected = before.rejected + 1, unassigned = before.unassigned + 1 },
      m.memory.stats)
    assert.are.equal(0, root.stats.rejected)
  end)
end)
