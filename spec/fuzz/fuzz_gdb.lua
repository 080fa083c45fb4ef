-- The script of fuzz_gdb.c: gives an input to a gdb server as a client's bytes. Byte 0x01 begins a
-- packet of the table below, the next byte says which; byte 0x02 ends one with the right sum.

local lunik = require "lunik"
local input = require "spec.fuzz.input"
local packet = require "lunik.gdb.packet"
local send = require "spec.fuzz.send"

local starts = { "g", "G", "p", "P", "m", "M", "X", "Z0,", "Z1,", "Z2,", "z0,", "z1,", "vCont;",
  "c", "s", "C05", "H", "T", "D", "?", "qSupported:", "QStartNoAckMode", "qfThreadInfo",
  "qXfer:features:read:target.xml:", "qThreadExtraInfo,", "qRcmd,", "qqemu.sstep",
  "Qqemu.sstep=", "Qqemu.PhyMemMode:" }

local function text_of(bytes)
  bytes = bytes:gsub("\1(.)", function(which)
    return "$" .. starts[which:byte() % #starts + 1]
  end)
  return (bytes:gsub("%$([^$#\2]*)\2", packet.make))
end

-- The monitor's commands reach files of the user who runs this.
local function is_refused(text)
  return text:find("qRcmd,..", 1) ~= nil
end

return function(bytes)
  input.start(bytes)
  local text = text_of(bytes)
  if is_refused(text) then return end
  local m = lunik.machine { board = "micro", accel = "none", memory = "16M" }
  local client = m:object_add("chardev-buffer", { id = "client", size = "4M" })
  local server = m:gdb { chardev = client }
  send(client, text)
  if server.connected then
    -- Ends a packet that has begun, and an oversized one.
    send(client, "#00" .. packet.make "qC")
    local answered = not server.connected -- that packet has detached
    if not answered and not m:console(client):text():find("$QC1#", 1, true) then
      error("the last packet has no answer", 0)
    end
  end
  m:close()
end
