-- A client of a Unix socket in this process: the chardev-socket of a machine of its own.
local lunik = require "lunik"
local wait_for = require "spec.support.wait_for"

local local_client = {}

--- Connects to the socket at path, which a server may have made and not listen at yet. Returns the
-- machine and the stream.
function local_client.connect(path)
  local m = lunik.machine { board = { build = function() end }, accel = "none", memory = "1M" }
  wait_for(function()
    local ok, err = pcall(m.object_add, m, "chardev-socket",
      { id = "client", path = path, server = false })
    if not ok and not err.message:find "connection refused" then error(err, 0) end
    return ok
  end)
  return m, m:stream "client"
end

return local_client
