--- The guests that a test can run on, by name. Each is a table: unavailable() returns why it can't
-- run here, or nil; options(given) returns machine options; start(t) is called for a new test; and
-- methods that tests call through t.guest.

local options = require "lunik.options"

local guests = {}

local known = {
  scripted = function() return require "lunik.testing.guests.scripted" end,
  small = function() return require "lunik.testing.guests.small" end,
  linux = function() return require "lunik.testing.guests.linux" end,
}

--- The guests' names, the quickest first.
guests.names = { "scripted", "small", "linux" }

--- Guests that users have added: name -> table.
guests.added = {}

--- The guest with a name; a table is a guest itself.
function guests.get(name)
  if type(name) == "table" then return name end
  if guests.added[name] then return guests.added[name] end
  if known[name] then return known[name]() end
  local all = table.move(guests.names, 1, #guests.names, 1, {})
  for other in pairs(guests.added) do all[#all + 1] = other end
  options.fail("not-found", "guest: '%s' is not a guest%s (want %s)", tostring(name),
    options.hint(name, all), table.concat(all, ", "))
end

--- Why there are no vCPUs here, or nil.
function guests.no_kvm()
  local file = io.open("/dev/kvm", "r+")
  if not file then return "no /dev/kvm" end
  file:close()
end

--- What methods can do that a guest does not have: they skip the example with the reason.
function guests.missing(guest, name)
  return function()
    require "lunik.testing.runner".skip(("the %s guest can't %s"):format(guest.name, name))
  end
end

return guests
