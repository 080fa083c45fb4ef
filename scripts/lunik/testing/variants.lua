--- Tables of variants: one example for each combination of values.

local core = require "lunik.core"
local options = require "lunik.options"
local runner = require "lunik.testing.runner"

local variants = {}

local KINDS = { keys = "table", only = "any", no = "any", skip = "function", machine = "any",
  test = "function", name = "string" }

local function name_of(value)
  if type(value) == "table" then return core.text(value.name or value[1]) end
  return core.text(value)
end

-- "backend=ram share=false"
local function cell_name(keys, cell)
  local parts = {}
  for i, key in ipairs(keys) do parts[i] = ("%s=%s"):format(key, name_of(cell[key])) end
  return table.concat(parts, " ")
end

local function product(keys, values)
  local cells = { {} }
  for _, key in ipairs(keys) do
    local next_cells = {}
    for _, cell in ipairs(cells) do
      for _, value in ipairs(values[key]) do
        local copy = { [key] = value }
        for other, taken in pairs(cell) do copy[other] = taken end
        next_cells[#next_cells + 1] = copy
      end
    end
    cells = next_cells
  end
  return cells
end

-- Whether a cell fits a filter: a function, a Lua pattern for its name, or values by key, each of
-- which may be a list of choices.
local function fits(cell, filter)
  if type(filter) == "function" then return filter(cell) end
  if type(filter) == "string" then return cell.name:find(filter) ~= nil end
  for key, want in pairs(filter) do
    local found = false
    for _, choice in ipairs(type(want) == "table" and want or { want }) do
      found = found or cell[key] == choice or name_of(cell[key]) == choice
    end
    if not found then return false end
  end
  return true
end

local function list_of(filters)
  if filters == nil then return {} end
  if type(filters) == "table" and filters[1] ~= nil then return filters end
  return { filters }
end

local function any_fits(cell, filters)
  for _, filter in ipairs(filters) do
    if fits(cell, filter) then return true end
  end
  return false
end

local function check_filters(what, filters, keys)
  for _, filter in ipairs(filters) do
    if type(filter) == "table" then
      for key in pairs(filter) do
        if not keys[key] then
          options.fail("invalid", "variants: %s: '%s' is not a key%s", what, tostring(key),
            options.hint(key, options.keys(keys)))
        end
      end
    end
  end
end

--- The cells of a table of variants, in order: each has the value of every key, and its name. Of
-- `only` a cell has to fit one, of `no` none; $LUNIK_VARIANTS is a pattern for names.
function variants.cells(given)
  local keys = options.keys(options.table("variants: keys", given.keys))
  for _, key in ipairs(keys) do
    options.table(("variants: keys: %s"):format(key), given.keys[key])
  end
  local only, no = list_of(given.only), list_of(given.no)
  check_filters("only", only, given.keys)
  check_filters("no", no, given.keys)
  local selected, cells = os.getenv "LUNIK_VARIANTS", {}
  for _, cell in ipairs(product(keys, given.keys)) do
    cell.name = cell_name(keys, cell)
    if (#only == 0 or any_fits(cell, only)) and not any_fits(cell, no)
      and (not selected or cell.name:find(selected)) then
      cells[#cells + 1] = cell
    end
  end
  return cells
end

-- The machine's options for a cell: given, or made by a function.
local function machine_of(given, cell)
  local machine = given.machine
  if type(machine) == "function" then machine = machine(cell) end
  local all = { guest = cell.guest }
  for key, value in pairs(machine or {}) do all[key] = value end
  return all
end

--- Describes an example for each cell: test(t, cell), where t is the cell's own machine
-- (machine = false: nil). skip(cell) returns why a cell can't be tested here, or nil.
function variants.describe(given, new_machine)
  given = options.parse("variants", given, KINDS)
  if not package.loaded.busted then options.fail("state", "variants: needs busted") end
  for _, cell in ipairs(variants.cells(given)) do
    local name = given.name or cell.name
    if given.name and cell.name ~= "" then name = ("%s, %s"):format(given.name, cell.name) end
    runner.describe_example(name, function()
      local reason = given.skip and given.skip(cell)
      if reason then runner.skip(reason) end
      given.test(given.machine ~= false and new_machine(machine_of(given, cell)) or nil, cell)
    end)
  end
end

return variants
