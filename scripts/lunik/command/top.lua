--- `lunik top PATH`: shows the machines of another process.

local core = require "lunik.core"
local arguments = require "lunik.command.arguments"
local connection = require "lunik.command.connection"
local host = require "lunik.host"

local top = {}

local function number(options, key, least)
  local value = options[key] and tonumber(options[key])
  if options[key] and not (value and value >= least and value <= 1e6) then
    arguments.fail("'%s' is not a number (want at least %s)", options[key], least)
  end
  return value
end

function top.prepare(options)
  return {
    path = connection.path(options), delay = number(options, "delay", 0.1) or 1,
    count = number(options, "count", 1) or math.huge,
  }
end

function top.run(plan)
  local shown, link = 0, nil
  host.attach()
  host.on_signal(function(signal) os.exit(signal == 2 and 0 or 128 + signal) end)
  link = connection.new(plan.path, function(kind, text)
    if kind ~= "screen" then return end
    shown = shown + 1
    io.write(host.isatty(1) and "\27[H\27[J" or "", text)
    io.stdout:flush()
    if shown >= plan.count then link.close() end
  end)
  link.send("top", tostring(plan.delay))
  while link.open do core.run "once" end
  return 0
end

return top
