-- lunik.disassemble(): machine code as text.
local lunik = require "lunik"

local there = pcall(lunik.disassemble, "\x90")

describe("lunik.disassemble", function()
  it("names what is wrong with its arguments", function()
    for _, case in ipairs { { { 5 }, "bytes" }, { { "", "x" }, "address: 'x'" },
      { { "", 0, 48 }, "mode: '48'" }, { { "", 0, "64" }, "mode: '64'" } } do
      local ok, err = pcall(lunik.disassemble, table.unpack(case[1]))
      assert.is_false(ok)
      assert.truthy(err.message:find(case[2], 1, true), err.message)
    end
  end)

  if not there then
    it("says that there is no disassembler", function()
      local ok, err = pcall(lunik.disassemble, "\x90")
      assert.is_false(ok)
      assert.equal("unsupported", err.code)
    end)
    return
  end

  local function texts(...)
    local list = {}
    for i, instruction in ipairs(lunik.disassemble(...)) do list[i] = instruction.text end
    return list
  end

  it("reads the same bytes in each mode", function()
    assert.same({ "movw     $0x1234, %ax", "incw     %ax" }, texts("\xb8\x34\x12\x40", 0, 16))
    assert.same({ "incl     %eax" }, texts("\x40", 0, 32))
    assert.same({ "incq     %rax" }, texts("\x48\xff\xc0"))
  end)

  it("follows addresses, round the end of the address space as well", function()
    assert.same({ "jmp      0x1000" }, texts("\xeb\xfe", 0x1000, 64))
    local two = lunik.disassemble("\x90\x90", -1)
    assert.same({ -1, 0 }, { two[1].address, two[2].address })
  end)

  it("shows what is no instruction, or is cut off, byte by byte", function()
    assert.same({}, lunik.disassemble "")
    assert.same({ ".byte    0x06", "nop" }, texts("\x06\x90", 0, 64))
    assert.same({ "nop", ".byte    0xe8", ".byte    0xff" }, texts("\x90\xe8\xff", 0, 32))
    local bytes = {}
    for i = 0, 4095 do bytes[i + 1] = string.char(i * 7919 >> 3 & 255) end
    local all, sum = table.concat(bytes), 0
    for _, instruction in ipairs(lunik.disassemble(all, 0, 64)) do
      assert.equal(sum, instruction.address)
      assert.equal(all:sub(sum + 1, sum + #instruction.bytes), instruction.bytes)
      sum = sum + #instruction.bytes
    end
    assert.equal(#all, sum)
  end)
end)
