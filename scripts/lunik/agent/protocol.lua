--- The lines that an agent in a guest takes and answers (spec/guests/agent/call.h describes them).

local options = require "lunik.options"

local protocol = {}

--- The most bytes of data in one request or answer.
protocol.DATA = 8192

-- ---- checksum ----------------------------------------------------------------------------------

local TABLE = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do crc = crc & 1 == 1 and crc >> 1 ~ 0xedb88320 or crc >> 1 end
  TABLE[byte] = crc
end

--- Returns the CRC-32 of a string.
function protocol.crc32(text)
  local crc = 0xffffffff
  for at = 1, #text do crc = crc >> 8 ~ TABLE[(crc ~ text:byte(at)) & 255] end
  return crc ~ 0xffffffff
end

-- ---- codings -----------------------------------------------------------------------------------

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local ENCODE, DECODE = {}, {}
for at = 1, 64 do
  ENCODE[at - 1] = DIGITS:sub(at, at)
  DECODE[DIGITS:byte(at)] = at - 1
end

local function encode_group(group)
  local a, b, c = group:byte(1, 3)
  local bits = a << 16 | (b or 0) << 8 | (c or 0)
  return ENCODE[bits >> 18] .. ENCODE[bits >> 12 & 63] .. (b and ENCODE[bits >> 6 & 63] or "=")
    .. (c and ENCODE[bits & 63] or "=")
end

local function to_base64(data)
  return (data:gsub("..?.?", encode_group))
end

-- Returns nil for what is not the coding of anything.
local function from_base64(text)
  if #text % 4 ~= 0 or not text:find "^[%w+/]*=?=?$" then return nil end
  return (text:gsub("(.)(.)(.)(.)", function(a, b, c, d)
    local bits = DECODE[a:byte()] << 18 | DECODE[b:byte()] << 12 | (DECODE[c:byte()] or 0) << 6
      | (DECODE[d:byte()] or 0)
    local bytes = string.char(bits >> 16, bits >> 8 & 255, bits & 255)
    return bytes:sub(1, c == "=" and 1 or d == "=" and 2 or 3)
  end))
end

-- Bytes that are written as %XX.
local SPECIAL = "[%c %%@*\x7f-\xff]"

local function escape(text)
  return (text:gsub(SPECIAL, function(byte) return ("%%%02x"):format(byte:byte()) end))
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- ---- lines -------------------------------------------------------------------------------------

local function field(name, value)
  if value == true or value == false then value = value and 1 or 0 end
  local text = tostring(value)
  if name == "data" or text == "" and type(value) == "string" then
    return (" %s:%s"):format(name, to_base64(text))
  end
  return (" %s=%s"):format(name, escape(text))
end

--- Returns the line of a request with arguments: name -> string, integer or boolean.
function protocol.request(id, command, arguments)
  local names, parts = {}, { ("@%d %s"):format(id, command) }
  for name in pairs(arguments) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = field(name, arguments[name]) end
  local text = table.concat(parts)
  return ("%s *%08x\n"):format(text, protocol.crc32(text))
end

--- Reads a line without its end, from its last '@' on: id, "ok" or "error", and fields, name ->
-- string. nil for what is not a whole answer.
function protocol.answer(line)
  local text, crc = (line:match "^.*(@.*)$" or "")
    :match "^(@%d+ %l+.*) %*(%x%x%x%x%x%x%x%x)%s*$"
  if not text or tonumber(crc, 16) ~= protocol.crc32(text) then return nil end
  local id, kind, rest = text:match "^@(%d+) (%l+)(.*)$"
  if kind ~= "ok" and kind ~= "error" then return nil end -- such as the echo of a request
  local fields = {}
  for name, how, value in rest:gmatch " ([%w_]+)([=:])(%S*)" do
    if how == ":" then
      value = from_base64(value)
    else
      value = unescape(value)
    end
    if not value then return nil end
    fields[name] = value
  end
  return math.tointeger(tonumber(id)), kind, fields
end

local function fail(fields, name, want)
  options.fail("device", "agent: the answer's field '%s' is %s (want %s)", name,
    options.show(fields[name]), want)
end

--- Returns a field that has to be there.
function protocol.text(fields, name)
  return fields[name] or fail(fields, name, "a text")
end

--- Returns a field that has to be an integer.
function protocol.integer(fields, name)
  return math.tointeger(tonumber(fields[name])) or fail(fields, name, "an integer")
end

--- Returns a field that may be an integer, or nil.
function protocol.maybe_integer(fields, name)
  return fields[name] and protocol.integer(fields, name)
end

return protocol
