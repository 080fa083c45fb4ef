-- For specs: the fenced code blocks of a page in Markdown, and how each is run.
--
-- The first word after the fence is the language. Words after it:
--   file=NAME        written to NAME in the page's folder, not run
--   exit=N           the exit code that is expected; 0 otherwise
--   numbers=vary     in what is expected, every number stands for any number
--   compile          C that is no program
--   kvm              needs /dev/kvm
--   by=PATH          is run by another spec
--   norun="REASON"   is not run
-- What a block prints is compared with the block `output` that follows it. In what is expected a
-- line "..." stands for any lines, and a time such as "12 ms" for any other.
local command = require "spec.support.command"

local document = {}

-- ---- reading -----------------------------------------------------------------------------------

local function words_of(info)
  local words = {}
  for key, value in info:gmatch '(%w+)="([^"]*)"' do
    words[key] = value
  end
  for word in info:gsub('%w+="[^"]*"', ""):gmatch "%S+" do
    local key, value = word:match "^(%w+)=(.*)$"
    words[key or word] = value or true
  end
  return words
end

-- Returns the code of all blocks of a language.
function document.code(text, language)
  local code = {}
  for _, block in ipairs(document.blocks(text)) do
    if block.language == language then
      table.insert(code, block.code)
    end
  end
  return table.concat(code)
end

-- Returns the blocks of a text: { language, words, code, line }, in order.
function document.blocks(text)
  local blocks, block, number = {}, nil, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local indent, language, info = line:match "^( *)```(%w*)%s*(.*)$"
    if block and language == "" and line:find "^%s*```$" then
      block.code = table.concat(block.lines, "\n") .. "\n"
      block = nil
    elseif block then
      table.insert(block.lines, (line:sub(#block.indent + 1)))
    elseif language then
      block = { language = language, words = words_of(info), lines = {}, line = number,
        indent = indent }
      table.insert(blocks, block)
    end
  end
  return blocks
end

-- ---- comparing ---------------------------------------------------------------------------------

local UNITS = "[mun]?s%f[%W]"

-- Takes away what may differ: times; if numbers vary, all of them, and the spaces that align them.
local function normal(line, vary)
  line = line:gsub("%s+$", ""):gsub("%d[%d.]* ?" .. UNITS, "#s")
  return vary and line:gsub("0x%x+", "#"):gsub("%d[%d.]*", "#"):gsub("%s+", " ") or line
end

local function lines_of(text, vary)
  local lines = {}
  for line in text:gsub("\r", ""):gsub("\n*$", ""):gmatch "[^\n]*" do
    table.insert(lines, normal(line, vary))
  end
  return lines
end

-- Whether the lines from g on are what is wanted from w on.
local function matches(want, got, w, g)
  while want[w] ~= nil do
    if want[w]:match "^%s*%.%.%.$" then
      for start = g, #got + 1 do
        if matches(want, got, w + 1, start) then return true end
      end
      return false
    elseif want[w] ~= got[g] then
      return false
    end
    w, g = w + 1, g + 1
  end
  return got[g] == nil
end

-- Whether a text is what is expected.
function document.same(expected, text, vary)
  return matches(lines_of(expected, vary), lines_of(text, vary), 1, 1)
end

-- ---- running -----------------------------------------------------------------------------------

local LINKED = { "bindings", "library", "runtime", "scripts", "spec", "docs", "Makefile" }

-- Makes the folder in which a page's blocks run: the parts of the tree are links in it. The end of
-- its <close> variable removes it.
function document.folder()
  local path = os.tmpname()
  os.remove(path)
  local parts = '"$PWD/' .. table.concat(LINKED, '" "$PWD/') .. '"'
  local out, err, code = command.run(([[build=$(realpath %s) && mkdir %s && ln -s %s %s &&
    ln -s "$build" %s/build]]):format(command.build, path, parts, path, path))
  assert(code == 0, out .. err)
  return setmetatable({ path = path }, { __close = function()
    os.execute("rm -rf " .. path)
  end })
end

-- The environment of blocks: the command is in the path; plain lua5.4 and busted find the module.
local function environment(folder)
  return ([[cd %s && export PATH="$PWD/build:$PATH" LUNIK_HISTORY=/dev/null
    LUA_PATH="$PWD/scripts/?.lua;$PWD/scripts/?/init.lua;;" LUA_CPATH="$PWD/build/lua/?.so;;"
    export LUA_PATH LUA_CPATH;]]):format(folder.path)
end

local function save(folder, name, text)
  local directory = name:match "^(.*)/"
  if directory then
    os.execute(("mkdir -p %s/%s"):format(folder.path, directory))
  end
  command.write(folder.path .. "/" .. name, text)
end

local function shell(folder, text, input)
  save(folder, ".block.sh", text)
  return command.run(environment(folder) .. " sh -eu .block.sh 2>&1", input)
end

local runners = {}

function runners.sh(folder, block)
  return shell(folder, block.code)
end

function runners.lua(folder, block)
  save(folder, ".block.lua", block.code)
  return shell(folder, "lunik .block.lua")
end

function runners.c(folder, block)
  save(folder, ".block.c", block.code)
  if block.words.compile then
    return shell(folder, "cc -Wall -Werror -Wno-unused -Iruntime -c -o .block.o .block.c")
  end
  return shell(folder, [[cc -Wall -Werror -Iruntime -Ibindings -o .block .block.c -Lbuild \
    -llunik-lua -llunik $(pkg-config --cflags --libs lua5.4) -luv -Wl,-rpath,"$PWD/build"
    ./.block]])
end

-- Splits a transcript into { what is typed, what is shown } at the lines that begin with a prompt.
local function steps_of(code, prompt, more)
  local steps = {}
  for line in code:gmatch "([^\n]*)\n" do
    local typed = line:match("^" .. prompt .. "(.*)$")
    local rest = more and #steps > 0 and line:match("^" .. more .. "(.*)$")
    local step = steps[#steps]
    if typed then
      table.insert(steps, { typed = typed, shown = "" })
    elseif rest then
      step.typed = step.typed .. "\n" .. rest
    else
      assert(step, "a transcript begins with a prompt: " .. line)
      step.shown = step.shown .. line .. "\n"
    end
  end
  return steps
end

local function compare(steps, results, block)
  for i, step in ipairs(steps) do
    if not document.same(step.shown, results[i] or "", block.words.numbers == "vary") then
      return ("%s\nshows:\n%s\nnot:\n%s"):format(step.typed, results[i] or "", step.shown)
    end
  end
end

-- A transcript of the shell. The last command's exit code is the block's.
function runners.console(folder, block)
  local steps, results, code = steps_of(block.code, "%$ ", "> "), {}, 0
  for i, step in ipairs(steps) do
    local out, _, status = shell(folder, step.typed)
    results[i], code = out, status
    if code ~= 0 and i < #steps then
      return out, "", code, ("%s: exit code %d\n%s"):format(step.typed, code, out)
    end
  end
  return results[#results], "", code, compare(steps, results, block)
end

local MARK = "----8<----"

-- A transcript of the prompt. The lines of a page are one session: those of earlier blocks are
-- typed again before.
function runners.lunik(folder, block)
  local steps = steps_of(block.code, "lunik> ", "    >> ")
  folder.typed = folder.typed or {}
  local earlier = #folder.typed
  for _, step in ipairs(steps) do
    table.insert(folder.typed, step.typed)
  end
  -- On a terminal handlers print while the prompt waits.
  local separator = ("\nlunik.sleep(0.02) print(%q)\n"):format(MARK)
  local input = table.concat(folder.typed, separator) .. separator
  local out, _, code = shell(folder, "lunik -i", input)
  local results = {}
  for part in out:gmatch("(.-)" .. MARK:gsub("%p", "%%%0")) do
    table.insert(results, (part:gsub("^\n", "")))
  end
  table.move(results, earlier + 1, #results, 1)
  return out, "", code, compare(steps, results, block)
end

-- Why a block is not run here, or nil.
function document.skipped(block)
  if block.words.norun then
    return block.words.norun
  elseif block.words.kvm and not command.kvm() then
    return "no /dev/kvm"
  end
end

-- Runs a block in a page's folder; expected: the `output` after it, or nil. Returns nil, or what
-- went wrong.
function document.run(folder, block, expected)
  if block.words.file then
    return save(folder, block.words.file, block.code)
  end
  local run = runners[block.language]
  if not run then
    return ("a block '%s' can't be run"):format(block.language)
  end
  local out, _, code, wrong = run(folder, block)
  if not wrong and code ~= tonumber(block.words.exit or 0) then
    wrong = ("exit code %d\n%s"):format(code, out)
  elseif not wrong and expected and not document.same(expected.code, out,
    expected.words.numbers == "vary") then
    wrong = ("it prints:\n%s\nnot:\n%s"):format(out, expected.code)
  end
  return wrong
end

return document
