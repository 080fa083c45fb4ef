-- m:memory_map(): the memory map as a drawing.
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local uv = require "luv"

describe("m:memory_map", function()
  local m

  before_each(function()
    m = machines.pc { memory = "64M", slots = 3 }
    m:object_add("memory-backend-ram", { id = "mem", size = "2M" })
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem", slot = 1 })
    local bar = m:region { kind = "io", name = "bar<&>", size = "16K" }
    m.memory.root:add(bar, 0xfe000000)
    bar:ioeventfd { offset = 16, size = 4, match = 3, on = function() end }
    bar:coalesce(0x2000, 0x100)
    m.memory.root:add(m:region { kind = "reserved", name = "kept", size = "64K" }, 0xfed00000)
  end)

  after_each(machines.close_all)

  it("draws for the terminal", function()
    local text = m:memory_map()
    for _, part in ipairs {
      "\nI/O\n", [[
                   ▕▒▒▒▒▒▒▒▒▏ i/o             16K  bar<&>
                   ▕▒▒▒▒▒▒▒▒▏   └ ioeventfd 0xfe000010 = 0x3
  00000000fe000000 ▕▒▒▒▒▒▒▒▒▏   └ coalesced 0xfe002000-0xfe0020ff
  0000000004000000 ▕        ▏ hole          4000M
]], [[
                   ▕████████▏ ram              2M  mem
  0000000100000000 ▕████████▏   └ slot 1: dimm
  00000000fed10000 ▕        ▏ hole         19392K
  00000000fed00000 ▕░░░░░░░░▏ reserved        64K  kept
]], "memory slots: 1 of 3 in use\n", "pc.ram\n",
    } do
      assert.matches(part, text, 1, true)
    end
    -- The highest address is on top, and nothing listens any more.
    assert.is_true(text:find("dimm", 1, true) < text:find("bar<&>", 1, true))
    assert.are.equal(text, m:memory_map {})
  end)

  it("draws blocks that keep their borders on a terminal of 80 columns", function()
    for line in m:memory_map():gmatch "[^\n]+" do
      assert.not_matches("[%c\127]", line)
      assert.is_true(utf8.len(line) <= 80, line)
      local border = line:find("▕", 1, true)
      assert.is_true(not line:find "^  " or border == 20 and line:find("▏", 1, true) ~= nil, line)
    end
  end)

  it("shows a space from end to end", function()
    for _, space in ipairs { "I/O", "memory" } do
      local holes = m:memory_map():match("\n?" .. space .. "\n(.-)\n\n")
      assert.matches(space == "I/O" and "^  000000000000afe4 ▕        ▏ hole         0x501c\n"
        or "^  0000000100200000 ▕        ▏ hole     up to 2^64\n", holes)
    end
    m.memory.root:add(m:region { kind = "reserved", name = "top", size = 0x1000 }, -0x1000)
    assert.matches("^memory\n  fffffffffffff000 ▕░░░░░░░░▏ reserved         4K  top\n",
      m:memory_map())
  end)

  it("draws as SVG", function()
    local svg = m:memory_map { format = "svg" }
    local open = {}
    for slash, tag, rest in svg:gmatch "<(/?)(%l+)([^>]*)>" do
      if slash == "/" then
        assert.are.equal(table.remove(open), tag)
      elseif rest:sub(-1) ~= "/" then
        open[#open + 1] = tag
      end
    end
    assert.are.same({}, open)
    for _, part in ipairs { "bar&lt;&amp;&gt;", "slot 1: dimm", "ioeventfd 0xfe000010 = 0x3" } do
      assert.matches(part, svg, 1, true)
    end
    assert.not_matches("bar<", svg, 1, true)
  end)

  it("is written to a file in the format of its name, and then not returned", function()
    for ending, format in pairs { svg = "svg", txt = "text" } do
      local path <close> = command.file("", "." .. ending)
      assert.equal(0, select("#", m:memory_map { file = tostring(path) }))
      assert.equal(m:memory_map { format = format }, command.read(path))
    end
  end)

  it("puts no label over another in SVG", function()
    m:object_add("memory-backend-ram", { id = "block-of-a-name-longer-than-a-bar", size = "2M" })
    m:device_add("pc-dimm", { id = "longer-than-the-space-beside-the-bar-even-in-a-small-font",
      memdev = "block-of-a-name-longer-than-a-bar" })
    local wide = m:region { kind = "io", name = "notes", size = 4096 }
    m.memory.root:add(wide, math.mininteger)
    wide:ioeventfd { offset = 8, size = 8, match = -1, on = function() end }
    local labels = {}
    for attributes, text in m:memory_map { format = "svg" }:gmatch "<text ([^>]+)>([^<]*)" do
      local x, y = attributes:match '^x="(%d+)" y="(%d+)"'
      -- Six pixels: the mean width of a character in the fonts there are.
      local label = { text = text, left = tonumber(x), y = tonumber(y),
        width = 6 * utf8.len((text:gsub("&%l+;", "&"))) }
      if attributes:find("end", 1, true) then label.left = label.left - label.width end
      for _, other in ipairs(labels) do
        assert.is_true(math.abs(label.y - other.y) >= 10 or label.left >= other.left + other.width
          or label.left + label.width <= other.left, text .. " / " .. other.text)
      end
      table.insert(labels, label)
    end
    assert.is_true(#labels > 100)
  end)

  it("draws names that are no UTF-8 as SVG that is", function()
    m.memory.root:add(m:region { kind = "reserved", name = "caf\xe9 ü", size = 4096 }, "1T")
    assert.is_truthy(utf8.len(m:memory_map { format = "svg" }))
  end)

  it("says what is wrong with its options", function()
    assert.matches("memory_map: format: 'png'", machines.raised(m.memory_map, m, { format = "png" })
      .message, 1, true)
    local missing = machines.raised(m.memory_map, m, { file = "/no/such/file.svg" })
    assert.are.equal("not-found", missing.code)
    assert.matches("memory_map: file: /no/such/file.svg: no such file", missing.message, 1,
      true)
    local path <close> = command.file("", ".txt")
    os.remove(tostring(path))
    assert(uv.fs_symlink("/dev/full", tostring(path)))
    local full = machines.raised(m.memory_map, m, { file = tostring(path) })
    assert.are.equal("no-space", full.code)
    for options, message in pairs {
      [{ file = "map.png" }] = "memory_map: file: 'map.png' is in no known format (want a name "
        .. "that ends in .svg or .txt)",
      [{ file = "svg" }] = "'svg' is in no known format",
      [{ file = "map.txt", format = "svg" }] =
        "memory_map: format: 'svg' is not that of 'map.txt' (want 'text', or none)",
    } do
      local err = machines.raised(m.memory_map, m, options)
      assert.equal("invalid", err.code)
      assert.matches(message, err.message, 1, true)
      assert.is_nil(io.open(options.file))
    end
  end)
end)
