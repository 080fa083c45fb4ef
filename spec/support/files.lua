-- Where tests are: C tests (test_x.c) and specs (x_spec.lua), anywhere below spec/.
local lines_of = require "spec.support.lines_of"

local files = {}

local function named(pattern)
  return lines_of(("find spec -name '%s' | LC_ALL=C sort"):format(pattern))
end

-- The paths of all, C tests first.
function files.all()
  local list = named "test_*.c"
  for _, path in ipairs(named "*_spec.lua") do
    table.insert(list, path)
  end
  return list
end

-- The path of the test with that name, with or without folders and extension. nil and why if there
-- is none.
function files.find(name)
  local base = name:match "([^/]*)$"
  local found = {}
  for _, path in ipairs(files.all()) do
    local file = path:match "([^/]*)$"
    if path == name then
      return path
    elseif file == base or file:match "^(.*)%.%a+$" == base then
      table.insert(found, path)
    end
  end
  if #found ~= 1 then
    return nil, #found == 0 and ("there is no test '%s'"):format(name)
      or ("'%s' may be %s"):format(name, table.concat(found, " or "))
  end
  return found[1]
end

return files
