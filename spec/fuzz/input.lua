-- Taking decisions from the bytes of a fuzzer's input. Past its end all are zero.
local input = {}

local bytes, at

function input.start(text)
  bytes, at = text, 0
end

function input.more() return at < #bytes end

function input.byte()
  at = at + 1
  return bytes:byte(at) or 0
end

--- A little-endian number of so many bytes.
function input.number(size)
  local value = 0
  for i = 0, size - 1 do value = value | input.byte() << 8 * i end
  return value
end

function input.pick(list) return list[input.byte() % #list + 1] end

--- Fewer than n bytes that come next, which may decide something else as well.
function input.text(n) return bytes:sub(at + 1, at + input.byte() % n) end

--- Up to n bytes that the input begins with.
function input.prefix(n) return bytes:sub(1, n) end

return input
