-- Builds the documentation: lua5.4 docs/generate/build.lua FOLDER, in the root of the tree. Below
-- FOLDER: markdown (the generated pages), html, man.
local lunik = require "lunik"
local html = require "docs.generate.html"
local man = require "docs.generate.man"
local site = require "docs.generate.site"

local folder = assert(arg[1], "usage: build.lua FOLDER")

local function make_folders(...)
  for _, name in ipairs { ... } do
    assert(os.execute("mkdir -p " .. html.quoted(folder .. "/" .. name)))
  end
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

-- The index lists the generated pages where it says so.
local function list_reference(index, generated)
  local lines = {}
  for _, page in ipairs(generated) do
    table.insert(lines, ("- [%s](../%s)"):format(page.title, page.path))
  end
  index.text = index.text:gsub("<!%-%- reference:.-%-%->\n", table.concat(lines, "\n") .. "\n")
end

make_folders("markdown/reference", "html/reference", "html/howto", "man/man1", "man/man3",
  "man/man7")
local parts = site.new(lunik)
list_reference(parts.pages[1], parts.generated)
parts.all = table.move(parts.pages, 1, #parts.pages, 1, {})
for _, page in ipairs(parts.generated) do
  page.text = page.write(parts.names:finder(page.path))
  write(folder .. "/markdown/" .. page.path, page.text)
  table.insert(parts.all, page)
end
html.write(parts, folder)
man.version = lunik.version
man.write(parts.generated, require "lunik.command.options_table",
  site.contents "docs/generate/lunik.1.md", folder)
