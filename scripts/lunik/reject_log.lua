--- Logs rejected accesses for people: one line each, at a limited rate.

local event = require "lunik.event"
local options = require "lunik.options"
local wait = require "lunik.wait"

local reject_log = {}

local LIMIT = 20 -- lines a second

local function to_stderr(line)
  event.tell("lunik: " .. line .. "\n")
end

--- lunik.log_rejected{limit=, write=}
function reject_log.start(opts)
  local opt = options.parse("log_rejected", opts, { limit = "count", write = "function" })
  local write, limit = opt.write or to_stderr, opt.limit or LIMIT
  local since, shown, hidden = -1, 0, 0
  return event.on_any_rejected(function(access)
    local now = wait.now()
    if now - since >= 1 then
      if hidden > 0 then write(("rejected: %d more were not shown"):format(hidden)) end
      since, shown, hidden = now, 0, 0
    end
    if shown < limit then
      write(("machine '%s': rejected: %s"):format(access.machine.name, access.text))
    elseif hidden == 0 then
      write(("rejected: more than %d in a second: the next are not shown"):format(limit))
    end
    if shown < limit then shown = shown + 1 else hidden = hidden + 1 end
  end)
end

return reject_log
