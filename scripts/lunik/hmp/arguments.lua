--- The arguments of a monitor command, taken one after another from its line.

local expression = require "lunik.hmp.expression"
local options = require "lunik.options"

local Arguments = {}
Arguments.__index = Arguments

local arguments = {}

--- Returns the arguments in text; register(name) is for expressions.
function arguments.new(text, register)
  return setmetatable({ text = text, at = text:match "^%s*()", register = register }, Arguments)
end

--- Returns whether there are no more.
function Arguments:done()
  return self.at > #self.text
end

local function advance(self, after)
  self.at = self.text:match("^%s*()", after)
end

local escapes = { n = "\n", r = "\r", ["\\"] = "\\", ["'"] = "'", ['"'] = '"' }

local function quoted(self)
  local parts, at = {}, self.at + 1
  while true do
    local plain, mark, after = self.text:match('^([^\\"]*)(.?)()', at)
    parts[#parts + 1] = plain
    if mark == '"' then
      advance(self, after)
      return table.concat(parts)
    elseif mark == "" then
      options.fail("invalid", "'%s': a string has no end", self.text)
    end
    local char = self.text:sub(after, after)
    parts[#parts + 1] = escapes[char] or options.fail("invalid",
      "'%s': '\\%s' is not a character (want \\n, \\r, \\\\, \\' or \\\")", self.text, char)
    at = after + 1
  end
end

--- Takes a word, or a string in quotes; nil if there are no more.
function Arguments:word()
  if self:done() then return nil end
  if self.text:sub(self.at, self.at) == '"' then return quoted(self) end
  local word, after = self.text:match("^(%S+)()", self.at)
  advance(self, after)
  return word
end

--- Takes a word; raises an error that names it if there is none.
function Arguments:need_word(name)
  return self:word() or options.fail("invalid", "%s: is missing", name)
end

--- Takes an expression; nil if there are no more arguments.
function Arguments:number()
  if self:done() then return nil end
  local value, after = expression.take(self.text, self.at, self.register)
  advance(self, after)
  return value
end

--- The same for one that must be there.
function Arguments:need_number(name)
  return self:number() or options.fail("invalid", "%s: is missing", name)
end

--- Takes a format such as /10xw, of which defaults has what is not given: count, form (a letter of
-- "doxuci") and size in bytes.
function Arguments:format(defaults)
  local out = { count = defaults.count, form = defaults.form, size = defaults.size }
  local letters, after = self.text:match("^/(%S*)()", self.at)
  if not letters then return out end
  local count, rest = letters:match "^(%d*)(.*)$"
  out.count = count ~= "" and math.tointeger(tonumber(count)) or out.count
  local sizes = { b = 1, h = 2, w = 4, g = 8 }
  for letter in rest:gmatch "." do
    if sizes[letter] then
      out.size = sizes[letter]
    elseif ("doxuci"):find(letter, 1, true) then
      out.form = letter
    else
      options.fail("invalid", "/%s: '%s' is not a format (want a count, one of doxuci and one of "
        .. "bhwg)", letters, letter)
    end
  end
  if out.form == "c" and not rest:find "[bhwg]" then out.size = 1 end
  advance(self, after)
  return out
end

--- Takes the flag "-x" if it comes next.
function Arguments:flag(letter)
  local after = self.text:match("^%-" .. letter .. "%f[%s%z]()", self.at)
  if after then advance(self, after) end
  return after ~= nil
end

--- Takes all that is left, without white space at its end; "" if there is none.
function Arguments:rest()
  local rest = self.text:sub(self.at):match "^(.-)%s*$"
  self.at = #self.text + 1
  return rest
end

--- Fails if there are more.
function Arguments:finish()
  if not self:done() then
    options.fail("invalid", "'%s': is too much", self.text:sub(self.at))
  end
end

return arguments
