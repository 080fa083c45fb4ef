-- The documentation that is built: its links lead somewhere, and it is the same each time.
local command = require "spec.support.command"
local lunik = require "lunik"
local process = require "spec.support.process"
local resolve = require "docs.generate.resolve"

-- Returns the addresses of a page's links, and the set of its anchors.
local function links_of(text)
  local links, anchors = {}, {}
  for link in text:gmatch '%shref="([^"]*)"' do
    table.insert(links, (link:gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end)))
  end
  for id in text:gmatch '%sid="([^"]*)"' do
    anchors[id] = true
  end
  return links, anchors
end

describe("the built documentation", function()
  local folder
  local pages = {}

  local function missing()
    if process.sanitized() then return "sanitizers have nothing to find in it" end
    if select(3, command.run "pandoc --version") ~= 0 then return "pandoc is not installed" end
  end

  setup(function()
    if missing() then return end
    folder = os.tmpname()
    os.remove(folder)
    local _, err, code = command.run(("%s docs/generate/build.lua %s"):format(command.interpreter,
      folder))
    assert.same({ "", 0 }, { err, code })
    for path in command.run("cd " .. folder .. "/html && find . -name '*.html'"):gmatch "[^\n]+" do
      path = path:gsub("^%./", "")
      pages[path] = command.read(folder .. "/html/" .. path)
    end
  end)

  teardown(function()
    if folder then os.execute("rm -rf " .. folder) end
  end)

  local function built(name, fn)
    it(name, function()
      if missing() then return pending(missing()) end
      fn()
    end)
  end

  built("has links that lead somewhere", function()
    local anchors, links, count = {}, {}, 0
    for path, text in pairs(pages) do
      links[path], anchors[path] = links_of(text)
    end
    for path, list in pairs(links) do
      for _, link in ipairs(list) do
        local target, anchor = link:match "^([^#]*)#?(.*)$"
        local file = target == "" and path or resolve(path, target)
        if not link:find "^%a+:" and file ~= "style.css" then
          count = count + 1
          assert.is_truthy(anchors[file], path .. " links to " .. link)
          assert.is_true(anchor == "" or anchors[file][anchor] == true, path .. ": " .. link)
        end
      end
    end
    assert.is_true(count > 1000)
  end)

  built("lists every page on every page", function()
    for path, text in pairs(pages) do
      for _, name in ipairs { "architecture.html", "reference/lunik.html", "reference/types.html"
        } do
        assert.is_truthy(text:find(name .. '"', 1, true), path .. " lacks " .. name)
      end
    end
  end)

  built("has manual pages", function()
    local manual = command.read(folder .. "/man/man1/lunik.1")
    assert.matches('%.TH "LUNIK" "1" "" "Lunik ' .. lunik.version:gsub("%p", "%%%0"), manual)
    for _, option in ipairs(require("lunik.command.options_table").commands[1].options) do
      local name = option.names[#option.names]
      assert.is_truthy(manual:find("\\f[B]" .. name, 1, true), name)
    end
    for _, name in ipairs { "man3/lunik.3", "man3/liblunik.3", "man7/lunik-types.7" } do
      local text = command.read(folder .. "/man/" .. name)
      assert.matches("%.SH NAME\n", text)
      assert.is_nil(text:find "\\f%[V", nil, name)
    end
  end)

  built("is the same each time", function()
    local again = folder .. "-again"
    command.run(("%s docs/generate/build.lua %s"):format(command.interpreter, again))
    local out, _, code = command.run(("diff -r %s %s"):format(folder, again))
    os.execute("rm -rf " .. again)
    assert.same({ "", 0 }, { out, code })
  end)
end)
