--- Lists that keep a limited number of values: the oldest, and the newest.

local bounded = {}
bounded.__index = bounded

--- Makes one that keeps so many: a fifth of them the oldest.
function bounded.new(limit)
  return setmetatable({ limit = limit, first = limit // 5, count = 0, lost = 0, values = {} },
    bounded)
end

--- Appends a value, which may drop another one.
function bounded:add(value)
  self.count = self.count + 1
  local at = self.count
  if self.limit == 0 then
    self.lost = self.count
    return
  elseif at > self.limit then -- the newest ones are a ring behind the oldest
    self.lost = self.lost + 1
    at = self.first + 1 + (self.count - self.first - 1) % (self.limit - self.first)
  end
  self.values[at] = value
end

--- Returns the values in the order in which they were added.
function bounded:all()
  local all = table.move(self.values, 1, math.min(self.first, self.count), 1, {})
  local ring = self.limit - self.first
  local from = math.max(self.count - ring, self.first)
  for i = from + 1, math.min(self.count, from + ring) do
    all[#all + 1] = self.values[self.first + 1 + (i - self.first - 1) % ring]
  end
  return all
end

return bounded
