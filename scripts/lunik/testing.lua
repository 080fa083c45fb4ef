--- Tests of machines, for busted and for scripts: library/testing.lua describes it.

require "lunik"
local Test = require "lunik.testing.machine"
local await = require "lunik.testing.await"
local files = require "lunik.testing.files"
local guests = require "lunik.testing.guests"
local host = require "lunik.testing.host"
local numa = require "lunik.testing.numa"
local options = require "lunik.options"
local refused = require "lunik.testing.refused"
local runner = require "lunik.testing.runner"
local shared = require "lunik.testing.shared"
local subs = require "lunik.testing.subs"
local variants = require "lunik.testing.variants"

runner.install()

local testing = {
  machine = Test.new,
  shared = shared.new,
  eventually = await.eventually,
  file = files.file,
  directory = files.directory,
  huge_pages = files.huge_pages,
  skip = runner.skip,
  fail = runner.fail,
  cells = variants.cells,
  numa = numa.nodes,
  guests = guests.added,
  subs = subs.known,
  host = host,
}

Test.sub = subs.run

--- What the firmware's tables say of the machine's nodes.
function Test:srat() return numa.srat(self.m) end
function Test:slit() return numa.slit(self.m) end

--- Calls a function that must be refused and leave nothing behind: for machines that must not be
-- made.
function testing.refused(given)
  return refused.run(given)
end

--- Why a guest can't run here, or nil.
function testing.unavailable(guest)
  return guests.get(guest).unavailable()
end

--- Describes an example for each cell of a table of variants.
function testing.variants(given)
  variants.describe(given, Test.new)
end

-- Whether $LUNIK_GUESTS, a list of names, has the guest.
local function wanted(name)
  local list = os.getenv "LUNIK_GUESTS"
  if not list then return true end
  for word in list:gmatch "[%w_-]+" do
    if word == name then return true end
  end
  return false
end

--- Describes a group of examples for each guest: fn(guest). Without names: for all guests.
function testing.each_guest(names, fn)
  if type(names) == "function" then names, fn = guests.names, names end
  options.value("each_guest: fn", fn, "function")
  local busted = package.loaded.busted or options.fail("state", "each_guest: needs busted")
  for _, name in ipairs(names) do
    local guest = guests.get(name)
    if wanted(guest.name) then
      busted.describe(("on the %s guest"):format(guest.name), function() fn(name) end)
    end
  end
end

return testing
