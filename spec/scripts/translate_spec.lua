-- lunik.translate: linear addresses through page tables, in each mode of the processor.
local lunik = require "lunik"
local translate = require "lunik.translate"

describe("a linear address", function()
  local m

  before_each(function()
    m = lunik.machine { board = "micro", accel = "none", memory = "16M" }
  end)

  after_each(function() m:close() end)

  local function store(size, entries)
    for address, value in pairs(entries) do m:store(address, size, value) end
  end

  it("is the physical one without paging", function()
    assert.equal(0x1234, translate.address(m, { cr0 = 1, cr3 = 0, cr4 = 0, efer = 0 }, 0x1234))
  end)

  it("has two levels of 4 bytes without PAE, and pages of 4M", function()
    local regs = { cr0 = 1 << 31, cr3 = 0x1000, cr4 = 1 << 4, efer = 0 }
    store(4, { [0x1000] = 0x2003, [0x2000 + 5 * 4] = 0x77001, [0x1004] = 0x00800083,
      [0x1008] = 0x00c02083 })
    assert.equal(0x77123, translate.address(m, regs, 0x5123))
    assert.equal(0x912345, translate.address(m, regs, 0x512345))
    assert.equal(0x100c00001, translate.address(m, regs, 0x800001)) -- PSE-36
    assert.is_nil(translate.address(m, regs, 0x6000))
    assert.is_nil(translate.address(m, regs, 0xc00000))
  end)

  it("has three levels of 8 bytes with PAE, and pages of 2M", function()
    local regs = { cr0 = 1 << 31, cr3 = 0x1020, cr4 = 1 << 5, efer = 0 }
    store(8, { [0x1020 + 3 * 8] = 0x2001, [0x2000] = 0x3003, [0x2008] = 0x400083,
      [0x3000 + 8] = 0x55001 | -1 << 63 })
    assert.equal(0x55fff, translate.address(m, regs, 0xc0001fff))
    assert.equal(0x412345, translate.address(m, regs, 0xc0212345))
    assert.is_nil(translate.address(m, regs, 0x1000))
  end)

  it("has four or five levels in long mode, and pages of 2M and 1G", function()
    local regs = { cr0 = 1 << 31, cr3 = 0x1000, cr4 = 1 << 5, efer = 1 << 10 }
    store(8, { [0x1000 + 511 * 8] = 0x2003, [0x2000 + 510 * 8] = 0x3003, [0x2000] = 0x40000083,
      [0x3000] = 0x4003, [0x3000 + 8] = 0x800083, [0x4000 + 2 * 8] = 0x66003,
      [0x5000 + 511 * 8] = 0x1003 })
    local kernel = -1 << 31
    assert.equal(0x66abc, translate.address(m, regs, kernel + 0x2abc))
    assert.equal(0x8abcde, translate.address(m, regs, kernel + 0x2abcde))
    assert.equal(0x40000000 + 0x123456, translate.address(m, regs, (-1 << 39) + 0x123456))
    assert.is_nil(translate.address(m, regs, 1 << 47)) -- not canonical
    assert.is_nil(translate.address(m, regs, 0))
    regs.cr3, regs.cr4 = 0x5000, regs.cr4 | 1 << 12
    assert.equal(0x66abc, translate.address(m, regs, kernel + 0x2abc))
    assert.is_nil(translate.address(m, regs, 1 << 56))
  end)

  it("is read across pages, up to the first that is not mapped", function()
    local regs = { cr0 = 1 << 31, cr3 = 0x1000, cr4 = 0, efer = 0 }
    store(4, { [0x1000] = 0x2003, [0x2000] = 0x77001, [0x2004] = 0x55001 })
    m:write(0x77ffe, "ab")
    m:write(0x55000, "cd")
    assert.equal("abcd", translate.read(m, regs, 0xffe, 4))
    assert.equal("", translate.read(m, regs, 0x5000, 0))
    assert.same({ n = 2, nil, 0x2000 }, table.pack(translate.read(m, regs, 0x1ffe, 4)))
  end)
end)
