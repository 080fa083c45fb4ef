-- What the documentation has: the pages that are written by hand, in the order and groups of
-- docs/README.md, and those that are generated.
local headers = require "docs.generate.headers"
local luacats = require "lunik.command.luacats"
local c_page = require "docs.generate.c_page"
local lua_page = require "docs.generate.lua_page"
local names = require "docs.generate.names"
local resolve = require "docs.generate.resolve"
local types_page = require "docs.generate.types_page"

local site = {}

local INDEX = "docs/README.md"
-- Pages that lie elsewhere in the tree.
local OTHERS = { "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md" }

local LIBRARY = {
  { file = "lunik", title = "The Lua API", man = "lunik",
    summary = "Lua module that builds, runs and observes virtual machines" },
  { file = "agent", title = "lunik.agent: what Linux guests do", man = "lunik-agent",
    summary = "agent of Linux guests: files, devices, networks, memory",
    variables = { Agent = "a", AgentFile = "file", AgentSocket = "socket",
      AgentMemory = "memory" } },
  { file = "testing", title = "lunik.testing: writing specs", man = "lunik-testing",
    summary = "test kit for specs of virtual machines",
    variables = { Machine = "t", Journal = "t.journal", Console = "t.console", Host = "t.host" } },
}

local HEADERS = {
  { file = "runtime/lunik.h", title = "lunik.h: machines" },
  { file = "runtime/lunik_memory.h", title = "lunik_memory.h: memory" },
  { file = "runtime/lunik_device.h", title = "lunik_device.h: devices" },
  { file = "runtime/lunik_state.h", title = "lunik_state.h: saved state" },
  { file = "runtime/lunik_pci.h", title = "lunik_pci.h: PCI devices" },
  { file = "runtime/lunik_trace.h", title = "lunik_trace.h: traces" },
  { file = "bindings/lunik_lua.h", title = "lunik_lua.h: a Lua state" },
}

local function contents(path)
  local file = io.open(path)
  local text = file and file:read "a"
  if file then
    file:close()
  end
  return text
end
site.contents = contents

-- ---- pages by hand -----------------------------------------------------------------------------

local function title_of(text)
  return text:match "^# ([^\n]*)" or text:match "\n# ([^\n]*)"
end

local function html_of(path)
  if path == INDEX then
    return "index.html"
  end
  local name = path:gsub("^docs/", ""):gsub("%.md$", ".html")
  return name == "README.html" and "readme.html" or name:gsub("/README%.html$", ".html"):lower()
end

local function add_page(pages, path, group, name)
  local text = contents(path)
  if text and not pages[path] then
    pages[path] = { path = path, html = html_of(path), title = title_of(text), group = group,
      name = name, text = text }
    table.insert(pages, pages[path])
  end
end

-- Returns the pages, as a list and by path; name is what the index calls one, groups its headings.
local function written_pages()
  local pages, groups = {}, {}
  add_page(pages, INDEX)
  for line in contents(INDEX):gmatch "[^\n]+" do
    table.insert(groups, line:match "^## (.*)")
    for name, target in line:gmatch "%[([^%]]*)%]%(([^)#]+%.md)%)" do
      add_page(pages, resolve(INDEX, target), groups[#groups], name)
    end
  end
  for _, path in ipairs(OTHERS) do
    add_page(pages, path)
  end
  return pages, groups
end

-- ---- generated pages ---------------------------------------------------------------------------

local function generated(file, title, write)
  local name = "reference/" .. file:match "([^/]*)$":gsub("%.%w+$", "")
  return { path = name .. ".md", html = name .. ".html", title = title, group = "Reference",
    generated = true, write = write }
end

local function add_library(self)
  for _, page in ipairs(LIBRARY) do
    local text = contents("library/" .. page.file .. ".lua")
    if text then
      local file = luacats.parse(text)
      lua_page.show(file, page.variables or {})
      local new = generated(page.file, page.title, function(find, brief)
        return lua_page.write(file, page.title, find, brief)
      end)
      new.man, new.section, new.summary = page.man, 3, page.summary
      table.insert(self.generated, new)
      self.names:add(new.path, lua_page.names(file))
    end
  end
end

local function add_types(self, lunik)
  local types = {}
  for _, name in ipairs(lunik.types()) do
    table.insert(types, lunik.type(name))
  end
  local new = generated("types", "Types and their properties", function(find, brief)
    return types_page.write(types, find, brief)
  end)
  new.man, new.section = "lunik-types", 7
  new.summary = "types of objects and devices, and their properties"
  table.insert(self.generated, new)
  self.names:add(new.path, lunik.types())
end

local function add_headers(self)
  local forward = {}
  for _, header in ipairs(HEADERS) do
    local text = contents(header.file)
    if text then
      local file = headers.parse(text)
      local new = generated(header.file:gsub("lunik%.h", "lunik_h.h"), header.title, function(find)
        return c_page.write(file, header.title, find)
      end)
      new.header = header.file
      table.insert(self.generated, new)
      local strong, weak = c_page.names(file)
      self.names:add(new.path, strong)
      table.insert(forward, { new.path, weak })
    end
  end
  for _, page in ipairs(forward) do
    self.names:add(page[1], page[2])
  end
end

-- Returns { pages = written ones, generated = others, groups = of pages, in order, names = where
-- each name is documented }.
function site.new(lunik)
  local pages, groups = written_pages()
  local self = { pages = pages, groups = groups, generated = {}, names = names.new() }
  add_library(self)
  add_types(self, lunik)
  add_headers(self)
  return self
end

return site
