-- Every code block of the documentation runs, and prints what the page says.
local command = require "spec.support.command"
local document = require "spec.support.document"

local PAGES = {}
for path in command.run("ls README.md docs/*.md docs/howto/*.md"):gmatch "[^\n]+" do
  table.insert(PAGES, path)
end

local NOT_RUN = 15 -- at most
-- With sanitizers there is no sandbox, and programs in C would need them as well.
local SANITIZED = command.interpreter ~= "lua5.4"

local function examples(path, blocks)
  local folder
  setup(function() folder = document.folder() end)
  teardown(function() getmetatable(folder).__close() end)
  local broken
  for i, block in ipairs(blocks) do
    local expected = blocks[i + 1]
    if block.language ~= "output" and not block.words.by then
      it(("runs the %s of line %d"):format(block.language, block.line), function()
        local why = document.skipped(block) or broken
        if why then return pending(why) end
        local wrong = document.run(folder, block,
          expected and expected.language == "output" and expected or nil)
        broken = wrong and ("line %d has failed"):format(block.line)
        assert(not wrong, ("%s:%d: %s"):format(path, block.line, wrong))
      end)
    end
  end
end

local not_run = {}
for _, path in ipairs(PAGES) do
  local blocks = document.blocks(command.read(path))
  for _, block in ipairs(blocks) do
    if block.words.norun then
      table.insert(not_run, ("%s:%d: %s"):format(path, block.line, block.words.norun))
    end
  end
  if #blocks > 0 and not SANITIZED then
    describe(path, function() examples(path, blocks) end)
  end
end

describe("the documentation", function()
  it("runs", function()
    if SANITIZED then return pending "is run without sanitizers" end
    assert.is_true(#PAGES > 15)
  end)

  it("has few blocks that are not run, each with a reason", function()
    assert.is_true(#not_run <= NOT_RUN, table.concat(not_run, "\n"))
    for _, line in ipairs(not_run) do assert.matches(": .* .*", line) end
  end)

  it("names the specs that run blocks elsewhere", function()
    for _, path in ipairs(PAGES) do
      for _, block in ipairs(document.blocks(command.read(path))) do
        local by = block.words.by
        assert(not by or command.read(by):find(path, 1, true), ("%s: %s"):format(path, by))
      end
    end
  end)

  it("uses the files that it has readers save", function()
    for _, path in ipairs(PAGES) do
      local blocks = document.blocks(command.read(path))
      for i, block in ipairs(blocks) do
        local name = type(block.words.file) == "string" and block.words.file:match "([%w_]+)%.%a+$"
        local used = not name
        for later = i + 1, #blocks do
          used = used or blocks[later].code:find(name, 1, true)
        end
        assert(used, ("%s: %s"):format(path, name))
      end
    end
  end)

  it("lists every page in its index", function()
    local index = command.read "docs/README.md"
    for _, path in ipairs(PAGES) do
      local name = path:gsub("^docs/", "")
      if name ~= "README.md" then
        assert.is_truthy(index:find("](" .. name .. ")", 1, true), path)
      end
    end
  end)

  it("marks every code block as one", function()
    for _, path in ipairs(PAGES) do
      local outside = command.read(path):gsub("```.-\n```", "")
      for line in outside:gmatch "\n\n(    [^\n]*)" do
        assert(line:find "^ +[%-%d]", path .. " has an indented block: " .. line)
      end
    end
  end)
end)
