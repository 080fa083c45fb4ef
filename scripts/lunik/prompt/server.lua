--- lunik.prompt{}: prompts for other terminals, through a Unix socket.

local core = require "lunik.core"
local options = require "lunik.options"

local server = {}

local Server = { __name = "lunik.PromptServer" }

local fields = {}

--- How many clients are attached.
function fields.clients(self)
  local count = 0
  for _ in pairs(self.sessions) do count = count + 1 end
  return count
end

function Server.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Server[key]
end

function Server.__tostring(self)
  return ("prompt at '%s' (%s)"):format(self.path,
    self.listener and ("%d attached"):format(self.clients) or "closed")
end

--- Ends it and its clients' connections, and removes the socket file.
function Server:close()
  if not self.listener then return end
  self.listener:close()
  self.listener = nil
  for session in pairs(self.sessions) do session:close() end
end

options.guard(Server.__name, Server, Server)
Server.__close = Server.close
server.Server = Server

--- lunik.prompt{path=}
function server.new(given)
  local opt = options.parse("prompt", given, { path = "string" })
  if not opt.path then options.fail("invalid", "prompt: path is missing (want a socket's)") end
  local session = require "lunik.prompt.session"
  require("lunik.prompt.top").start()
  require("lunik.command.reference").load() -- before a sandbox keeps the files away
  local self = setmetatable({ path = opt.path:gsub("^unix:", ""), sessions = {} }, Server)
  local ok, result = pcall(core.local_listen, self.path, function(socket)
    local new
    new = session.new(socket, function(closed) self.sessions[closed] = nil end)
    if not new.closed then self.sessions[new] = true end
  end)
  if not ok then
    options.fail(result.code or "io", "prompt: %s", result.message or core.text(result))
  end
  self.listener = result
  return self
end

return server
