--- What goes between a prompt's server and its clients: frames, each with a kind and a text of any
-- bytes: "KIND SIZE\n" and that many bytes.

local frames = {}

local HEADER_MAX, TEXT_MAX = 32, 16 << 20

--- Returns a frame.
function frames.make(kind, text)
  return ("%s %d\n%s"):format(kind, #text, text)
end

-- Returns the kind and the size that the buffer's header has, and where the text begins; nil: the
-- header is not complete; false: there is none.
local function header(buffer)
  local kind, size, start = buffer:match "^(%l+) (%d+)\n()"
  size = size and #size < 9 and math.tointeger(tonumber(size))
  if size and size <= TEXT_MAX then return kind, size, start end
  if #buffer <= HEADER_MAX and buffer:find "^%l* ?%d*$" then return nil end
  return false
end

--- Returns a function that takes input and calls fn(kind, text) for each frame. It returns false if
-- the input is no frame; it is not to be called any more then, or when fn has returned false.
function frames.reader(fn)
  local parts, have, need = {}, 0, 0 -- need: bytes before there is more to do
  return function(input)
    parts[#parts + 1] = input
    have = have + #input
    while have >= need do
      local buffer = table.concat(parts)
      local kind, size, start = header(buffer)
      if kind == false then return false end
      parts = { buffer }
      need = kind and start - 1 + size or #buffer + 1
      if not kind or have < need then return true end
      parts, have = { buffer:sub(start + size) }, have - need
      need = 1
      if fn(kind, buffer:sub(start, start + size - 1)) == false then return false end
    end
    return true
  end
end

return frames
