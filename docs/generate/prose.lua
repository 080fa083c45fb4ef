-- Turns the plain text of comments into Markdown: names that are documented become links, what is
-- code is set as code, and characters that mean something to Markdown are escaped.
local prose = {}

local function escape(text)
  return (text:gsub("[\\`*_<>%[%]{}|~&#]", "\\%0"))
end

-- Sets text as code; the fence is longer than any run of backticks in it.
function prose.code(text)
  local fence = "`"
  while text:find(fence, 1, true) do
    fence = fence .. "`"
  end
  local pad = text:find "^`" or text:find "`$"
  return fence .. (pad and " " or "") .. text .. (pad and " " or "") .. fence
end

function prose.link(text, target)
  return target and ("[%s](%s)"):format(prose.code(text), target) or prose.code(text)
end

-- What may be code, in the order in which it is looked for at a place. Each returns the text of the
-- code, the name that it may refer to, or nil.
local function call_of(text, i, name)
  local rest = text:match("^%b()", i + #name) or text:match("^%b{}", i + #name)
  return name .. (rest or ""), name
end

local shapes = {
  -- $LUNIK_KERNEL
  function(text, i) return text:match("^%$%u[%u_]+", i) end,
  -- `code` that the comment marks itself
  function(text, i)
    local code = text:match("^`([^`]+)`", i)
    return code, code and code:match "^[%w_.:%-]+", code and #code + 2
  end,
  -- {code = "timeout"}, {"chardev-stdio", {...}}
  function(text, i) return text:match("^%b{}", i) end,
  -- lunik.Machine, lunik.event.acpi-ost, lunik.sandbox{...}, testing.machine
  function(text, i)
    local name = text:match("^lunik%.[%w_.%-]*[%w_]", i) or text:match("^testing%.[%w_.]*[%w_]", i)
    if name then return call_of(text, i, name) end
  end,
  -- m:add(), Machine:drain, m.memory:read()
  function(text, i, find)
    local name = text:match("^%a[%w_.]*:%l[%w_]+", i)
    if name and (find(name) or text:find("^[({]", i + #name)) then
      return call_of(text, i, name)
    end
  end,
  -- lunik_machine_new(), fn(event), os.exit(); names with underscores
  function(text, i)
    local name = text:match("^[%a_][%w_]*%.%l[%w_]+%f[(]", i) or text:match("^[%a_][%w_]*", i)
    local call = name and text:match("^%b()", i + #name)
    if call or name and name:find "%w_" then
      return name .. (call or ""), name
    end
  end,
}

-- Returns the Markdown of the code at i, and the position after it; or nil.
local function code_at(text, i, find)
  for _, shape in ipairs(shapes) do
    local code, name, length = shape(text, i, find)
    if code then
      return prose.link(code, name and find(name)), i + (length or #code)
    end
  end
end

-- Returns text as Markdown on one line. find(name) -> the link's target, or nil.
function prose.markdown(text, find)
  local out, i = {}, 1
  while i <= #text do
    local code, after = code_at(text, i, find)
    if not code then
      local word = text:match("^%w+", i) or text:sub(i, i)
      code, after = escape(word), i + #word
    end
    table.insert(out, code)
    i = after
  end
  local line = table.concat(out)
  return (line:gsub("^([-+])", "\\%1"):gsub("^(%d+)([.)])", "%1\\%2"))
end

-- Returns the first sentence of a text.
function prose.sentence(text)
  return text:match "^(.-[.!?])%s" or text
end

-- Returns blocks (see luacats.lua) as Markdown.
function prose.blocks(blocks, find)
  local out = {}
  for _, block in ipairs(blocks) do
    if block.code then
      table.insert(out, "```lua\n" .. block.code .. "\n```\n")
    else
      table.insert(out, prose.markdown(block.text, find) .. "\n")
    end
  end
  return table.concat(out, "\n")
end

return prose
