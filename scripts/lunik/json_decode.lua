--- Reads JSON.
--
-- Objects and arrays are tables with the metatables json.Object and json.Array; null is json.null.
-- Integers of 64 bits are exact; those from 2^63 to 2^64-1 have the same bits. Other numbers are
-- floats. What RFC 8259 does not allow is an error, as are strings that are not UTF-8, an object's
-- second member of the same name, and more than LEVELS tables in one another.

local json = require "lunik.json"

local LEVELS = 1024

local escapes = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}
local words = { ["true"] = true, ["false"] = false, null = json.null }

-- What decode() raises within itself.
local Mistake = {}

local function fail(what, at)
  error(setmetatable({ text = ("%s at byte %d"):format(what, at) }, Mistake), 0)
end

-- ---- strings -----------------------------------------------------------------------------------

-- Reads "uXXXX" at a position; of a pair of surrogates, both.
local function unicode(text, at)
  local code = tonumber(text:match("^u(%x%x%x%x)", at) or fail("a wrong escape", at), 16)
  if code < 0xd800 or code > 0xdfff then return utf8.char(code), at + 5 end
  local low = tonumber(text:match("^\\u([dD][c-fC-F]%x%x)", at + 5)
    or fail("half of a surrogate pair", at), 16)
  if code > 0xdbff then fail("half of a surrogate pair", at) end
  return utf8.char(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)), at + 11
end

-- Reads the rest of a string with escapes.
local function escaped(text, at)
  local parts = {}
  while true do
    local plain, stop = text:match('^([^"\\%z\1-\31]*)()', at)
    parts[#parts + 1] = plain
    local mark = text:sub(stop, stop)
    if mark == '"' then return table.concat(parts), stop + 1 end
    if mark ~= "\\" then fail("a string that does not end", stop) end
    local short = escapes[text:sub(stop + 1, stop + 1)]
    if short then
      parts[#parts + 1], at = short, stop + 2
    else
      parts[#parts + 1], at = unicode(text, stop + 1)
    end
  end
end

local function string_at(text, at)
  local plain, stop = text:match('^"([^"\\%z\1-\31]*)"()', at)
  if not plain then plain, stop = escaped(text, at + 1) end
  if plain:find "[\x80-\xff]" and not utf8.len(plain) then
    fail("a string that is not UTF-8", at)
  end
  return plain, stop
end

-- ---- numbers -----------------------------------------------------------------------------------

local MOST = "18446744073709551615"

-- Returns the bits of an integer that is too big for Lua's, nil for one of more than 64 bits.
local function unsigned(digits)
  local many = #digits > #MOST or #digits == #MOST and digits > MOST
  if many or digits:byte() == 0x2d then return nil end
  local n = 0
  for digit in digits:gmatch "%d" do n = n * 10 + (digit:byte() - 48) end
  return n
end

local function number_at(text, at)
  local digits, stop = text:match("^(-?%d+)()", at)
  local fraction, after = text:match("^(%.%d+)()", stop)
  stop = after or stop
  local exponent, last = text:match("^([eE][+-]?%d+)()", stop)
  stop = last or stop
  if digits:find "^-?0%d" or text:find("^[%w_.+-]", stop) then fail("a wrong number", at) end
  if not fraction and not exponent then
    local n = tonumber(digits)
    if math.type(n) == "integer" then return n, stop end
    n = unsigned(digits)
    if n then return n, stop end
  end
  return tonumber(digits .. (fraction or "") .. (exponent or "")) + 0.0, stop
end

-- ---- values ------------------------------------------------------------------------------------

local value_at

local function skip(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

local function array_at(text, at, level)
  local array, n = setmetatable({}, json.Array), 0
  at = skip(text, at + 1)
  if text:byte(at) == 0x5d then return array, at + 1 end
  while true do
    n = n + 1
    array[n], at = value_at(text, at, level)
    at = skip(text, at)
    local mark = text:byte(at)
    if mark == 0x5d then return array, at + 1 end
    if mark ~= 0x2c then fail("no comma or ]", at) end
    at = skip(text, at + 1)
  end
end

local function object_at(text, at, level, raw)
  local object = setmetatable({}, json.Object)
  at = skip(text, at + 1)
  if text:byte(at) == 0x7d then return object, at + 1 end
  while true do
    if text:byte(at) ~= 0x22 then fail("no name of a member", at) end
    local key, start
    key, start = string_at(text, at)
    if object[key] ~= nil then fail(("a second member '%s'"):format(key), at) end
    start = skip(text, start)
    if text:byte(start) ~= 0x3a then fail("no colon", start) end
    start = skip(text, start + 1)
    object[key], at = value_at(text, start, level)
    if key == raw then object[key] = text:sub(start, at - 1) end
    at = skip(text, at)
    local mark = text:byte(at)
    if mark == 0x7d then return object, at + 1 end
    if mark ~= 0x2c then fail("no comma or }", at) end
    at = skip(text, at + 1)
  end
end

function value_at(text, at, level, raw)
  local mark = text:byte(at)
  if mark == 0x22 then return string_at(text, at) end
  if mark == 0x7b or mark == 0x5b then
    if level == LEVELS then fail(("more than %d levels"):format(LEVELS), at) end
    if mark == 0x5b then return array_at(text, at, level + 1) end
    return object_at(text, at, level + 1, raw)
  end
  local word = text:match("^%l+", at)
  if word and words[word] ~= nil then return words[word], at + #word end
  if not text:find("^-?%d", at) then fail("no value", at) end
  return number_at(text, at)
end

local function decode(text, raw)
  local value, at = value_at(text, skip(text, 1), 0, raw)
  at = skip(text, at)
  if at <= #text then fail("more after the value", at) end
  return value
end

--- Returns the value that the text is; nil and what is wrong. raw: the name of a member of the
-- outermost object whose value is returned as its text.
local function json_decode(text, raw)
  local ok, result = pcall(decode, text, raw)
  if ok then return result end
  if getmetatable(result) == Mistake then return nil, result.text end
  error(result, 0)
end

return json_decode
