--- A client of a prompt's socket: its lines are evaluated in coroutines, one at a time, and what
-- they print goes to it.

local core = require "lunik.core"
local evaluation = require "lunik.command.evaluation"
local frames = require "lunik.prompt.frames"
local terminal = require "lunik.prompt.terminal"
local top = require "lunik.prompt.top"
local wait = require "lunik.wait"

local Session = {}
Session.__index = Session

local session = {}

local PROMPT, MORE = "lunik> ", "    >> "
local QUEUE_MAX = 8 << 20 -- bytes that a client has not taken; it is dropped then

-- ---- output ------------------------------------------------------------------------------------

function Session:send(kind, text)
  if self.closed then return end
  local queued = self.socket:write(frames.make(kind, text))
  if not queued or queued > QUEUE_MAX then self:close() end
end

local function joined(separator, ...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, separator)
end

-- Makes the globals of a client: those of the process, with print and io.write of its own, so that
-- handlers that it sets print there.
local function environment(self)
  local own_io = setmetatable({ write = function(...)
    self:send("output", joined("", ...))
    return io.stdout
  end }, { __index = io })
  return setmetatable({ print = self.print, io = own_io }, { __index = _G, __newindex = _G })
end

-- Makes print go to the client whose line is running.
local function route_print()
  if core.shared.print_routed then return end
  core.shared.print_routed = true
  local print = print
  _G.print = function(...) -- luacheck: ignore 122
    local t = terminal.attached()
    return (t and t.print or print)(...)
  end
end

-- ---- lines -------------------------------------------------------------------------------------

local function traceback(err)
  return (debug.traceback(core.text(err), 2):gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""))
end

function Session:ready(more)
  self:send("ready", more and MORE or PROMPT)
end

local function show(self, ok, ...)
  local text
  if ok then
    ok, text = pcall(evaluation.shown, ...)
  else
    text = evaluation.error_text((...))
  end
  if text then self:send(ok and "page" or "error", text .. "\n") end
end

function Session:run(chunk)
  local function body()
    terminal.set(coroutine.running(), self.terminal)
    show(self, xpcall(chunk, traceback))
    self.task = nil
    self:ready()
  end
  self.task = true
  local task = wait.spawn(body)
  if not task.done then self.task = task end
end

local takes = {}

function takes.line(self, line)
  if self.task then return false end
  local command = not self.text and evaluation.command(line)
  if command == evaluation.quit then return self:close() end
  if command then return self:run(command) end
  local text = self.text and self.text .. "\n" .. line or line
  local chunk, err, more = evaluation.compile(text, self.env)
  self.text = more and text or nil
  if chunk then return self:run(chunk) end
  if not more then self:send("error", evaluation.error_text(err) .. "\n") end
  self:ready(more)
end

--- Ctrl-C, or Ctrl-D in a chunk that is not complete.
function takes.interrupt(self)
  self.text = nil
  local task = self.task
  if type(task) == "table" then
    self.task = nil
    pcall(task.cancel, task)
    self:stop_keys()
    self:send("error", "interrupted!\n")
  end
  if not self.task then self:ready() end
end

function takes.complete(self, text)
  local word, line = text:match "^(.-)%z(.*)$"
  local ok, words = pcall(require "lunik.command.complete", line or "", word or "")
  self:send("words", ok and table.concat(words, "\n") or "")
end

function takes.keys(self, bytes)
  if self.on_keys and self.on_keys(bytes) then self:stop_keys() end
end

function takes.top(self, seconds)
  seconds = math.min(math.max(tonumber(seconds) or 1, 0.1), 60)
  if self.task then return false end
  self.task = wait.spawn(function()
    local view <close> = top.new()
    while not self.closed do
      self:send("screen", view:text())
      wait.sleep(seconds)
    end
  end)
end

-- ---- keys --------------------------------------------------------------------------------------

local function keys(self, fn)
  self.on_keys = fn
  self:send("keys", "on")
  wait.block { what = "keys", start = function(wake)
    self.wake_keys = function() wake(true) end
    return function() self.wake_keys = nil end
  end }
end

function Session:stop_keys()
  if not self.on_keys then return end
  self.on_keys = nil
  self:send("keys", "off")
  if self.wake_keys then self.wake_keys() end
end

-- ---- life --------------------------------------------------------------------------------------

--- Ends it; a line that still waits is interrupted.
function Session:close()
  if self.closed then return end
  self.closed = true
  self.socket:close()
  self.on_closed(self)
  if type(self.task) == "table" then pcall(self.task.cancel, self.task) end
end

local function new_terminal(self)
  return {
    interactive = true, print = self.print,
    write = function(text) self:send("output", text) end,
    page = function(text) self:send("page", text .. "\n") end,
    clear = function() self:send("output", "\27[H\27[J") end,
    keys = function(fn) keys(self, fn) end,
    stop_keys = function() self:stop_keys() end,
  }
end

--- Makes the session of a connection.
function session.new(socket, on_closed)
  local self = setmetatable({ socket = socket, on_closed = on_closed, closed = false }, Session)
  self.print = function(...) self:send("output", joined("\t", ...) .. "\n") end
  self.env = environment(self)
  self.terminal = new_terminal(self)
  route_print()
  local read = frames.reader(function(kind, text)
    if self.closed or not takes[kind] then return false end
    takes[kind](self, text)
    return not self.closed
  end)
  socket:read(function(input)
    if not self.closed and (not input or not read(input)) then self:close() end
  end)
  self:ready()
  return self
end

return session
