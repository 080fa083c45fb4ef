-- Makes HTML of the pages with pandoc.
local markup = require "lunik.markup"
local site = require "docs.generate.site"

local html = {}

local FORMAT = "gfm+attributes+definition_lists+bracketed_spans"

function html.quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Runs pandoc on text; arguments: a list. Raises an error that has what it says.
function html.pandoc(text, arguments, environment)
  local input = os.tmpname()
  local file <close> = assert(io.open(input, "w"))
  file:write(text)
  file:close()
  local words = {}
  for i, argument in ipairs(arguments) do
    words[i] = html.quoted(argument)
  end
  local ok = os.execute(("%s timeout 120 pandoc -f %s %s %s"):format(environment or "", FORMAT,
    table.concat(words, " "), input))
  os.remove(input)
  assert(ok, "pandoc failed")
end

local function title_of(page)
  local title = (page.name or page.title):gsub("`", "")
  return markup.text(title)
end

-- The list of all pages, for the side of each.
local function navigation(parts, here, root)
  local out = {}
  for _, group in ipairs(parts.groups) do
    table.insert(out, ("<h2>%s</h2>\n<ul>"):format(group))
    for _, page in ipairs(parts.all) do
      if page.group == group then
        table.insert(out, ('<li><a href="%s%s"%s>%s</a></li>'):format(root, page.html,
          page == here and ' aria-current="page"' or "", title_of(page)))
      end
    end
    table.insert(out, "</ul>")
  end
  return table.concat(out, "\n")
end

-- The lines of that file for names; in order, so that it is the same each time.
local function name_lines(names, html_of)
  local lines = {}
  for name, link in names:links() do
    table.insert(lines, ("    [%q] = %q,\n"):format(name, (link:gsub("^[^#]*", html_of))))
  end
  table.sort(lines)
  return lines
end

-- Writes the file by which filter.lua finds links.
local function write_site(path, all, names)
  local file <close> = assert(io.open(path, "w"))
  file:write "return {\n  pages = {\n"
  local html_of = {}
  for _, page in ipairs(all) do
    html_of[page.path] = page.html
    file:write(("    [%q] = %q,\n"):format(page.path, page.html))
  end
  file:write "  },\n  names = {\n"
  for _, line in ipairs(name_lines(names, html_of)) do
    file:write(line)
  end
  file:write "  },\n}\n"
end

local function write_page(page, parts, folder)
  local root = ("../"):rep(select(2, page.html:gsub("/", "")))
  html.pandoc(page.text, {
    "-t", "html5", "-s", "--toc", "--toc-depth=" .. (page.generated and 2 or 3), "--template",
    "docs/generate/template.html", "--lua-filter", "docs/generate/filter.lua",
    "-M", "pagetitle=" .. page.title:gsub("`", ""), "-V", "root=" .. root,
    "-V", "nav=" .. navigation(parts, page, root), "-o", folder .. "/html/" .. page.html,
  }, ("LUNIK_DOCS_SITE=%s LUNIK_DOCS_PAGE=%s LUNIK_DOCS_ROOT=%s"):format(
    html.quoted(folder .. "/site.lua"), page.path, root))
end

-- Writes all pages of a site below folder/html.
function html.write(parts, folder)
  write_site(folder .. "/site.lua", parts.all, parts.names)
  for _, page in ipairs(parts.all) do
    write_page(page, parts, folder)
  end
  local css <close> = assert(io.open(folder .. "/html/style.css", "w"))
  css:write(site.contents "docs/generate/style.css")
end

return html
