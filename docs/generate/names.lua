-- Where each documented name is: the pages' links.
local names = {}
names.__index = names

-- What variables are called in the texts, besides the names of their classes.
local VARIABLES = {
  m = "Machine", memory = "Space", io = "Space", d = "Dirty", t = "testing.Machine",
  ["t.journal"] = "testing.Journal", ["t.console"] = "testing.Console",
}

function names.new()
  return setmetatable({ places = {}, variables = {} }, names)
end

-- Adds names of a page; each is an anchor there. Of pages that have the same name the first counts.
function names:add(page, list)
  for _, name in ipairs(list) do
    self.places[name] = self.places[name] or page
    local class = name:match "^(%u%w*):"
    if class then
      self.variables[class:lower()] = class
    end
  end
end

-- Returns the documented name that a text means: m:wait and machine:wait are Machine:wait. near:
-- the prefix of the names that are looked for first.
function names:meant(name, near)
  for _, full in ipairs { near .. name, name } do
    if self.places[full] then
      return full
    end
  end
  local variable, method = name:match "^([%a.]+):(.*)$"
  local last = variable and variable:match "%a+$"
  local class = VARIABLES[variable] or VARIABLES[last] or self.variables[last]
  local full = class and class .. ":" .. method
  return full and self.places[full] and full
end

-- Returns a function that finds the link to a name, from a page. Pages lie in one folder.
function names:finder(page)
  local near = page:match "([^/]*)%.md$" .. "."
  return function(name)
    local meant = self:meant(name, near)
    local place = meant and self.places[meant]
    return place and (place == page and "" or place:match "[^/]*$") .. "#" .. meant
  end
end

-- Iterates over all names, and what variables' methods are called in texts, with their links.
function names:links()
  return coroutine.wrap(function()
    for name, place in pairs(self.places) do
      coroutine.yield(name, place .. "#" .. name)
    end
    for name, place in pairs(self.places) do
      local class, method = name:match "^([%w.]*%u%w*):(.*)$"
      for variable, of in pairs(VARIABLES) do
        if of == class then
          coroutine.yield(variable .. ":" .. method, place .. "#" .. name)
        end
      end
      if class and not class:find(".", 1, true) then
        coroutine.yield(class:lower() .. ":" .. method, place .. "#" .. name)
      end
    end
  end)
end

return names
