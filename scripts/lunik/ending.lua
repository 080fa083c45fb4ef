--- Ends the process: closes the machines first, so that the output of their guests is written.

local core = require "lunik.core"
local observe = require "lunik.observe"
local wait = require "lunik.wait"

local ending = {}

local shared = core.shared
shared.exit = shared.exit or os.exit
shared.close = shared.close or core.classes.Machine.methods.close -- which waits everywhere

--- Closes all machines, which restores terminals and writes files. On a vCPU's thread, where
-- closing is not possible, only writes their output.
function ending.close_machines()
  for _, m in ipairs(core.machines()) do
    local close = wait.possible() and m.close or shared.close
    if close == shared.close then observe.notify("closing", m) end
    if not pcall(close, m) then pcall(core.flush, m) end
  end
end

--- os.exit: closes the machines, then ends the process.
function ending.exit(...)
  ending.close_machines()
  observe.notify("exit", ...)
  shared.exit(...)
end

return ending
