-- m:memory_map(): the memory map as a drawing.
local machines = require "spec.support.machines"

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
      "\nI/O\n", "00000000fe000000 ▕▒▒▒▒▒▒▒▒▏ bar<&> ", "└ ioeventfd 0xfe000010 = 0x3\n",
      "└ coalesced 0xfe002000-0xfe0020ff\n", "└ slot 1: dimm\n", "▏ (128K)\n",
      "░▏ kept                 reserved 64K\n", "memory slots: 1 of 3 in use\n", "pc.ram  ",
    } do
      assert.matches(part, text, 1, true)
    end
    -- The highest address is on top, and nothing listens any more.
    assert.is_true(text:find("dimm", 1, true) < text:find("bar<&>", 1, true))
    assert.are.equal(text, m:memory_map {})
  end)

  it("draws as SVG", function()
    local path = os.tmpname()
    local svg = m:memory_map { format = "svg", file = path }
    local file <close> = assert(io.open(path))
    assert.are.equal(svg, file:read "a")
    os.remove(path)
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

  it("says what is wrong with its options", function()
    assert.matches("memory_map: format: 'png'", machines.raised(m.memory_map, m, { format = "png" })
      .message, 1, true)
    local missing = machines.raised(m.memory_map, m, { file = "/no/such/file" })
    assert.are.equal("not-found", missing.code)
    assert.matches("memory_map: file: /no/such/file: no such file", missing.message, 1, true)
    local full = machines.raised(m.memory_map, m, { file = "/dev/full" })
    assert.are.equal("no-space", full.code)
  end)
end)
