-- Makes manual pages with pandoc: of the generated pages, and of the command's table of options.
local html = require "docs.generate.html"
local prose = require "docs.generate.prose"
local site = require "docs.generate.site"

local man = {}

local function no_link() end

-- pandoc asks for fonts that terminals do not have.
local FONTS = { ["\\f[V]"] = "\\f[B]", ["\\f[VB]"] = "\\f[B]", ["\\f[C]"] = "\\f[R]" }

local function mend_fonts(path)
  local text = site.contents(path):gsub("\\f%[[VC]B?%]", FONTS)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local function write(folder, page, text)
  local path = ("%s/man/man%d/%s.%d"):format(folder, page.section, page.man, page.section)
  html.pandoc(("# NAME\n\n%s - %s\n\n%s"):format(page.man, page.summary, text), {
    "-t", "man", "-s", "-V", "title=" .. page.man:upper(), "-V", "section=" .. page.section,
    "-V", "footer=Lunik " .. man.version, "-V", "header=Lunik",
    "-o", path,
  })
  mend_fonts(path)
end

-- Makes sections of a page's "##" headings; its title goes.
local function as_manual(text)
  text = text:gsub("^# [^\n]*\n", "")
  return (("\n" .. text):gsub("\n#(#+ )", "\n%1"):gsub("%[%]{#[^}]*}", ""))
end

-- ---- lunik(1) ----------------------------------------------------------------------------------

local function option_text(option)
  local names = {}
  for i, name in ipairs(option.names) do
    local value = option.value
    local joint = name:find "^%-%-" and "=" or " "
    names[i] = "**" .. prose.markdown(name, no_link) .. "**"
      .. (value and (option.optional and "[%s*%s*]" or "%s*%s*"):format(joint, value) or "")
  end
  return ("%s\n:   %s\n"):format(table.concat(names, ", "), prose.markdown(option.help, no_link))
end

local function paragraphs(text)
  return (text:gsub("[^\n]+", function(line) return prose.markdown(line, no_link) end))
end

local function command_text(command, first)
  local out = {}
  if not first then
    table.insert(out, ("## lunik %s\n"):format(command.name))
    table.insert(out, command.summary:gsub("^%l", string.upper) .. ".\n")
  end
  table.insert(out, paragraphs(command.text or "") .. "\n")
  for _, option in ipairs(command.options or {}) do
    table.insert(out, option_text(option))
  end
  return table.concat(out, "\n")
end

-- Returns the text of lunik(1), from the table of options and docs/generate/lunik.1.md, in which
-- "@name@" stands for a part of the table.
function man.command_page(options, frame)
  local usage, commands, exit = {}, {}, {}
  for i, command in ipairs(options.commands) do
    for _, line in ipairs(command.usage) do
      table.insert(usage, "**lunik**" .. prose.markdown(line:gsub("^lunik", ""), no_link) .. "\\")
    end
    if i > 1 then
      table.insert(commands, command_text(command))
    end
  end
  for _, code in ipairs(options.exit) do
    table.insert(exit, ("**%s**\n:   %s\n"):format(code[1], prose.markdown(code[2], no_link)))
  end
  local parts = {
    usage = table.concat(usage, "\n"):gsub("\\$", ""),
    run = command_text(options.commands[1], true),
    commands = table.concat(commands, "\n"),
    exit = table.concat(exit, "\n"),
  }
  return (frame:gsub("@(%l+)@", parts))
end

-- ---- all of them -------------------------------------------------------------------------------

local HEADERS_PAGE = { man = "liblunik", section = 3,
  summary = "C library that builds and runs virtual machines" }

-- Writes the manual pages below folder/man.
function man.write(pages, options, frame, folder)
  local headers = {}
  for _, page in ipairs(pages) do
    if page.man then
      write(folder, page, as_manual(page.write(no_link, true)))
    elseif page.header then
      local text = page.write(no_link):gsub("\n#(#+ )", "\n#%1")
      table.insert(headers, "#" .. text)
    end
  end
  write(folder, HEADERS_PAGE, as_manual("# \n" .. table.concat(headers, "\n")))
  write(folder, { man = "lunik", section = 1, summary = "run virtual machines from Lua scripts" },
    man.command_page(options, frame))
end

return man
