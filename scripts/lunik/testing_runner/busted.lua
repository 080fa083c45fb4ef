-- Runs busted in the lunik command, with its arguments, for one spec file. When the runner ends the
-- process, a record says where it was.

local frames = require "lunik.testing_runner.frames"
local records = require "lunik.testing_runner.records"

-- As in the lunik command: in lua5.4's own mode full collections are slower, and the kit asks for
-- some with each example.
collectgarbage "incremental"

local found, host = pcall(require, "lunik.host")
if found then
  host.end_with_parent() -- even one that is killed
  host.on_signal(function(signal)
    records.write("stopped", frames(debug.traceback("", 2), 1) or "")
    os.exit(128 + signal)
  end)
  require("lunik.waiting").display {
    show = function(first, _, now) records.write("waiting", first.what, now - first.since) end,
    hide = function() records.write("waiting", "", 0) end,
  }
end

require "busted.runner" { standalone = false }
os.exit(true, true)
