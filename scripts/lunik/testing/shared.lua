--- One boot for many examples: a machine that each example gets back as it was.

local core = require "lunik.core"
local Test = require "lunik.testing.machine"
local runner = require "lunik.testing.runner"

local shared = {}

local function ids_of(m)
  local ids = {}
  for _, object in ipairs(m:objects()) do ids[object.path] = true end
  return ids
end

-- Takes back what an example has left: DIMMs, then objects.
local function restore(t, before)
  t.guest:idle()
  t:settle()
  for id in pairs(t.dimms) do
    if not before.dimms[id] then t:unplug(id) end
  end
  t:check()
  local left = {}
  for _, object in ipairs(t.m:objects()) do
    if not before.objects[object.path] then left[#left + 1] = object.path end
  end
  if left[1] then
    runner.fail("left behind on the shared machine: " .. table.concat(left, ", "))
  end
end

local function copy(t)
  local all = {}
  for key, value in pairs(t) do all[key] = value end
  return all
end

-- What an example that uses the machine has in its list of fixtures.
local function user_of(self)
  local t = self.real
  local before = { dimms = copy(t.dimms), objects = ids_of(t.m) }
  return {
    details = function() return t:details() end,
    finish = function(_, failed)
      self.used = false
      local ok, err = true, nil
      if not failed then ok, err = pcall(restore, t, before) end
      if not failed and ok and t.m.state ~= "closed" then return end
      t:close()
      self.real = nil
      runner.forget_holds()
      if not ok then error(err, 0) end
    end,
  }
end

-- The machine for the example that runs; boots it if there is none.
local function current(self)
  if self.real and self.real.m.state == "closed" then self.real = nil end
  if not self.real then
    runner.forget_holds()
    self.real = runner.apart(Test.new, self.options)
  end
  if not self.used and runner.inside() then
    self.used = true
    runner.forget_resident()
    runner.add(user_of(self))
  end
  return self.real
end

--- A test that is booted when it is first used, and closed at the end of the group of examples that
-- it is made in. An example that fails, or leaves the machine otherwise than it was, ends it: the
-- next boots another.
function shared.new(given)
  local self = { options = given }
  local busted = package.loaded.busted
    or error(core.error("state", "shared: needs busted (want testing.machine)"), 0)
  busted.teardown(function()
    if self.real then self.real:close() end
    self.real = nil
  end)
  return setmetatable({}, {
    __index = function(_, key) return current(self)[key] end,
    __newindex = function(_, key, value) current(self)[key] = value end,
    __tostring = function() return tostring(self.real or "shared test (not booted)") end,
  })
end

return shared
