--- Keeps what a console has printed, with the time of each piece, in a limited number of bytes: the
-- beginning and the end.

local output = {}
output.__index = output

local PIECE = 4096 -- bytes: longer lines are cut
local SOON = 50000000 -- ns that the start of a line waits for its end

--- Makes one that keeps so many bytes; a quarter of them is for the beginning.
function output.new(name, limit)
  return setmetatable({
    name = name, lost = 0,
    beginning = {}, room = limit // 4,
    ending = {}, first = 1, last = 0, size = 0, limit = limit - limit // 4,
    rest = "", since = 0, -- the start of a line
  }, output)
end

-- Keeps a piece: in the beginning while that has room, else at the end, whose oldest ones go.
local function keep(self, time, text)
  if #text <= self.room then
    self.room = self.room - #text
    self.beginning[#self.beginning + 1] = { time, text }
    return
  end
  self.room = -1
  self.last = self.last + 1
  self.ending[self.last] = { time, text }
  self.size = self.size + #text
  while self.size > self.limit do
    local size = #self.ending[self.first][2]
    self.ending[self.first] = nil
    self.first = self.first + 1
    self.size, self.lost = self.size - size, self.lost + size
  end
end

local function keep_rest(self)
  if self.rest ~= "" then keep(self, self.since, self.rest) end
  self.rest = ""
end

--- Adds text printed at a time (ns); lost: how many bytes before it have not been seen.
function output:add(time, text, lost)
  self.lost = self.lost + (lost or 0)
  if time - self.since > SOON then keep_rest(self) end
  if self.rest == "" then self.since = time end
  text = self.rest .. text
  local at = 1
  while at <= #text do
    local piece = text:sub(at, at + PIECE - 1)
    local size = piece:find "\n[^\n]*$" or (#piece == PIECE and PIECE)
    if not size then break end
    keep(self, self.since, piece:sub(1, size))
    at, self.since = at + size, time
  end
  self.rest = text:sub(at)
end

--- Returns the pieces {{time, text}, ...}, how many bytes are lost, and after how many pieces.
function output:all()
  keep_rest(self)
  local pieces = table.move(self.beginning, 1, #self.beginning, 1, {})
  local before = #pieces
  table.move(self.ending, self.first, self.last, before + 1, pieces)
  return pieces, self.lost, before
end

return output
