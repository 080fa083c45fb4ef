-- Runs the loop until fn returns a value, and returns that: a minute at most, since specs also run
-- with sanitizers on busy machines.
local lunik = require "lunik"

return function(fn)
  local limit = lunik.now() + 60
  while lunik.now() < limit do
    local value = fn()
    if value then return value end
    lunik.sleep(0.0005)
  end
  error("it does not happen", 2)
end
