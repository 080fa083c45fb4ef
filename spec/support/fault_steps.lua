-- For specs: machines whose calls fail, and steps on them (spec/support/faults.lua).
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"
local walks = require "spec.support.faults"

local steps = {}

local PLACES = { 0x200000, 0x80000000, 0x80001000, 0x80200000 }

-- What can be seen of a machine, and what its guest finds in memory: a slot that KVM has lost shows
-- there alone.
function steps.state_of(m)
  local lines = { walks.snapshot(m) }
  if m.accel == "kvm" and m.state == "running" then
    for i, address in ipairs(PLACES) do
      lines[i + 1] = select(2, small.run(m, ("hash 0x%x 64"):format(address)))
    end
  end
  return table.concat(lines, "\n")
end

-- Steps on a machine; undo may be left out where a run leaves nothing to undo.
function steps.on(m, list)
  for _, step in ipairs(list) do
    step.state = step.state or function() return steps.state_of(m) end
    step.undo = step.undo or function() end
    -- Where KVM could not take a change back the machine is paused until it can.
    step.failed = step.failed or function()
      lunik.sleep(0)
      if m.accel == "kvm" and m.state == "paused" then m:resume() end
    end
  end
  return list
end

function steps.adding(m, kind, props, all)
  return {
    name = kind, names = { props.id, kind }, all = all,
    run = function() m:object_add(kind, props) end,
    undo = function() m:object_del(props.id) end,
  }
end

function steps.plug(m, n)
  return m:device_add("pc-dimm", { id = "dimm" .. n, memdev = "mem" .. n })
end

-- Ejects what was asked for.
function steps.reset(m)
  if m.accel == "kvm" then m:console():read() end
  m:reset()
  if m.accel == "kvm" then small.ready(m) end
end

function steps.unplug(m, n)
  m:device_del("dimm" .. n)
  steps.reset(m)
end

function steps.add_memory(m)
  for n = 1, 3 do m:object_add("memory-backend-ram", { id = "mem" .. n, size = "128M" }) end
end

-- A running pc whose guest is idle.
function steps.running(accel, more)
  local kvm = accel == "kvm"
  local m = machines.new({ board = "pc", accel = accel, memory = "32M", maxmem = "2G", slots = 4,
    serial = "buffer", cpus = kvm and 2 or nil,
    kernel = kvm and small.image "small.elf" or nil }, more)
  m:on("error", function() end) -- which would be printed
  if kvm then
    small.start(m)
  else
    m:start()
  end
  return m
end

return steps
