-- For specs: a neighbour on a network whose other end is a script (netdev-lua). It answers ARP and
-- ICMP echo requests for one IPv4 address.
--   net_peer.attach(m:netdev "net1", "10.0.3.2")
local net_peer = {}

local MAC = "\x52\x54\x00\x00\x00\x02"
local ARP, IPV4 = 0x0806, 0x0800

local function address_of(text)
  return string.char(text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
end

local function checksum(data)
  local sum = 0
  for at = 1, #data - 1, 2 do sum = sum + (">I2"):unpack(data, at) end
  while sum > 0xffff do sum = (sum & 0xffff) + (sum >> 16) end
  return ~sum & 0xffff
end

local function answer_arp(frame, address)
  local operation, from_mac, from, _, to = (">I2c6c4c6c4"):unpack(frame, 21)
  if operation ~= 1 or to ~= address then return nil end
  return from_mac .. MAC .. (">I2I2I2BBI2"):pack(ARP, 1, IPV4, 6, 4, 2) .. MAC .. address
    .. from_mac .. from
end

local function answer_echo(frame, address)
  local header = (frame:byte(15) & 15) * 4
  local from, to = frame:sub(27, 30), frame:sub(31, 34)
  local length = (">I2"):unpack(frame, 17)
  local icmp = frame:sub(15 + header, 14 + length)
  if frame:byte(24) ~= 1 or to ~= address or icmp:byte(1) ~= 8 or #icmp % 2 ~= 0 then return nil end
  icmp = "\0\0\0\0" .. icmp:sub(5)
  icmp = "\0\0" .. (">I2"):pack(checksum(icmp)) .. icmp:sub(5)
  local ip = (">BBI2I2I2BBI2"):pack(0x45, 0, 20 + #icmp, 0, 0, 64, 1, 0) .. address .. from
  ip = ip:sub(1, 10) .. (">I2"):pack(checksum(ip)) .. ip:sub(13)
  return frame:sub(7, 12) .. MAC .. (">I2"):pack(IPV4) .. ip .. icmp
end

--- The answer to an Ethernet frame, or nil.
function net_peer.answer(frame, address)
  if #frame < 42 then return nil end
  local kind = (">I2"):unpack(frame, 13)
  local answer = kind == ARP and answer_arp or kind == IPV4 and answer_echo
  return answer and answer(frame, address_of(address))
end

--- Answers on the script's end of a network.
function net_peer.attach(peer, address)
  peer:on_frame(function(frame)
    local answer = net_peer.answer(frame, address)
    if answer then peer:send(answer) end
  end)
end

return net_peer
