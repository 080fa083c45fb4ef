-- The reference has everything that there is.
local command = require "spec.support.command"
local core = require "lunik.core"
local lunik = require "lunik"
local site = require "docs.generate.site"

local all = site.new(lunik)

local function place(name)
  return all.names.places[name]
end

local function page(path)
  for _, found in ipairs(all.generated) do
    if found.path == path then return found.write(all.names:finder(path)) end
  end
end

describe("the reference", function()
  it("has every function of the module and every class", function()
    for name, value in pairs(lunik) do
      if type(value) == "function" then
        assert.equal("reference/lunik.md", place("lunik." .. name), name)
      end
    end
    for name, class in pairs(core.classes) do
      for method in pairs(name ~= "LoopTimer" and class.methods or {}) do
        if not method:find "^__" then
          assert.equal("reference/lunik.md", place(name .. ":" .. method), name .. ":" .. method)
        end
      end
    end
  end)

  it("has every event with its fields", function()
    local text = page "reference/lunik.md"
    for _, name in ipairs(require("lunik.event").known) do
      assert.equal("reference/lunik.md", place("lunik.event." .. name), name)
    end
    local ost = text:match "\n### `lunik.event.acpi%-ost`.-\n###"
    for _, field in ipairs { "device?", "slot", "slot_type", "source", "status" } do
      assert.is_truthy(ost:find("\n`" .. field .. "` ", 1, true), field)
    end
  end)

  it("has every type and property with default and range", function()
    local text = page "reference/types.md"
    for _, name in ipairs(lunik.types()) do
      assert.is_truthy(text:find("## `" .. name .. "` {#", 1, true), name)
    end
    assert.matches("\n| `iobase` | integer | `0x3f8` | `0 to 0xfff8` | First", text)
    assert.matches(
      "\n| `memdev` | link |  | %[`memory%-backend`%]%(#memory%-backend%) | %*Required", text)
    assert.matches('| `policy` | enum | `"default"` | `"default", "preferred", "bind" or', text)
  end)

  it("has every function that the library exports", function()
    local symbols = command.run(("nm -D --defined-only %s/liblunik.so"):format(command.build))
    local declared, count = command.run "cat runtime/lunik*.h", 0
    for name in symbols:gmatch " T (lunik_[%w_]+)" do
      if declared:find(name .. "(", 1, true) then
        count = count + 1
        assert.is_truthy(place(name), name)
      end
    end
    assert.is_true(count > 200)
  end)

  it("makes links of what texts mention", function()
    local text = page "reference/lunik.md"
    assert.is_truthy(text:find("[`m:watch`](#Machine:watch)", 1, true))
    assert.is_truthy(text:find("[`lunik.Space`](#lunik.Space)", 1, true))
    assert.is_truthy(page("reference/lunik_lua.md"):find(
      "[`lunik_machine_ref()`](lunik_h.md#lunik_machine_ref)", 1, true))
  end)
end)
