-- lunik.qmp.framing: JSON values cut out of a stream, compared with a reader of whole texts.
local framing = require "lunik.qmp.framing"

-- Cuts a complete stream byte by byte, by another rule than the one under test: counts open
-- brackets outside strings, by hand.
local function oracle(text)
  local values, from, depth, quoted, i = {}, nil, 0, false, 1
  local function is_space(c) return c == " " or c == "\t" or c == "\r" or c == "\n" end
  while i <= #text do
    local c = text:sub(i, i)
    if quoted then
      if c == "\\" then
        i = i + 1
      elseif c == '"' then
        quoted = false
        if depth == 0 then
          values[#values + 1] = text:sub(from, i)
          from = nil
        end
      end
    elseif from and depth == 0 and (is_space(c) or c == "{" or c == "[" or c == '"') then
      values[#values + 1] = text:sub(from, i - 1)
      from = nil
      i = i - 1
    elseif c == '"' then
      quoted, from = true, from or i
    elseif c == "{" or c == "[" then
      depth, from = depth + 1, from or i
    elseif (c == "}" or c == "]") and depth > 0 then
      depth = depth - 1
      if depth == 0 then
        values[#values + 1] = text:sub(from, i)
        from = nil
      end
    elseif not is_space(c) then
      from = from or i
    end
    i = i + 1
  end
  return values
end

local pieces = { "{", "}", "[", "]", '"', "\\", ",", ":", " ", "\r\n", "1", "true", "a", '{"a":1}',
  "[1,[2]]", '"x\\"y"', '{"k":"}"}', "\u{e9}", '"\\\\"' }

local function random_text()
  local parts = {}
  for i = 1, math.random(1, 60) do parts[i] = pieces[math.random(#pieces)] end
  return table.concat(parts)
end

local function cut(text)
  local values = {}
  local reader = framing.new(function(value, wrong) values[#values + 1] = value or { wrong } end)
  local at = 1
  while at <= #text do
    local size = math.random(0, 9)
    reader:feed(text:sub(at, at + size))
    at = at + size + 1
  end
  return values
end

describe("the framing of QMP", function()
  it("cuts any stream as the oracle does, wherever it is split", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 3000 do
      local text = random_text()
      assert.same(oracle(text), cut(text), ("seed %d: %q"):format(seed, text))
    end
  end)

  it("waits for the end of a value", function()
    assert.same({}, cut '{"execute":"')
    assert.same({}, cut "12")
    assert.same({ "12" }, cut "12 ")
  end)

  it("begins anew after byte 0xff and after what it refuses", function()
    assert.same({ "{}" }, cut "\xff{}")
    assert.same({ "ab", "{}" }, cut "ab\xff{}")
    local values = cut '{"a":\xff1}\n{}'
    assert.same({ "Invalid JSON syntax: byte 0xff" }, values[1])
    assert.equal("{}", values[2])
    assert.is_nil(values[3])
    values = cut(("["):rep(1025) .. "]]]\n[]")
    assert.matches("too many levels", values[1][1])
    assert.equal("[]", values[2])
  end)
end)
