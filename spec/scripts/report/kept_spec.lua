-- What a report keeps: limited lists, and output.
local bounded = require "lunik.report.bounded"
local output = require "lunik.report.output"

describe("a limited list", function()
  local function filled(limit, count)
    local list = bounded.new(limit)
    for i = 1, count do list:add(i) end
    return list
  end

  it("keeps everything up to its limit", function()
    for _, count in ipairs { 0, 1, 9, 10 } do
      local list = filled(10, count)
      assert.equal(count, #list:all())
      assert.equal(0, list.lost)
    end
  end)

  it("keeps the oldest and the newest, in order", function()
    for _, count in ipairs { 11, 17, 18, 19, 100, 101 } do
      local list, expected = filled(10, count), { 1, 2 }
      for i = count - 7, count do expected[#expected + 1] = i end
      assert.same(expected, list:all())
      assert.equal(count - 10, list.lost)
    end
  end)

  it("may keep nothing", function()
    assert.same({}, filled(0, 5):all())
    assert.equal(5, filled(0, 5).lost)
    assert.same({ 5 }, filled(1, 5):all())
  end)
end)

describe("output that is kept", function()
  local MS = 1000000

  local function text_of(kept)
    local parts = {}
    for i, piece in ipairs((kept:all())) do parts[i] = piece[2] end
    return table.concat(parts)
  end

  it("has the time at which each line began", function()
    local kept = output.new("x", 10000)
    kept:add(1 * MS, "one\ntw")
    kept:add(3 * MS, "o\nthree\n")
    assert.same({ { 1 * MS, "one\n" }, { 1 * MS, "two\nthree\n" } }, (kept:all()))
  end)

  it("does not wait long for the end of a line", function()
    local kept = output.new("x", 10000)
    kept:add(1 * MS, "login: ")
    kept:add(900 * MS, "root\n")
    assert.same({ { 1 * MS, "login: " }, { 900 * MS, "root\n" } }, (kept:all()))
  end)

  it("keeps the beginning and the end, says how much is lost and where", function()
    local kept = output.new("x", 4000)
    for i = 1, 1000 do kept:add(i * MS, ("line %05d\n"):format(i)) end
    local text, pieces, lost, after = text_of(kept), kept:all()
    assert.is_true(#text <= 4000 and #text > 3900)
    assert.equal(11000 - #text, lost)
    assert.equal("line 00001\n", pieces[1][2])
    assert.equal("line 01000\n", pieces[#pieces][2])
    local function number(i) return tonumber(pieces[i][2]:match "%d+") end
    assert.equal(after, number(after))
    assert.is_true(number(after + 1) > after + 1)
  end)

  it("cuts lines without an end", function()
    local kept = output.new("x", 100000)
    kept:add(1, ("x"):rep(50000))
    assert.equal(50000, #text_of(kept))
    for _, piece in ipairs((kept:all())) do assert.is_true(#piece[2] <= 4096) end
  end)

  it("stays within its limit whatever comes", function()
    local kept = output.new("x", 1000)
    for i = 1, 200 do kept:add(i, ("\n"):rep(i) .. ("y"):rep(i * 50)) end
    assert.is_true(#text_of(kept) <= 1000)
  end)

  it("counts what it was not given", function()
    local kept = output.new("x", 1000)
    kept:add(1, "a\n", 700)
    local _, lost = kept:all()
    assert.equal(700, lost)
  end)
end)
