-- The memory map as scripts see it: overlaps, transactions, texts, a DIMM's way into the view.
local lunik = require "lunik"

local function flat(m, space)
  local lines, inside = {}, false
  for line in m:mtree { flat = true }:gmatch "[^\n]*" do
    if line:find('^ AS "') then inside = line:find('^ AS "' .. space .. '"') end
    local first, last, name = line:match "^  (%x+)%-(%x+) %(.-%): (.+)$"
    if inside and first then
      lines[#lines + 1] = ("%x-%x %s"):format(tonumber(first, 16), tonumber(last, 16), name)
    end
  end
  return lines
end

describe("the memory map", function()
  local m, window

  local function io(name, size)
    return m:region { kind = "io", name = name, size = size, read = function() return #name end }
  end

  before_each(function()
    m = lunik.machine { board = "micro", accel = "none", memory = "16M", serial = "none" }
    window = m:region { kind = "container", name = "A", size = 0x8000 }
    m.memory.root:add(window, 0x80000000)
  end)

  after_each(function() m:close() end)

  local function shown()
    local lines = {}
    for _, line in ipairs(flat(m, "memory")) do
      local first = line:match "^8000(%x%x%x%x)%-"
      if first then lines[#lines + 1] = line:gsub("8000(%x%x%x%x)", "%1") end
    end
    return table.concat(lines, ", ")
  end

  it("shows lower siblings through the holes of a container", function()
    local b = m:region { kind = "container", name = "B", size = 0x4000 }
    window:add(b, 0x2000, { priority = 2 })
    window:add(io("C", 0x6000), 0, { priority = 1, overlap = true })
    b:add(io("D", 0x1000), 0)
    b:add(io("E", 0x1000), 0x2000)
    assert.are.equal("0000-1fff C, 2000-2fff D, 3000-3fff C @0000000000003000, 4000-4fff E, "
      .. "5000-5fff C @0000000000005000", shown())
    b.enabled = false
    assert.are.equal("0000-5fff C", shown())
  end)

  it("applies a transaction as a whole or not at all", function()
    local first, second = io("first", 0x100), io("second", 0x100)
    m:transaction(function()
      window:add(first, 0)
      window:add(second, 0x100)
      assert.are.equal("", shown())
    end)
    assert.are.equal("0000-00ff first, 0100-01ff second", shown())
    assert.has_error(function()
      m:transaction(function()
        first.offset = 0x4000
        window:del(second)
        error "no"
      end)
    end)
    assert.are.equal("0000-00ff first, 0100-01ff second", shown())
    assert.are.equal(0, first.offset)
  end)

  it("names both regions that want an address", function()
    window:add(io("first", 0x100), 0x40)
    local ok, err = pcall(window.add, window, io("second", 0x100), 0)
    assert.is_false(ok)
    assert.are.equal("exists", err.code)
    assert.matches("'second'.*'first' is at 0x40%-0x13f", err.message)
  end)

  it("prints what several aliases show of the same memory once", function()
    local pc <close> = lunik.machine { accel = "none", memory = "64M" }
    local _, count = pc:mtree():gsub("\nmemory%-region: pc.ram\n", "")
    assert.are.equal(1, count)
  end)

  it("prints owners and disabled regions on request", function()
    window:add(io("quiet", 0x100), 0)
    window.enabled = false
    assert.is_nil(m:mtree():find("quiet", 1, true))
    assert.is_truthy(m:mtree { disabled = true }:find("(prio 0, i/o): A [disabled]", 1, true))
  end)
end)
