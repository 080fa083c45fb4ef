--- The end of the process: machines are closed before it, so that what their guests have written
-- arrives.

local core = require "lunik.core"
local wait = require "lunik.wait"

local ending = {}

local shared = core.shared
shared.exit = shared.exit or os.exit
shared.close = shared.close or core.classes.Machine.methods.close -- which waits everywhere

--- Closes what still runs, so that terminals and files are left as they should be. A vCPU's thread
-- can't wait for that; the output goes out all the same.
function ending.close_machines()
  for _, m in ipairs(core.machines()) do
    local close = wait.possible() and m.close or shared.close
    if not pcall(close, m) then pcall(core.flush, m) end
  end
end

--- os.exit: the same, then the end.
function ending.exit(...)
  ending.close_machines()
  shared.exit(...)
end

return ending
