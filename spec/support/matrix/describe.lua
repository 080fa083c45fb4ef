-- Describes rows of a matrix: each on every guest that can play it, a row's variants each on a
-- machine of its own. A row:
-- {name, keys = values by key, machine = options, or a function of the variant (false: the row
-- makes its own machines, once), skip = function(cell, guest), no_guests = {guest = why not},
-- test = function(t, cell, guest)}.
local busted = require "busted"
local testing = require "lunik.testing"

local function options_of(row, cell, guest)
  local machine = row.machine
  if type(machine) == "function" then machine = machine(cell) end
  local all = { guest = guest }
  for key, value in pairs(machine or {}) do all[key] = value end
  return all
end

-- A guest that can't run here skips a row once, not each of its variants.
local function describe_row(row, guest)
  local alone = row.machine == false
  local skipped = not alone and testing.unavailable(guest)
  testing.variants {
    name = row[1], keys = not skipped and row.keys or {},
    skip = function(cell)
      if skipped then return ("the %s guest: %s"):format(guest, skipped) end
      return row.no_guests and row.no_guests[guest] or row.skip and row.skip(cell, guest)
    end,
    machine = not alone and function(cell) return options_of(row, cell, guest) end,
    test = function(t, cell) row.test(t, cell, guest) end,
  }
end

-- Describes the rows of spec/support/matrix/GROUP.lua.
return function(group)
  busted.describe(group, function()
    local rows = require("spec.support.matrix." .. group)
    for _, row in ipairs(rows) do
      if row.machine == false then describe_row(row) end
    end
    testing.each_guest(function(guest)
      for _, row in ipairs(rows) do
        if row.machine ~= false then describe_row(row, guest) end
      end
    end)
  end)
end
