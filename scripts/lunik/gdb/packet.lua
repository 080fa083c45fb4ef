--- Packets of gdb's remote protocol: $data#sum, with +, - and 0x03 between them.

local packet = {}

local MOST = 16384 -- bytes of a packet's data
packet.MOST = MOST

local ESCAPED = "[#$}*]"

--- Returns a packet with this data, which may be any bytes.
function packet.make(data)
  data = data:gsub(ESCAPED, function(c) return "}" .. string.char(c:byte() ~ 0x20) end)
  local sum = 0
  for i = 1, #data do sum = sum + data:byte(i) end
  return ("$%s#%02x"):format(data, sum & 0xff)
end

--- Returns bytes as hexadecimal digits.
function packet.hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Returns the bytes that digits stand for; nil: they are none.
function packet.bytes(digits)
  if #digits % 2 ~= 0 or digits:find "%X" then return nil end
  return (digits:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- Returns the data of a packet without its escapes.
function packet.unescape(data)
  return (data:gsub("}(.)", function(c) return string.char(c:byte() ~ 0x20) end))
end

local Reader = {}
Reader.__index = Reader

local function sum_of(data)
  local sum = 0
  for i = 1, #data do sum = sum + data:byte(i) end
  return sum & 0xff
end

local function take(self, data, digits)
  local right = tonumber(digits, 16) == sum_of(data)
  if right or self.unchecked then
    self.on.packet(data)
  else
    self.on.damaged()
  end
end

-- Takes the packet that begins at a position; returns the position after it, nil: it is not
-- complete.
local function next_packet(self, text, at)
  local data, digits, after = text:match("^%$([^#]*)#(..)()", at)
  if data then
    take(self, data, digits)
    return after
  end
  return #text - at > MOST + 4 and #text + 1 or nil -- too long: it is dropped
end

--- Takes bytes from the client.
function Reader:feed(bytes)
  local text, at = self.rest .. bytes, 1
  while at <= #text do
    local first = text:sub(at, at)
    if first == "$" then
      local after = next_packet(self, text, at)
      if not after then break end
      at = after
    else
      if first == "\3" then self.on.interrupt() elseif first == "-" then self.on.again() end
      at = text:find("[$\3-]", at + 1) or #text + 1
    end
  end
  self.rest = text:sub(at)
end

--- Forgets what has come of a packet.
function Reader:reset()
  self.rest, self.unchecked = "", false
end

--- Makes a reader: on.packet(data), on.damaged(), on.again(), on.interrupt().
function packet.reader(on)
  return setmetatable({ rest = "", on = on }, Reader)
end

return packet
