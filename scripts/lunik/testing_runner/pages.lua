--- Pages about the runs of spec files (lunik.report): a folder with one for each, and an index.

local core = require "lunik.core"
local arguments = require "lunik.command.arguments"
local results = require "lunik.testing_runner.results"

local pages = {}

local function is_page(path) return path:find "%.html?$" ~= nil end

-- Returns the name of a spec file's page in the folder.
local function page_of(file)
  return (file:gsub("^%./", ""):gsub("^/+", ""):gsub("%.lua$", ""):gsub("/", "-")) .. ".html"
end

--- Returns where the page of a spec file goes.
function pages.name(path, file)
  return is_page(path) and path or path .. "/" .. page_of(file)
end

--- Makes the folder.
function pages.prepare(path, files)
  if is_page(path) then
    if #files == 1 then return end
    arguments.fail("--report: '%s' is one page, but there are %d files to run (want a folder)",
      path, #files)
  end
  local made = ""
  for part in path:gmatch "/*[^/]+" do
    made = made .. part
    local ok, err = require("luv").fs_mkdir(made, 493)
    if not ok and not core.scandir(made) then arguments.fail("--report: %s", err) end
  end
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>%s</title><link rel="icon" href="data:,">
<style>
%s
</style></head><body>
<header class="top"><div class="line"><p class="over">Lunik report</p></div><h1>%s</h1>
<p class="outcome">%s</p></header>
<main><section><h2>Spec files</h2><div class="tests">
%s</div></section></main></body></html>
]]

local TONES = { passed = "good", failed = "bad", skipped = "quiet" }

local function badge(outcome)
  return ('<span class="badge %s">%s</span>'):format(TONES[outcome], outcome)
end

local function sums(runs)
  local parts = {}
  for _, status in ipairs { "passed", "failed", "skipped" } do
    local n = 0
    for _, run in ipairs(runs) do n = n + results.count(run.results, status) end
    if n > 0 then parts[#parts + 1] = ("%d %s"):format(n, status) end
  end
  return table.concat(parts, ", ")
end

local function outcome_of(runs)
  for _, status in ipairs { "failed", "passed" } do
    for _, run in ipairs(runs) do
      if results.count(run.results, status) > 0 then return status end
    end
  end
  return "skipped"
end

local function row(run)
  local html = require("lunik.markup").attribute
  return ('<p class="test">%s<span class="title"><a href="%s">%s</a> <span class="note">%s</span>'
    .. '</span><span class="took">%.2f s</span></p>\n'):format(badge(outcome_of { run }),
    html(page_of(run.job.name):gsub("[^%w/._-]", function(c)
      return ("%%%02X"):format(c:byte())
    end)), html(run.job.name), sums { run }, run.seconds or 0)
end

--- Writes the index of the folder.
function pages.index(path, runs)
  if is_page(path) then return end
  local page = require "lunik.report.page"
  local rows = {}
  for i, run in ipairs(runs) do rows[i] = row(run) end
  local options = require "lunik.options"
  local file <close> = options.open("--report", path .. "/index.html", "wb")
  file:write(PAGE:format("Spec files", page.style(), "Spec files",
    badge(outcome_of(runs)) .. " " .. sums(runs), table.concat(rows)))
end

return pages
