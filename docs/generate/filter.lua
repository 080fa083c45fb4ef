-- For pandoc: makes links to pages links to their HTML, and links names that are documented.
-- The environment has LUNIK_DOCS_SITE, a Lua file that returns { pages = {[path] = html}, names =
-- {[name] = link} }, LUNIK_DOCS_PAGE, the page's path, and LUNIK_DOCS_ROOT, from the page's HTML to
-- the root.
local pandoc = pandoc -- luacheck: ignore 113
local data = dofile(os.getenv "LUNIK_DOCS_SITE")
local page, root = os.getenv "LUNIK_DOCS_PAGE", os.getenv "LUNIK_DOCS_ROOT"
local folder = PANDOC_SCRIPT_FILE:match "^.*/" -- luacheck: ignore 113
local resolve = dofile(folder .. "resolve.lua")

local function link(element)
  local path, anchor = element.target:match "^([^#]*)(.*)$"
  local html = path ~= "" and not path:find "^%a+:" and data.pages[resolve(page, path)]
  if html then
    element.target = root .. html .. anchor
  end
  -- code in a link stays in that one
  element.content = element.content:walk { Link = function(inner) return inner.content end }
  return element
end

-- `m:wait("x")` is a link to Machine:wait.
local function code(element)
  local text = element.text
  local name = text:match "^[%w_.%-]+:[%w_]+" or text:match "^lunik[%w_.%-]*[%w_]"
  local target = data.names[text] or name and data.names[name]
  if target and text ~= "lunik" then -- that is the command as well
    return pandoc.Link({ element }, root .. target)
  end
end

-- A heading is no link.
local function header(element)
  element.content = element.content:walk { Link = function(inner) return inner.content end }
  return element
end

return { { Code = code }, { Link = link }, { Header = header } }
