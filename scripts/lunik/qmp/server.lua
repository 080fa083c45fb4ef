--- lunik.qmp{} and m:qmp(): QMP for other programs, and for scripts.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local chardev = require "lunik.chardev"
local dispatch = require "lunik.qmp.dispatch"
local json = require "lunik.json"
local monitor = require "lunik.qmp.monitor"
local observe = require "lunik.observe"
local stream = require "lunik.stream"

local server = {}

local kinds = { machine = "any", path = "any", chardev = "any", on_quit = "function" }

--- lunik.qmp{machine=, path= or chardev=, on_quit=}
function server.new(given)
  local opt = options.parse("qmp", given, kinds)
  local m = opt.machine
  if not core.is_a(m, "lunik.Machine") then
    options.fail("invalid", "qmp: machine: %s is not a machine (want one)", options.show(m))
  end
  event.check_open(m)
  if (opt.path == nil) == (opt.chardev == nil) then
    options.fail("invalid", "qmp: %s (want either path or chardev)",
      opt.path and "path and chardev can't go together" or "path is missing")
  end
  local object = chardev.add(m, opt.path or opt.chardev, chardev.free_id(m, "qmp"), "qmp")
  local ok, result = pcall(stream.of, m, object)
  if ok then ok, result = pcall(monitor.new, m, result, opt) end
  if not ok then
    if opt.path then m:object_del(object) end
    error(result, 0)
  end
  result.owns = opt.path ~= nil
  local state = event.state(m)
  state.monitors = state.monitors or {}
  table.insert(state.monitors, result)
  return result
end

local ends = { shutdown = true, crashed = true }

--- Keeps the loop running until the machine's run is over, also while it is paused or has not been
-- started.
function server.stay(m)
  local kept, watching, closing
  local function leave()
    kept:cancel()
    watching:off()
    closing:off()
  end
  kept = core.timer(1e9, leave)
  watching = observe.on("event", function(of, ev) if of == m and ends[ev.name] then leave() end end)
  closing = observe.on("closing", function(of) if of == m then leave() end end)
end

-- Returns the arguments as they are on the wire.
local function wire(args)
  local out = setmetatable({}, json.Object)
  for name, value in pairs(args) do
    options.value("qmp: argument", name, "string")
    out[name] = value
  end
  return out
end

--- m:qmp(name, args)
function server.call(m, name, args)
  event.check_open(m)
  options.value("qmp: command", name, "string")
  return dispatch.call(m, name, wire(options.table("qmp: arguments", args or {})))
end

return server
