-- The reader of LuaCATS definitions.
local luacats = require "lunik.command.luacats"

local TEXT = [[
---@meta sample
-- About the file.
--
-- Waiting. Calls
-- that wait.

---@class sample
sample = {}

---A size.
---@alias sample.Size integer|string

---Names.
---@alias sample.Name
---| "one"
---| "two" # the second

---@class sample.Thing: sample.Base
---@field [string] any
---@field fn? fun(a: integer, b: sample.Thing[]): integer?, string? Two results.
---@field list {name: string, size: integer}[]
---@field mode "a b"|"c" Goes on
---in a second line.

-- ---- calls -------------------------------------------------------------------------------------

---@class lunik.sample.Runner
local Runner = {}

---Runs it.
function Runner:run() end

---Does it.
---Still the same paragraph.
---
---Another.
---```lua
---assert(sample.run "x")
---```
---@param what sample.Size|sample.Thing What to run.
---@param options? {timeout?: number}
---@return integer count How many.
---@return string?
function sample.run(what, options) end
]]

describe("the reader of definitions", function()
  local file = luacats.parse(TEXT)

  local function item(name)
    for _, section in ipairs(file.sections) do
      for _, found in ipairs(section.items) do
        if found.name == name then return found, section end
      end
    end
  end

  it("reads the introduction in paragraphs", function()
    assert.equal("sample", file.module)
    assert.same({ { text = "About the file." }, { text = "Waiting. Calls that wait." } },
      file.intro)
  end)

  it("reads aliases and their choices", function()
    assert.equal("integer|string", item("sample.Size").type)
    assert.same({ { value = '"one"', doc = "" }, { value = '"two"', doc = "the second" } },
      item("sample.Name").choices)
  end)

  it("separates types from what is said of them", function()
    local thing = item "sample.Thing"
    assert.equal("sample.Base", thing.parent)
    assert.same({
      { name = "[string]", optional = false, type = "any", doc = "" },
      { name = "fn", optional = true, doc = "Two results.",
        type = "fun(a: integer, b: sample.Thing[]): integer?, string?" },
      { name = "list", optional = false, type = "{name: string, size: integer}[]", doc = "" },
      { name = "mode", optional = false, type = '"a b"|"c"', doc = "Goes on in a second line." },
    }, thing.fields)
  end)

  it("reads functions with paragraphs and examples", function()
    local run, section = item "sample.run"
    assert.equal("calls", section.title)
    assert.equal("what, options", run.arguments)
    assert.same({ { text = "Does it. Still the same paragraph." }, { text = "Another." },
      { code = 'assert(sample.run "x")' } }, run.doc)
    assert.same({ "what", "options" }, { run.params[1].name, run.params[2].name })
    assert.equal("sample.Size|sample.Thing", run.params[1].type)
    assert.is_true(run.params[2].optional)
    assert.same({ { type = "integer", name = "count", doc = "How many." },
      { type = "string?", doc = "" } }, run.returns)
  end)

  it("names methods by their class", function()
    local run = item "sample.Runner:run"
    assert.equal("Runner:run", run.declared)
  end)

  it("refuses what is no type", function()
    assert.error_matches(function()
      luacats.parse "---@class x\n---@field a |b\nlocal x = {}\n"
    end, "is no type")
  end)
end)
