-- scripts/lunik/list.lua, compared with a plain array.
local list = require "lunik.list"

local function same(array, l)
  local copy = {}
  assert.are.equal(#array + 1, list.copy(l, copy, 1))
  assert.is_nil(copy[1])
  assert.are.equal(#array, #l)
  assert.are.equal(array[1], list.first(l))
  for i, member in ipairs(array) do
    assert.are.equal(member, copy[i + 1])
    assert.are.equal(l, member.list)
  end
end

describe("a list", function()
  it("keeps its members in order, whichever leaves", function()
    local l, array, gone = list.new(), {}, nil
    math.randomseed(1)
    for i = 1, 500 do
      if #array > 0 and math.random(3) == 1 then
        gone = table.remove(array, math.random(#array))
        list.remove(gone)
        assert.is_nil(gone.list or gone.next or gone.previous)
      else
        array[#array + 1] = { i }
        list.add(l, array[#array])
      end
      same(array, l)
    end
    list.remove(gone)
    same(array, l)
    while array[1] do list.remove(table.remove(array)) end
    same({}, l)
  end)
end)
