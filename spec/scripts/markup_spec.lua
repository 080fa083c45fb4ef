-- What people and guests have written, in XML, HTML and SVG.
local lunik = require "lunik"
local markup = require "lunik.markup"

describe("text in markup", function()
  it("is text, not markup", function()
    assert.equal("&lt;b a=&quot;&#39;&amp;amp;&quot;&gt;", markup.text [[<b a="'&amp;">]])
    assert.equal("&lt;b a=&quot;&#39;&amp;amp;&quot;&gt;", markup.attribute [[<b a="'&amp;">]])
  end)

  it("keeps lines; in attributes they are references, or readers would make blanks of them",
    function()
      assert.equal("a\n\tb&#13;c", markup.text "a\n\tb\rc")
      assert.equal("a&#10;&#9;b&#13;c", markup.attribute "a\n\tb\rc")
    end)

  it("has no character that is in no XML file", function()
    local bad = "\u{fffd}"
    for text, expected in pairs {
      ["a\0b\27[1m\127"] = "a" .. bad .. "b" .. bad .. "[1m" .. bad,
      ["\xff caf\xe9"] = bad .. " caf" .. bad,
      ["\u{fffe}\u{ffff}"] = bad .. bad,
      ["x\xed\xa0\x80y"] = "x" .. bad .. bad .. bad .. "y", -- a surrogate
      ["ü ✓ \u{1f600}"] = "ü ✓ \u{1f600}",
      [""] = "",
    } do
      assert.equal(expected, markup.text(text))
      assert.equal(expected, markup.attribute(text))
    end
  end)

  it("is the same in each drawing and each page", function()
    local hostile = "a<b>&\"'\xff\1"
    local safe = markup.text(hostile)
    local svg = lunik.plot { title = hostile, format = "svg", series = { { name = "s", 1, 2 } } }
    assert.is_truthy(svg:find(safe, 1, true))
    assert.is_truthy(utf8.len(svg))
  end)
end)
