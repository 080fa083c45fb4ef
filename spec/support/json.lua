-- For specs: reads JSON.
local json = {}

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local words = { ["true"] = true, ["false"] = false }

local value

local function string(text, at)
  local last = at + 1
  while text:sub(last, last) ~= '"' do
    last = last + (text:sub(last, last) == "\\" and 2 or 1)
    assert(last <= #text, "a string does not end")
  end
  local inner = text:sub(at + 1, last - 1):gsub("\\(.)(%x?%x?%x?%x?)", function(c, hex)
    if c == "u" then return utf8.char(tonumber(hex, 16)) end
    return (escapes[c] or c) .. hex
  end)
  return inner, last + 1
end

local function list(text, at, close, item)
  local out = {}
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= close do
    at = text:match("^%s*,?%s*()", item(out, at))
  end
  return out, at + 1
end

function value(text, at)
  at = text:match("^%s*()", at)
  local c = text:sub(at, at)
  if c == '"' then return string(text, at) end
  if c == "[" then
    return list(text, at, "]", function(out, from)
      local v, next_at = value(text, from)
      out[#out + 1] = v
      return next_at
    end)
  elseif c == "{" then
    return list(text, at, "}", function(out, from)
      local key, colon = string(text, from)
      local v, next_at = value(text, text:match("^%s*:()", colon))
      out[key] = v
      return next_at
    end)
  end
  local word, after = text:match("^([%w.+-]+)()", at)
  if words[word] ~= nil then return words[word], after end
  return assert(math.tointeger(word) or tonumber(word), word), after
end

-- Returns the value of a text.
function json.decode(text)
  local result, after = value(text, 1)
  assert(text:find("^%s*$", after), "text follows the value")
  return result
end

return json
