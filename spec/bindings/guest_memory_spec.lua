-- Guest memory: bulk operations, typed access, mappings, compared with a plain copy in Lua.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local BASE, SIZE = 0x1000000, 0x6000

describe("guest memory", function()
  local m, dev

  -- 24 KiB: RAM, other RAM, a device that keeps bytes, RAM again, right after each other.
  before_each(function()
    m = machines.none { memory = "16M" }
    m:object_add("memory-backend-memfd", { id = "mem", size = "2M" })
    m:object_add("memory-backend-ram", { id = "private", size = "2M" })
    local function ram(name, offset, size, memdev)
      return m:region {
        kind = "ram", name = name, memdev = memdev or "mem", ram_offset = offset, size = size,
      }
    end
    m.memory.root:add(ram("a", 0x4000, 0x2000, "private"), BASE)
    m.memory.root:add(ram("b", 0x10000, 0x1000, "private"), BASE + 0x2000)
    dev = {}
    m.memory.root:add(m:region {
      kind = "io", name = "dev", size = 0x1000, valid = { max = 4 },
      read = function(offset, size)
        local value = 0
        for i = size - 1, 0, -1 do value = value << 8 | (dev[offset + i] or 0) end
        return value
      end,
      write = function(offset, size, value)
        for i = 0, size - 1 do dev[offset + i] = value >> 8 * i & 0xff end
      end,
    }, BASE + 0x3000)
    m.memory.root:add(ram("c", 0x20000, 0x2000), BASE + 0x4000)
  end)

  after_each(machines.close_all)

  it("agrees with a copy kept beside it", function()
    local seed = os.time()
    math.randomseed(seed)
    local copy = ("\0"):rep(SIZE)
    m:fill(BASE, SIZE, 0)
    local function put(offset, bytes)
      copy = copy:sub(1, offset) .. bytes .. copy:sub(offset + #bytes + 1)
    end
    local function some()
      local offset = math.random(0, SIZE - 1)
      -- Often right around a border.
      if math.random(3) == 1 then offset = math.random(1, 5) * 0x1000 - math.random(1, 20) end
      local most = math.random(2) == 1 and 40 or SIZE
      return offset, math.random(0, math.min(most, SIZE - offset))
    end
    local function bytes(n)
      local list = {}
      for i = 1, n do list[i] = string.char(math.random(0, 255)) end
      return table.concat(list)
    end
    local formats = {
      u8 = "<I1", u16 = "<I2", u32le = "<I4", u64 = "<i8", u16be = ">I2", u32be = ">I4",
      u64be = ">i8", i8 = "<i1", i16be = ">i2", i32 = "<i4", i64be = ">i8",
    }
    local names = {}
    for name in pairs(formats) do names[#names + 1] = name end
    table.sort(names)
    local steps = {
      function(offset, length)
        local data = bytes(length)
        m:write(BASE + offset, data)
        put(offset, data)
      end,
      function(offset, length)
        local byte = math.random(0, 255)
        m:fill(BASE + offset, length, byte)
        put(offset, string.char(byte):rep(length))
      end,
      function(offset, length)
        assert(m:read(BASE + offset, length) == copy:sub(offset + 1, offset + length), "read")
      end,
      function(offset)
        local name = names[math.random(#names)]
        local size = string.packsize(formats[name])
        if offset + size > SIZE then return end
        -- A device takes aligned accesses.
        if offset + size > 0x3000 and offset < 0x4000 then offset = offset & -size end
        if size == 8 and offset + size > 0x3000 and offset < 0x4000 then return end
        assert.are.equal((string.unpack(formats[name], copy, offset + 1)),
          m.memory:get(name, BASE + offset), name)
        local value = string.unpack(formats[name], bytes(size))
        m.memory:set(name, BASE + offset, value)
        put(offset, string.pack(formats[name], value))
      end,
      function(offset, length)
        -- Search looks at RAM alone.
        if length == 0 then return end
        local needle = copy:sub(offset + 1, offset + length)
        local from, want = math.random(0, SIZE - 1), nil
        for _, part in ipairs { { 0, 0x3000 }, { 0x4000, SIZE } } do
          local first = math.max(part[1], from)
          local at = first < part[2] and copy:sub(first + 1, part[2]):find(needle, 1, true)
          if at and not want then want = BASE + first + at - 1 end
        end
        assert.are.equal(want, m:search(needle, { from = BASE + from, length = SIZE - from }))
      end,
      function(offset, length)
        if offset + length > 0x3000 then return end
        assert.are.equal(m:hash(BASE + offset, length, "sha256"), (function()
          m:write(0x100000, copy:sub(offset + 1, offset + length))
          return m:hash(0x100000, length, "sha256")
        end)())
      end,
    }
    for step = 1, 500 do
      local ok, err = pcall(steps[math.random(#steps)], some())
      assert(ok, ("seed %d, step %d: %s"):format(seed, step, tostring(err)))
    end
    assert(m:read(BASE, SIZE) == copy, "seed " .. seed)
    m:write(0x100000, copy)
    assert.are.equal(m:hash(0x100000, SIZE), m:hash(BASE, SIZE))
  end)

  it("hashes as others do", function()
    m:write(0, "Nobody inspects the spammish repetition")
    assert.are.equal(string.unpack(">i8", "\xfb\xce\xa8\x3c\x8a\x37\x8b\xf1"), m:hash(0, 39))
    assert.are.equal("031edd7d41651593c5fe5c006fa5752b37fddff7bc4e843aa6af0c950f4b9406",
      m:hash(0, 39, "sha256"))
    assert.are.equal("access", machines.raised(m.hash, m, BASE + SIZE, 1).code)
    assert.are.equal("access", machines.raised(m.fill, m, BASE + SIZE - 1, 2).code)
    -- A hole is left out at once, however large; what is behind it is filled.
    assert.are.equal("access", machines.raised(m.fill, m, BASE + SIZE, lunik.SIZE_MAX >> 1).code)
    local far = m:region {
      kind = "ram", name = "far", memdev = "mem", ram_offset = 0x30000, size = 0x1000,
    }
    m.memory.root:add(far, 1 << 40)
    assert.are.equal("access",
      machines.raised(m.fill, m, BASE + SIZE - 1, (1 << 40) - BASE - SIZE + 2, 7).code)
    assert.are.equal(7, m:load(BASE + SIZE - 1, 1))
    assert.are.equal(7, m:load(1 << 40, 1))
  end)

  it("ends where addresses do", function()
    local top = -0x1000
    m.memory.root:add(m:region {
      kind = "ram", name = "top", memdev = "mem", ram_offset = 0x30000, size = 0x1000,
    }, top)
    assert.is_true(m:hash(top, 0x1000) ~= 0)
    m:fill(top, 0x1000, 5)
    assert.equal(("\5"):rep(0x1000), m:read(top, 0x1000))
    -- An access that would wrap to address 0 is refused as a whole.
    for _, name in ipairs { "hash", "read", "fill" } do
      assert.equal("access", machines.raised(m[name], m, top, 0x1001).code, name)
    end
    assert.equal(("\5"):rep(16), m:read(-16, 16))
    assert.equal("\0", m:read(0, 1))
  end)

  it("says that nothing is there rather than that a device refuses", function()
    m.memory.root:add(m:region {
      kind = "io", name = "bad", size = 4, write = function() return false, "device" end,
    }, BASE + SIZE)
    assert.equal("device", machines.raised(m.fill, m, BASE + SIZE - 8, 12, 1).code)
    assert.equal("access", machines.raised(m.fill, m, BASE + SIZE - 8, 16, 1).code)
    m.memory.root:add(m:region {
      kind = "io", name = "worse", size = 4, write = function() return false, "device" end,
    }, BASE + SIZE + 8)
    assert.equal("access", machines.raised(m.fill, m, BASE + SIZE + 4, 8, 1).code)
  end)

  it("finds patterns", function()
    m:write(BASE + 0x1fff, "\x48\x8b\x0d\x05")
    assert.are.equal(BASE + 0x1fff, m:search("48 8b ?? 05", { hex = true }))
    assert.are.equal(BASE + 0x1fff, m:search("48 8b 0? 05", { hex = true, from = BASE }))
    assert.are.equal(BASE + 0x2000, m:search("?? 0d", { hex = true, from = BASE + 0x2000 }))
    assert.is_nil(m:search("48 8b ?? 05", { hex = true, align = 2 }))
    assert.is_nil(m:search("48 8b ?? 05", { hex = true, length = BASE + 0x2002 }))
    assert.are.equal(BASE + 0x1fff, m:search("HK", { mask = "\xf0\0", from = BASE + 1 }))
    assert.is_nil(m:search "no such text anywhere")
    m:write(BASE + 0x2ffe, "xy")
    m:write(BASE + 0x3000, "z")
    assert.is_nil(m:search("xyz"))
    for options, text in pairs {
      [{ mask = "a" }] = "search: mask: has 1 bytes",
      [{ hex = true }] = "search: hex: 'xx' is not two digits",
      [{ form = 1 }] = "from",
    } do
      assert.matches(text, machines.raised(m.search, m, "xx", options).message, 1, true)
    end
    assert.matches("empty", machines.raised(m.search, m, "").message)
  end)

  it("shows arrays and strings", function()
    local view = m.memory:view("u16be", BASE + 0x1ffd, 4)
    for i = 1, #view do view[i] = 0x100 * i + i end
    assert.are.equal("\1\1\2\2\3\3\4\4", m:read(BASE + 0x1ffd, 8))
    assert.are.same({ 0x101, 0x202, 0x303, 0x404 }, view:values())
    assert.are.equal(0x202, view[2])
    assert.matches("%[5%] is out of bounds", machines.raised(function() return view[5] end).message)
    assert.matches("65536", machines.raised(function() view[1] = 65536 end).message)
    assert.are.equal("invalid", machines.raised(m.memory.view, m.memory, "u17", 0, 1).code)
    m.memory:set("f64be", BASE, 1.5)
    assert.are.equal(1.5, m.memory:get("f64be", BASE))
    m:write(BASE + 0x2000 - 3, "hello\0")
    assert.are.equal("hello", m.memory:string(BASE + 0x2000 - 3))
    m:write(BASE + SIZE - 3, "end")
    assert.are.equal("access", machines.raised(m.memory.string, m.memory, BASE + SIZE - 3).code)
    local none, part = m.memory:string(BASE + SIZE - 3, 3)
    assert.is_nil(none)
    assert.are.equal("end", part)
  end)

  it("finds what begins like all the memory around it", function()
    m:fill(BASE, 0x2000, 7)
    m:write(BASE + 0x1ffc, "\7\7\7\8")
    assert.are.equal(BASE + 0x1ffc, m:search "\7\7\7\8")
    assert.are.equal(BASE + 0x1ffb, m:search("\7\7\7\7\8", { from = BASE }))
    assert.is_nil(m:search("\7\7\7\8", { from = BASE, align = 8 }))
    assert.are.equal(BASE + 0x1ffc, m:search("\7\0\7\8", { mask = "\xff\0\xff\xff" }))
    assert.are.equal(BASE, m:search("\7", { from = BASE, length = lunik.SIZE_MAX }))
  end)

  it("reads strings to their end, and nothing behind it", function()
    local odd = m:region { kind = "ram", name = "odd", memdev = "mem", size = 0x105 }
    local high = -4096 -- 0xfffffffffffff000
    m.memory.root:add(odd, high)
    m:write(high + 0x100, "text\0")
    assert.are.equal("text", m.memory:string(high + 0x100))
    assert.are.equal("text", m:map(high):string(0x100))
    m:fill(high, 0x105, 0x61)
    assert.are.equal("access", machines.raised(m.memory.string, m.memory, high + 0x100).code)
    assert.are.same({ n = 2, nil, "aaaaa" }, table.pack(m:map(high):string(0x100)))
    m:write(BASE + 0x2ffe, "re") -- goes on in the device
    dev[0], dev[1] = 0x67, 0
    assert.are.equal("reg", m.memory:string(BASE + 0x2ffe))
    local long = ("x"):rep(5000)
    m:write(BASE, long .. "\0")
    assert.are.same({ n = 2, nil, long:sub(1, 4096) }, table.pack(m.memory:string(BASE)))
    assert.are.equal(long, m.memory:string(BASE, 5001))
    assert.are.same({ n = 2, nil, "" }, table.pack(m.memory:string(BASE, 0)))
  end)

  it("refuses wrong input, and then changes nothing", function()
    local space, map = m.memory, m:map(BASE, 16)
    m:write(BASE, "as it was before")
    for text, use in pairs {
      ["fill: length: '-1' is negative"] = function() m:fill(BASE, -1) end,
      ["hash: length: '-1' is negative"] = function() m:hash(BASE, -1) end,
      ["view: 2305843009213693952 u64 end beyond"] = function() space:view("u64", 0, 1 << 61) end,
      ["view: 1152921504606846976 u64 end"] = function() map:view("u64", 0, 1 << 60) end,
      ["'15' is not a u32"] = function() space:set("u32", BASE, "15") end,
      ["'true' is not a u8"] = function() map:set("u8", 0, true) end,
      ["search: mask: can't be used with hex"] = function()
        m:search("aa", { hex = true, mask = "\xff" })
      end,
      ["search: length: '-2' is negative"] = function() m:search("aa", { length = -2 }) end,
      ["read: offset: is missing"] = function() map:read() end,
      ["read: 17 bytes at offset 0 are beyond the mapping (it has 16)"] = function()
        map:read(0, 17)
      end,
      ["string: max: '-1' is negative"] = function() space:string(BASE, -1) end,
      ["string: offset: '-1' is negative"] = function() map:string(-1) end,
      ["[nil] is out of bounds"] = function() map:view("u8", 0, 4)[nil] = 1 end,
      ["[1.5] is out of bounds"] = function() return map:view("u8", 0, 4)[1.5] end,
    } do
      local err = machines.raised(use)
      assert.are.equal("invalid", err.code)
      assert.matches(text, err.message, 1, true)
    end
    assert.are.equal("as it was before", m:read(BASE, 16))
    assert.are.equal(0x61, map:view("u8", 0, 4)[1.0])
    assert.are.equal("as", map:read(0.0, 2.0))
  end)

  it("maps what is there, not what takes its place", function()
    local root, map = m.memory.root, m:map(BASE)
    map.region.size = 0x1000
    assert.is_false(map.valid)
    map.region.size = 0x2000
    assert.is_true(map.valid)
    local cover = m:region { kind = "ram", name = "cover", memdev = "private", size = 0x2000 }
    root:add(cover, BASE, { priority = 1 })
    assert.is_false(map.valid)
    root:del(cover)
    assert.is_true(map.valid)
    local window = m:region { kind = "alias", target = map.region, size = 0x1000 }
    root:add(window, "2G")
    local part = m:map("2G")
    assert.is_true(part.valid)
    window.alias_offset = 0x1000
    assert.is_false(part.valid)
  end)

  it("maps with bounds, as long as the region is there", function()
    local map = m:map(BASE + 0x1000)
    assert.are.equal(0x1000, map.size)
    assert.are.equal("a", map.name)
    map:write(0xffe, "\x12\x34")
    assert.are.equal(0x1234, map:get("u16be", 0xffe))
    assert.are.equal("\x12\x34", m:read(BASE + 0x1ffe, 2))
    map:set("u8", 0, 7)
    map:fill(1, 3, 8)
    assert.are.same({ 7, 8, 8, 8 }, map:view("u8", 0, 4):values())
    assert.are.equal(m:hash(BASE + 0x1000, 0x1000), map:hash())
    for _, use in ipairs {
      function() map:read(0xfff, 2) end, function() map:get("u32", 0xffd) end,
      function() map:write(-1, "x") end, function() map:view("u64", 0, 0x201) end,
      function() map:read(math.maxinteger, 2) end,
    } do
      assert.are.equal("invalid", machines.raised(use).code)
    end
    assert.matches("want 1 to 4096", machines.raised(m.map, m, BASE + 0x1000, 0x1001).message)
    assert.are.equal("access", machines.raised(m.map, m, BASE + 0x3000).code)
    local view = map:view("u8", 0, 4)
    map.region.offset = BASE + 0x10000
    assert.is_false(map.valid)
    assert.are.equal("gone", machines.raised(map.read, map, 0, 1).code)
    assert.are.equal("gone", machines.raised(function() return view[1] end).code)
    map.region.offset = BASE
    assert.is_true(map.valid)
    m.memory.root:del(map.region)
    collectgarbage()
    assert.are.equal("gone", machines.raised(map.set, map, "u8", 0, 1).code)
    local other = m:map(BASE + 0x4000)
    other:close()
    assert.are.equal("gone", machines.raised(other.read, other, 0, 1).code)
    m:close()
    assert.is_false(map.valid)
    assert.are.equal("gone", machines.raised(map.read, map, 0, 1).code)
  end)

  it("lets an unplugged DIMM's memory go", function()
    local pc = machines.pc()
    pc:object_add("memory-backend-ram", { id = "dimm", size = "2M" })
    local dimm = pc:device_add("pc-dimm", { id = "d", memdev = "dimm" })
    pc:wait("acpi-ost", { timeout = 5 })
    local map = pc:map(dimm.addr)
    map:set("u64", 0, 1)
    pc:device_del("d"):wait { timeout = 5 }
    assert.are.equal("gone", machines.raised(map.get, map, "u64", 0).code)
    pc:object_del "dimm"
    lunik.sleep(0)
  end)
end)
