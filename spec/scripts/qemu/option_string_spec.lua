-- QEMU's option strings and expressions.
local expression = require "lunik.hmp.expression"
local option_string = require "lunik.qemu.option_string"

describe("an option string", function()
  it("has a first value, names with values, and switches", function()
    assert.same({ driver = "pc-dimm", id = "d1", memdev = "m1" },
      option_string.parse("pc-dimm,id=d1,memdev=m1", "driver"))
    assert.same({ driver = "x", share = "on", prealloc = "off" },
      option_string.parse("x,share,noprealloc", "driver"))
    assert.same({ driver = "x" }, option_string.parse("driver=x", "driver"))
    assert.same({ path = "/a,b", id = "" }, option_string.parse("path=/a,,b,id=", "driver"))
    assert.same({}, option_string.parse("", "driver"))
  end)

  it("has lists and tables", function()
    assert.same({ nodes = { "1", "2" }, a = { b = "3" } },
      option_string.parse "nodes.0=1,nodes.1=2,a.b=3")
  end)

  it("is refused where it makes no sense", function()
    for text, words in pairs {
      ["=1"] = "an option has no name", ["a=1,a.b=2"] = "a is a value already",
      ["a.b=1,a=2"] = "a has parts already", ["h.0=1,h.2=2"] = "h.1 is missing",
    } do
      local ok, err = pcall(option_string.parse, text)
      assert.is_false(ok)
      assert.truthy(err.message:find(words, 1, true), err.message)
    end
  end)

  it("comes back from any values that are written into it", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 500 do
      local parts, want = { "type" }, { driver = "type" }
      for i = 1, math.random(0, 5) do
        local value = {}
        for k = 1, math.random(0, 8) do value[k] = (",=a.\" "):sub(math.random(6)):sub(1, 1) end
        want["n" .. i] = table.concat(value)
        parts[#parts + 1] = ("n%d=%s"):format(i, (want["n" .. i]:gsub(",", ",,")))
      end
      assert.same(want, option_string.parse(table.concat(parts, ","), "driver"), "seed " .. seed)
    end
  end)
end)

describe("a monitor's expression", function()
  local function value(text)
    return expression.value(text, function(name) return ({ rip = 0x1000 })[name] end)
  end

  it("is calculated with 64 bits", function()
    for text, want in pairs {
      ["1+2*3"] = 7, ["(1+2)*3"] = 9, ["0x10|1"] = 17, ["$rip+4"] = 0x1004, ["010"] = 8,
      ["-1/3"] = 0x5555555555555555, ["-1%10"] = 5, ["18446744073709551615"] = -1, ["~0"] = -1,
      ["'a'"] = 97, ["1<<4|3"] = 19, ["- -2"] = 2, ["7-2-1"] = 4, ["0xffffffffffffffff+1"] = 0,
      ["1/-1"] = 0, ["-1/-1"] = 1,
    } do
      assert.equal(want, value(text), text)
    end
  end)

  it("is refused where it makes no sense", function()
    for text, words in pairs {
      [""] = "a value is missing at the end", ["(1"] = "')' is missing", ["1 2"] = "'2' is too",
      ["5/0"] = "division by zero", ["0x11112222333344445"] = "not a number of 64 bits",
      ["99999999999999999999"] = "not a number of 64 bits", ["1+x"] = "'x' is not a value",
    } do
      local ok, err = pcall(value, text)
      assert.is_false(ok)
      assert.truthy(err.message:find(words, 1, true), err.message)
    end
  end)
end)
