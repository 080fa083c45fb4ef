-- The reference has everything that there is, and its links lead somewhere.
local command = require "spec.support.command"
local core = require "lunik.core"
local lunik = require "lunik"
local process = require "spec.support.process"
local resolve = require "docs.generate.resolve"
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
    if os.getenv "LUNIK_QUICK" then return pending "LUNIK_QUICK is set" end
    local again = folder .. "-again"
    command.run(("%s docs/generate/build.lua %s"):format(command.interpreter, again))
    local out, _, code = command.run(("diff -r %s %s"):format(folder, again))
    os.execute("rm -rf " .. again)
    assert.same({ "", 0 }, { out, code })
  end)
end)
