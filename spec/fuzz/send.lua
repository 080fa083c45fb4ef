-- Sends text to a server by its chardev-buffer, until it has read all or its machine has ended.

local core = require "lunik.core"
local lunik = require "lunik"

local function settle()
  for _ = 1, 8 do lunik.run "nowait" end
end

return function(client, text)
  local from = 1
  while client.alive and from <= #text do
    from = from + core.buffer_write(client, text:sub(from))
    settle()
  end
  settle()
end
