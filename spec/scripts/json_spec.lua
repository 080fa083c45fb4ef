-- lunik.json: values as JSON, also in a page's script element.
local json = require "lunik.json"
local decode = require("spec.support.json").decode

describe("JSON", function()
  it("has all kinds of values", function()
    assert.equal('{"a":[1,2.5,-3],"b":[],"c":true,"d":{"x":false}}',
      json.encode { a = { 1, 2.5, -3 }, b = {}, c = true, d = { x = false } })
    assert.equal("[null,null]", json.encode { 0 / 0, math.huge })
    assert.equal('[9007199254740992,"0x20000000000001",-1]',
      json.encode { 1 << 53, (1 << 53) + 1, -1 })
    assert.equal('{"b":1,"a":"x"}', json.object({ a = "x", b = 1, d = 2 }, { "b", "c", "a" }))
    assert.equal("{}", json.object {})
  end)

  it("refuses what is no data", function()
    assert.has_error(function() json.encode { print } end)
  end)

  it("can't end the script element, begin a comment or an entity", function()
    for _, text in ipairs { "</script>", "</SCRIPT ", "<!--", "-->", "]]>", "&lt;", "<script>" } do
      local encoded = json.for_script(text)
      assert.not_matches("[<>&]", encoded)
      assert.equal(text, decode(encoded))
    end
  end)

  it("escapes quotes, backslashes, control characters and line ends of scripts", function()
    local text = 'a"b\\c\0\1\27[31m\127\r\n\t\u{2028}\u{2029}'
    local encoded = json.encode(text)
    assert.not_matches("[%c\127]", encoded)
    assert.is_nil(encoded:find("\u{2028}", 1, true))
    assert.is_nil(encoded:find("\u{2029}", 1, true))
    assert.equal(text, decode(encoded))
  end)

  it("replaces each byte that is not UTF-8, and keeps the characters around them", function()
    local bad = "\u{fffd}"
    for text, expected in pairs {
      ["\xff"] = bad, ["a\xc3"] = "a" .. bad, ["\xc3\xa4\xc3"] = "ä" .. bad,
      ["x\xed\xa0\x80y"] = "x" .. bad .. bad .. bad .. "y", ["ok ✓"] = "ok ✓",
    } do
      assert.equal(expected, decode(json.encode(text)))
    end
  end)
end)
