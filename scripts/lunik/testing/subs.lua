--- Lifecycle sub-tests: what happens to a machine before, during or after a scenario's step.

local lunik = require "lunik"
local options = require "lunik.options"
local patience = require "lunik.testing.patience"
local runner = require "lunik.testing.runner"

local subs = {}

local SEED = 0x5eed
-- Memory of the guest that no guest uses for itself, written in the background.
local SCRATCH, SCRATCH_SIZE = 32 << 20, 4 << 20

local function fill(t, address, size, what)
  t.guest:fill(address, size, SEED)
  local ok, why = t.guest:verify(address, size, SEED)
  if not ok then runner.fail(("fill: %s: %s"):format(what, why)) end
end

-- name -> function(t), or {once = function(t), during = function(t)}: "during" is repeated until
-- the scenario's step has ended.
subs.known = {
  nothing = function() end,

  -- The host resets the machine.
  reset = function(t)
    t.m:reset()
    t.guest:ready()
  end,

  -- The guest reboots.
  reboot = function(t) t.guest:reboot() end,

  -- The run ends, and the machine is started again.
  restart = function(t)
    t.m:shutdown()
    t.m:start()
    t.guest:ready()
  end,

  ["stop and continue"] = function(t)
    t.m:pause()
    lunik.sleep(0.01)
    t.m:resume()
  end,

  -- All memory that was plugged is written and read back; in the background, memory that the
  -- guest has anyway.
  fill = {
    once = function(t)
      t:settle()
      for id, dimm in pairs(t.dimms) do
        if dimm.state == "accepted" then fill(t, dimm.addr, dimm.size, id) end
      end
    end,
    during = function(t)
      fill(t, SCRATCH, SCRATCH_SIZE, "memory that was there before")
      lunik.sleep(0)
    end,
  },
}

--- The names of all sub-tests.
function subs.names()
  return options.keys(subs.known)
end

local function find(name)
  local sub = subs.known[name]
  if not sub then
    options.fail("not-found", "sub: '%s' is not a sub-test%s (want %s)", tostring(name),
      options.hint(name, subs.names()), table.concat(subs.names(), ", "))
  end
  if type(sub) == "function" then return { once = sub } end
  return sub
end

-- Runs the sub-test in the background while fn runs.
local function during(t, sub, fn)
  local stop = false
  local task = lunik.spawn(function()
    lunik.sleep(0)
    if not sub.during then return sub.once(t) end
    repeat sub.during(t) until stop
  end)
  local results = table.pack(pcall(fn))
  stop = true
  local ok, err = pcall(task.wait, task, { timeout = 2 * t.timeout * patience })
  if not results[1] then error(results[2], 0) end
  if not ok then error(err, 0) end
  return table.unpack(results, 2, results.n)
end

--- t:sub(name): runs a sub-test now. t:sub(name, when, fn): before, during or after fn, whose
-- results it returns.
function subs.run(t, name, when, fn)
  local sub = find(name)
  if not when then return sub.once(t) end
  options.choice("sub: when", when, { "before", "during", "after" })
  options.value("sub: fn", fn, "function")
  if when == "during" then return during(t, sub, fn) end
  if when == "before" then sub.once(t) end
  local results = table.pack(fn())
  if when == "after" then sub.once(t) end
  return table.unpack(results, 1, results.n)
end

return subs
