-- For specs: the agent as a process of this host, and lunik.agent() on its standard input and
-- output.
--   local process <close> = agent_process.start()
--   process.agent:read "/proc/version"
local command = require "spec.support.command"
local lunik = require "lunik"
local uv = require "luv"

local agent_process = {}

agent_process.path = command.build .. "/guests/agent"

local Process = {}
Process.__index = Process

-- Ends the process: its input ends. Returns how it ended: exit code and signal.
function Process:close()
  if self.input:is_closing() then return self.code, self.signal end
  self.input:close()
  while not (self.code and self.out:is_closing()) do uv.run "once" end
  uv.run "nowait"
  return self.code, self.signal
end

Process.__close = Process.close

-- Sends bytes past the agent's object.
function Process:send(bytes)
  self.input:write(bytes)
end

-- Starts the agent. spoil: a function that gets each piece of its output and returns what is to be
-- seen of it; tap: one that gets all of it.
function agent_process.start(opts)
  opts = opts or {}
  lunik.use_luv(uv)
  local self = setmetatable({ input = uv.new_pipe(false), out = uv.new_pipe(false) }, Process)
  self.handle = assert(uv.spawn(agent_process.path, {
    args = { "-p", "-" }, stdio = { self.input, self.out, 2 },
  }, function(code, signal)
    self.code, self.signal = code, signal
    self.handle:close()
  end))
  self.agent = lunik.agent { timeout = opts.timeout or 20, send = function(bytes)
    self.input:write(opts.spoil_input and opts.spoil_input(bytes) or bytes)
  end }
  self.out:read_start(function(_, data)
    if not data then return self.out:close() end
    if opts.tap then opts.tap(data) end
    self.agent:feed(opts.spoil and opts.spoil(data) or data)
  end)
  return self
end

return agent_process
