-- A QMP client: a second machine's chardev-socket. Sends what it is given, byte for byte.
local decode = require "lunik.json_decode"
local local_client = require "spec.support.local_client"
local wait_for = require "spec.support.wait_for"

local Client = {}
Client.__index = Client

local function dial(path)
  local m, stream = local_client.connect(path)
  local self = setmetatable({ machine = m, stream = stream, text = "", raw = {}, messages = {},
    taken = 0, looked_at = 0 }, Client)
  self.stream:on_data(function(bytes)
    self.text = self.text .. bytes
    while true do
      local line, rest = self.text:match "^(.-)\r\n(.*)$"
      if not line then break end
      self.text = rest
      self.raw[#self.raw + 1] = line
      self.messages[#self.messages + 1] = decode(line)
    end
  end)
  self.stream:on_close(function() self.gone = true end)
  return self
end

-- The next message.
function Client:next()
  return wait_for(function()
    if self.messages[self.taken + 1] then
      self.taken = self.taken + 1
      return self.messages[self.taken]
    end
  end)
end

function Client:send(text) self.stream:write(text) end

-- The next answer, and the events before it.
function Client:answer()
  local events = {}
  while true do
    local message = self:next()
    if not message.event then return message, events end
    events[#events + 1] = message
  end
end

-- The next event of that name, before answers or after them.
function Client:event(name)
  return wait_for(function()
    while self.looked_at < #self.messages do
      self.looked_at = self.looked_at + 1
      local message = self.messages[self.looked_at]
      if message.event == name then return message end
    end
  end)
end

-- Sends a command as libvirt does; returns the answer.
function Client:command(text)
  self:send(text .. "\r\n")
  return self:answer()
end

function Client:greet()
  local greeting = self:next()
  self:command '{"execute":"qmp_capabilities","id":"libvirt-1"}'
  return greeting
end

function Client:close() self.machine:close() end

return { dial = dial, wait_for = wait_for }
