--- `lunik attach PATH`: a prompt of another process. Lines are edited here, and evaluated there.

local core = require "lunik.core"
local above = require "lunik.command.prompt_output"
local connection = require "lunik.command.connection"
local history_file = require "lunik.command.history_file"
local host = require "lunik.host"
local lineedit = require "lunik.lineedit"
local pager = require "lunik.command.pager"

local attach = {}

local SIGINT = 2
local ANSWER_MS = 2000 -- in which a completion is to come

-- What is known about the server's side.
local state = { prompt = nil, words = nil, keys = false, pages = {} }

local on_frame = {}

function on_frame.output(text)
  io.write(text)
  io.stdout:flush()
end

function on_frame.error(text)
  io.stdout:flush()
  local first, rest = text:match "^([^\n]*)(.*)$"
  io.stderr:write(pager.paint(2, "31", first), rest)
end

-- A page may wait for keys, which the function of a socket can't: it is shown before the next line
-- is read.
function on_frame.page(text)
  if host.isatty(0) and host.isatty(1) then
    table.insert(state.pages, (text:gsub("\n$", "")))
  else
    on_frame.output(text)
  end
end

function on_frame.ready(text)
  state.prompt = text
  core.stop()
end

function on_frame.words(text) state.words = text end

function on_frame.keys(text)
  state.keys = text == "on"
  if state.keys then core.stop() else lineedit.end_keys() end
end

on_frame.screen = on_frame.output

-- ---- lines -------------------------------------------------------------------------------------

-- For lineedit, which calls it while the loop is running.
local function complete(line, word)
  state.words = nil
  state.link.send("complete", word .. "\0" .. line)
  local deadline = core.now() + ANSWER_MS / 1000
  while not state.words and state.link.open and core.now() < deadline do state.link.feed(100) end
  local list = {}
  for name in (state.words or ""):gmatch "[^\n]+" do list[#list + 1] = name end
  return list
end

-- Runs the loop until the server is ready for a line; hands on keys if it wants them.
local function wait_ready()
  while not state.prompt and state.link.open do
    if state.keys and host.isatty(0) then
      lineedit.keys(function(bytes)
        if bytes then state.link.send("keys", bytes) end
        return not bytes or not state.link.open
      end)
    else
      core.run "once"
    end
  end
end

local function remember(line)
  state.chunk = state.chunk and state.chunk .. "\n" .. line or line
end

-- Adds the chunk to the history when the server has taken all of it.
local function end_chunk()
  if state.chunk and state.prompt ~= "    >> " then
    lineedit.add_history(state.chunk)
    state.chunk = nil
  end
end

local function end_line()
  if host.isatty(1) then io.stdout:write "\n" end
end

-- Reads and sends a line; returns whether there may be more.
local function converse()
  wait_ready()
  while state.pages[1] do pager.print(table.remove(state.pages, 1)) end
  if not state.link.open then return false end
  end_chunk()
  local more = state.prompt == "    >> "
  local ok, line = above.call(function() return lineedit.read(state.prompt, complete) end)
  if not ok or line == false or line == nil and more then -- Ctrl-C, Ctrl-D
    end_line()
    state.chunk, state.prompt = nil, nil
    state.link.send("interrupt", "")
    return state.link.open
  elseif line == nil then
    end_line()
    return false
  end
  remember(line)
  state.prompt = nil
  state.link.send("line", line)
  return true
end

-- Ctrl-C interrupts the line that is typed, or the one that the server runs.
local function on_signal(signal)
  if signal ~= SIGINT then os.exit(128 + signal) end
  if state.prompt then error("interrupted!", 0) end
  state.link.send("interrupt", "")
end

-- ---- the command -------------------------------------------------------------------------------

function attach.prepare(options)
  return { path = connection.path(options) }
end

function attach.run(plan)
  host.attach()
  state.link = connection.new(plan.path, function(kind, text)
    if on_frame[kind] then on_frame[kind](text) end
  end)
  host.on_signal(on_signal)
  if host.isatty(0) and host.isatty(1) then
    above.begin()
    print(("attached to '%s'; quit or Ctrl-D leaves."):format(plan.path))
    if history_file() then lineedit.open_history(history_file()) end
  end
  repeat until not converse()
  lineedit.close()
  return 0
end

return attach
