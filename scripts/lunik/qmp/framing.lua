--- Cuts a stream of bytes into JSON values, which may follow each other without anything between.
--
-- A value that is too big or too deep, or that has a byte 0xff in it, is an error; the stream is
-- read again after the next end of line or byte 0xff. Other mistakes are left to whoever reads the
-- value.

local framing = {}

local SIZE = 16 << 20 -- of a value, in bytes
local LEVELS = 1024

local Framing = {}
Framing.__index = Framing

--- Makes one that calls take(text), or take(nil, what is wrong), for each value.
function framing.new(take)
  local self = setmetatable({ take = take, parts = {}, size = 0 }, Framing)
  self:reset()
  return self
end

--- Forgets what has not become a value.
function Framing:reset()
  if self.size ~= 0 then self.parts = {} end
  self.size, self.levels = 0, 0
  self.state, self.quoted, self.escaped = "between", false, false
end

-- Drops the value, and what follows up to a mark.
local function refuse(self, why)
  self:reset()
  self.state = "lost"
  self.take(nil, why)
end

local function keep(self, text, from, to)
  if to < from then return true end
  self.size = self.size + to - from + 1
  if self.size > SIZE then
    refuse(self, ("JSON value is too big (want at most %d bytes)"):format(SIZE))
    return false
  end
  self.parts[#self.parts + 1] = text:sub(from, to)
  return true
end

-- Hands out the value that ends at `to`. Returns where to go on.
local function hand_out(self, text, from, to)
  local value
  if self.size == 0 then -- as nearly always: it came at once
    value = text:sub(from, to)
  elseif keep(self, text, from, to) then
    value = table.concat(self.parts)
  else
    return to + 1
  end
  self:reset()
  self.take(value)
  return to + 1
end

local states = {}

function states.between(self, text, at)
  local from = text:find("[^ \t\r\n\xff]", at)
  if not from then return #text + 1 end
  local mark = text:sub(from, from)
  self.state = mark:find '[{%["]' and "value" or "word"
  if mark == '"' then
    self.quoted = true
    keep(self, text, from, from)
    from = from + 1
  end
  return from
end

-- Finds the next mark that is of interest in a value; at: where the search begins.
local function next_mark(self, text, at)
  if self.escaped then
    self.escaped = false
    at = at + 1
  end
  local where = text:find(self.quoted and '["\\\xff]' or '["{}%[%]\xff]', at)
  return where, where and text:sub(where, where)
end

-- Counts a mark; returns whether the value ends with it.
local function count(self, mark)
  if mark == '"' then
    self.quoted = not self.quoted
  elseif mark == "\\" then
    self.escaped = true
  else
    self.levels = self.levels + ((mark == "{" or mark == "[") and 1 or -1)
  end
  return not self.quoted and self.levels <= 0
end

function states.value(self, text, at)
  local from = at
  while at <= #text do
    local where, mark = next_mark(self, text, at)
    if not where then break end
    if mark == "\xff" then
      refuse(self, "Invalid JSON syntax: byte 0xff")
      return where + 1
    elseif count(self, mark) then
      return hand_out(self, text, from, where)
    elseif self.levels > LEVELS then
      refuse(self, ("JSON value has too many levels (want at most %d)"):format(LEVELS))
      return where
    end
    at = where + 1
  end
  keep(self, text, from, #text)
  return #text + 1
end

function states.word(self, text, at)
  local stop = text:find('[ \t\r\n{%["\xff]', at)
  if stop then return hand_out(self, text, at, stop - 1) end
  keep(self, text, at, #text)
  return #text + 1
end

function states.lost(self, text, at)
  local mark = text:find("[\n\xff]", at)
  if not mark then return #text + 1 end
  self:reset()
  return mark + 1
end

--- Reads on.
function Framing:feed(text)
  local at = 1
  while at <= #text do at = states[self.state](self, text, at) end
end

return framing
