--- The kit's waits: for anything that a function can see, with time-outs that say what was waited
-- for and what came instead.

local core = require "lunik.core"
local patience = require "lunik.testing.patience"
local runner = require "lunik.testing.runner"
local wait = require "lunik.wait"
local waiting = require "lunik.waiting"

local await = {}

local EAGER = 50         -- looks that follow each other at once
local LONGEST = 0.01     -- seconds between looks

-- Calls look() until it returns a true value, and returns its results; nil after timeout seconds.
local function poll(what, timeout, look)
  local _ <close> = waiting.note(what, timeout)
  local deadline, pause = core.now() + timeout, 0
  local looks = 0
  while true do
    local found = table.pack(look())
    if found[1] then return table.unpack(found, 1, found.n) end
    if core.now() >= deadline then return nil end
    looks = looks + 1
    if looks > EAGER then pause = math.min(pause + 0.0005, LONGEST) end
    wait.sleep(pause)
  end
end

--- Calls look() until it returns a true value, and returns its results. Fails at once if the
-- console prints what it must not, or the machine can't go on; after the time-out with what was
-- waited for and what came instead. instead: a function that returns that, or the index of the
-- journal from which on events are looked at (default: those to come).
function await.on(t, what, timeout, look, instead)
  timeout = timeout * patience
  local from = math.type(instead) and instead or t.journal:position() + 1
  local function guarded()
    if t.console.failure then
      runner.fail(("%s while waiting for %s"):format(t.console.failure, what))
    end
    local results = table.pack(look())
    if results[1] then return table.unpack(results, 1, results.n) end
    local trouble = t:trouble()
    if trouble then runner.fail(("%s while waiting for %s"):format(trouble, what)) end
  end
  local found = table.pack(poll(what, timeout, guarded))
  if found[1] then return table.unpack(found, 1, found.n) end
  local came = type(instead) == "function" and instead() or t.journal:line(from)
  runner.fail(("waited %g s for %s; instead came: %s"):format(timeout, what, came))
end

local DEFAULT = 5

-- Names a function for people: the line on which it begins.
local function place_of(fn)
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

local function show(ok, value)
  if not ok then return "it raised: " .. core.text(value) end
  return "it returned " .. core.text(value)
end

--- Calls fn() until it returns a true value without raising an error; returns that value. Options:
-- timeout in seconds (default 5), what: words for the message.
function await.eventually(fn, options)
  options = require "lunik.options".parse("eventually", options,
    { timeout = "seconds", what = "string" })
  local what = options.what or "the function at " .. place_of(fn)
  local timeout = (options.timeout or DEFAULT) * patience
  local last
  local found = table.pack(poll(what, timeout, function()
    last = table.pack(pcall(fn))
    if last[1] and last[2] then return table.unpack(last, 2, last.n) end
  end))
  if found[1] then return table.unpack(found, 1, found.n) end
  runner.fail(("waited %g s for %s; at last %s"):format(timeout, what, show(last[1], last[2])))
end

return await
