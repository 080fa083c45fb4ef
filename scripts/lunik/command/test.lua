--- lunik test: finds spec files and runs each with busted, in a process of its own.

local core = require "lunik.core"
local arguments = require "lunik.command.arguments"
local pages = require "lunik.testing_runner.pages"

local test = {}

local fail = arguments.fail

local LIMIT = 600 -- seconds for a file
local DEFAULTS = { ROOT = { "spec" }, pattern = { "_spec" }, ["exclude-pattern"] = {} }

-- ---- what to run -------------------------------------------------------------------------------

local function list_of(value)
  return type(value) == "table" and value or { value }
end

-- Returns where specs are, by the file .busted if there is one.
local function configuration()
  local chunk, err = loadfile(".busted", "t", {})
  if not chunk then
    if io.open ".busted" then fail("%s", err) end
    return DEFAULTS
  end
  local ok, config = pcall(chunk)
  if not ok or type(config) ~= "table" then
    fail(".busted: %s", ok and "returns no table" or config)
  end
  local found = {}
  for key, default in pairs(DEFAULTS) do
    local value
    for _, task in ipairs { "default", "_all" } do
      value = value or type(config[task]) == "table" and config[task][key] or nil
    end
    found[key] = value and list_of(value) or default
  end
  return found
end

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if pattern ~= "" and name:find(pattern) then return true end
  end
  return false
end

-- Adds the spec files in a folder and in those below it, except hidden ones.
local function add_folder(files, folder, config)
  local names = core.scandir(folder) or {}
  table.sort(names)
  for _, name in ipairs(names) do
    local path, hidden = folder .. "/" .. name, name:find "^%."
    if not hidden and core.scandir(path) then
      add_folder(files, path, config)
    elseif not hidden and name:find "%.lua$" and matches(name, config.pattern)
      and not matches(name, config["exclude-pattern"]) then
      files[#files + 1] = path
    end
  end
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- Adds the file or folder of that name, or the spec file with that base name; false if there is
-- none.
local function add_path(files, name, config, all)
  if core.scandir(name) then
    add_folder(files, name:gsub("(.)/+$", "%1"), config)
  elseif exists(name) then
    files[#files + 1] = name
  else
    local before = #files
    for _, path in ipairs(all) do
      local base = path:match "[^/]*$"
      if base == name or base == name .. ".lua" then files[#files + 1] = path end
    end
    return #files > before
  end
  return true
end

local function check_pattern(word)
  if word:find "/" or word:find "%.lua$" then
    fail("there is no file or folder '%s'", word)
  end
  local ok, err = pcall(core.search, word)
  if not ok then
    local why = err.message:match "is not a pattern: (.-) %(want" or err.message
    fail("'%s' is neither a file nor a pattern: %s", word, why)
  end
end

local function unique(list)
  local out, seen = {}, {}
  for _, value in ipairs(list) do
    if not seen[value] then
      out[#out + 1], seen[value] = value, true
    end
  end
  return out
end

-- Returns the spec files that the words mean, and the patterns for the names of examples.
local function find(words)
  local config, all, files, patterns = configuration(), {}, {}, {}
  for _, root in ipairs(config.ROOT) do add_path(all, root, config, {}) end
  for _, word in ipairs(words) do
    if not add_path(files, word, config, all) then
      check_pattern(word)
      patterns[#patterns + 1] = word
    end
  end
  if #files == 0 and #words == #patterns then files = all end
  if #files == 0 then
    fail("there are no spec files in %s (want files whose names match '%s')",
      words[1] or table.concat(config.ROOT, ", "), table.concat(config.pattern, "' or '"))
  end
  return unique(files), patterns
end

-- ---- jobs --------------------------------------------------------------------------------------

local function number(option, text, default)
  if text == nil then return default end
  local n = math.tointeger(tonumber(text))
  if not n or n < 1 or n > 1000000 then
    fail("%s: '%s' is not a number (want an integer from 1 to 1000000)", option, text)
  end
  return n
end

-- Returns the command's line for a file, up to its name.
local function child(options, patterns)
  local line = { require("luv").exepath(), "run" }
  if options.no_sandbox then table.insert(line, "--no-sandbox") end
  if options.sandbox then table.insert(line, "--sandbox=" .. options.sandbox) end
  if options.warnings then table.insert(line, "-W") end
  for _, word in ipairs { core.shared.directory .. "/testing_runner/busted.lua", "--ignore-lua",
    "--keep-going", "-o", "lunik.testing_runner.output" } do
    table.insert(line, word)
  end
  for _, pattern in ipairs(patterns) do table.insert(line, "--filter=" .. pattern) end
  return line
end

local function runs_alone(path)
  local file <close> = io.open(path)
  local text = file and file:read "a"
  return text and text:find "Runs alone: " ~= nil
end

local function jobs_for(options, files, patterns)
  local jobs = {}
  local limit = number("--limit", options.limit, LIMIT)
  for i, path in ipairs(files) do
    local line = child(options, patterns)
    if options.report then
      table.move({ "--report", pages.name(options.report, path) }, 1, 2, 3,
        table.move(line, 3, #line, 5))
    end
    table.insert(line, path)
    jobs[i] = { name = path, command = line, limit = limit, may_be_empty = #patterns > 0,
      alone = runs_alone(path) }
  end
  return jobs
end

-- ---- the run -----------------------------------------------------------------------------------

local function check_modules()
  for module, package_name in pairs { luv = "lua-luv", ["busted.runner"] = "lua-busted" } do
    local name = module:match "^%w+"
    if not package.loaded[module] and not package.searchpath(module, package.path)
      and not package.searchpath(module, package.cpath) then
      fail("test needs the Lua module %s (Debian: %s, LuaRocks: %s)", name, package_name, name)
    end
  end
end

local function open_report(path)
  if not path then return nil end
  local file, err = io.open(path, "w")
  return file or fail("--junit: %s", err)
end

--- Finds out what to run. Raises an error for a wrong command line.
function test.prepare(options)
  check_modules()
  local files, patterns = find(options.words)
  if options.report then pages.prepare(options.report, files) end
  return {
    jobs = jobs_for(options, files, patterns), at_once = number("-j", options.jobs, 1),
    junit = open_report(options.junit), tap = options.tap, output = options.output,
    patterns = patterns, report = options.report,
  }
end

local function exit_code(plan, signal, total)
  if signal then return 128 + signal end
  if total.failed > 0 then return 1 end
  if total.passed + total.skipped > 0 then return 0 end
  io.stderr:write(("lunik: no example's name matches '%s'\n"):format(
    table.concat(plan.patterns, "' or '")))
  return 1
end

--- Runs what prepare() has found; returns the exit code.
function test.run(plan)
  local report = require "lunik.testing_runner.report"
  local runs, line = {}, require("lunik.testing_runner.progress").new(#plan.jobs)
  local function clear()
    if line then line.clear() end
  end
  local signal = require("lunik.testing_runner.engine").run(plan.jobs, plan.at_once, {
    tick = line and line.tick,
    ended = function(run)
      table.insert(runs, run)
      clear()
      if not plan.tap and #run.results > 0 then report.show(run, plan.output) end
    end,
  })
  clear()
  local total = report.total(runs)
  if plan.junit then report.junit(runs, plan.junit) end
  if plan.report then pages.index(plan.report, runs) end
  if plan.tap then report.tap(runs) else report.summary(total) end
  return exit_code(plan, signal, total)
end

return test
