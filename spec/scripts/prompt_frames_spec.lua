local frames = require "lunik.prompt.frames"

-- Returns what a reader makes of input that comes in parts, and whether it is still wanted.
local function read(parts)
  local got, wanted = {}, true
  local reader = frames.reader(function(kind, text) got[#got + 1] = { kind, text } end)
  for _, part in ipairs(parts) do wanted = wanted and reader(part) end
  return got, wanted
end

describe("the frames of prompts", function()
  local all = frames.make("line", "1 + 1") .. frames.make("interrupt", "")
    .. frames.make("output", "a\nb\0 3\n")
  local want = { { "line", "1 + 1" }, { "interrupt", "" }, { "output", "a\nb\0 3\n" } }

  it("are read however they are cut", function()
    for size = 1, #all do
      local parts = {}
      for at = 1, #all, size do parts[#parts + 1] = all:sub(at, at + size - 1) end
      assert.same(want, (read(parts)))
    end
  end)

  it("are refused when they are none, or too long", function()
    for _, text in ipairs { "\n", "GET / HTTP/1.0", "line\n", "line -1\n", "line 99999999\n",
      "5 line", ("a"):rep(40), "line 16777217\n", " 3\nabc", "line 1e3\n" } do
      local got, wanted = read { text }
      assert.same({ {}, false }, { got, wanted }, text)
    end
  end)

  it("end with a function that wants no more", function()
    local reader = frames.reader(function() return false end)
    assert.is_false(reader(all))
  end)

  it("survive any bytes", function()
    local seed = 7
    local function random(n)
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      return seed >> 8 & 0xffff % n
    end
    for _ = 1, 2000 do
      local text, at = all:rep(2), 1 + random(#all)
      text = text:sub(1, at) .. string.char(random(256)) .. text:sub(at + 2)
      for _, frame in ipairs((read { text:sub(1, at), text:sub(at + 1) })) do
        assert.is_true(#frame[2] <= #text)
      end
    end
  end)
end)
