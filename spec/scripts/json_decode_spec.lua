-- lunik.json_decode: JSON read back, and what is refused.
local decode = require "lunik.json_decode"
local json = require "lunik.json"

describe("reading JSON", function()
  it("has all kinds of values", function()
    local v = decode ' {"a": [1, -2.5e1, true, false, null], "b": {}, "c": [] , "":"x"}\r\n'
    assert.same({ 1, -25.0, true, false, json.null }, v.a)
    assert.equal(json.Object, getmetatable(v.b))
    assert.equal(json.Array, getmetatable(v.c))
    assert.equal("x", v[""])
    assert.equal('{"":"x","a":[1,-25,true,false,null],"b":{},"c":[]}', json.exact(v))
  end)

  it("keeps integers of 64 bits", function()
    for text, value in pairs {
      ["9223372036854775807"] = math.maxinteger, ["-9223372036854775808"] = math.mininteger,
      ["9223372036854775808"] = math.mininteger, ["18446744073709551615"] = -1,
      ["9007199254740993"] = (1 << 53) + 1, ["0"] = 0, ["-0"] = 0,
    } do
      local n = decode(text)
      assert.equal("integer", math.type(n))
      assert.equal(value, n)
    end
    for _, text in ipairs { "18446744073709551616", "1.0", "1e2", "-9223372036854775809" } do
      assert.equal("float", math.type(decode(text)))
    end
  end)

  it("reads strings with every escape", function()
    assert.equal('"\\/\b\f\n\r\t', decode [["\"\\\/\b\f\n\r\t"]])
    assert.equal("a\u{e9}\u{1f600}\0z", decode [["a\u00E9\ud83d\uDE00\u0000z"]])
    assert.equal("\u{e9}", decode '"\u{e9}"')
    assert.equal("\127", decode '"\127"')
  end)

  it("returns a member of the outermost object as its text", function()
    local v = decode('{"id" : {"id":[1, 2]} , "x":{"id":1}}', "id")
    assert.equal('{"id":[1, 2]}', v.id)
    assert.equal(1, v.x.id)
  end)

  it("refuses everything else", function()
    for _, text in ipairs { "", " ", "{", "[", "]", "[1", "[1,", "[1,]", "[1 2]", "{1:2}", '{"a"}',
      '{"a":1,}', '{"a" 1}', '{"a":1,"a":2}', "'a'", "nul", "True", "01", "-", "+1", ".5", "1.",
      "1e", "0x10", "1a", '"', '"\\x"', '"\\u12"', '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"',
      '"\n"', '"\xff"', '"\xc0\x80"', '"\xed\xa0\x80"', "1 2", "{}x", "NaN", "Infinity", "// x\n1",
      '"a\\', "\0" } do
      local value, why = decode(text)
      assert.is_nil(value)
      assert.matches("at byte %d+$", why)
    end
  end)

  it("reads as deep as it says, and no deeper", function()
    assert.is_table(decode(("["):rep(1024) .. ("]"):rep(1024)))
    local value, why = decode(("["):rep(1025) .. ("]"):rep(1025))
    assert.is_nil(value)
    assert.equal("more than 1024 levels at byte 1025", why)
    assert.is_nil((decode(('{"a":'):rep(1 << 20))))
  end)

  it("reads back what is written", function()
    local seed = os.time()
    math.randomseed(seed)
    local function make(level)
      local kind = math.random(level > 4 and 5 or 7)
      if kind == 1 then return math.random(0) end
      if kind == 2 then return math.random() * 10 ^ math.random(-20, 20) end
      if kind == 3 then return math.random(2) == 1 end
      if kind == 4 then return json.null end
      if kind == 5 then
        local text = {}
        for i = 1, math.random(0, 9) do text[i] = utf8.char(math.random(0, 0xd7ff)) end
        return table.concat(text)
      end
      local t = setmetatable({}, kind == 6 and json.Array or json.Object)
      for i = 1, math.random(0, 4) do t[kind == 6 and i or "k" .. i] = make(level + 1) end
      return t
    end
    for _ = 1, 300 do
      local value = make(0)
      assert.same(value, decode(json.exact(value)), "seed " .. seed)
    end
  end)
end)
