-- For specs: makes each call of a step fail in turn that the library makes into libc and libuv, and
-- looks at what becomes of it. FULL=1 fails every call; else of those that are reached by the same
-- way through the library's functions only the first, which takes a fraction of the time.
local lunik = require "lunik"
local faults = require "faults"
local inspect = require "lunik.inspect"
local process = require "spec.support.process"

local FULL = os.getenv "FULL"
local MODES = { { "one" }, { "on", stay = true } } -- one call fails; it and all that follow

local walks = { full = FULL ~= nil }

-- ---- what can be seen of a machine -------------------------------------------------------------

local function show(value)
  return type(value) == "table" and table.concat(value, " ") or tostring(value)
end

-- Not how much a chardev has written, which changes while a guest runs.
local function properties(lines, object)
  for _, p in ipairs(inspect.properties(object)) do
    if not (object:is "chardev" and p.readonly) then
      lines[#lines + 1] = ("  %s = %s"):format(p.name, show(object:get(p.name)))
    end
  end
end

--- Everything as one text.
function walks.snapshot(m)
  local lines = { m.state, m:mtree {}, m:mtree { flat = true } }
  for _, object in ipairs(m:objects()) do
    lines[#lines + 1] = ("%s %s"):format(object.path, object.type)
    properties(lines, object)
  end
  for _, device in ipairs(m:memory_devices()) do
    lines[#lines + 1] = ("%s at 0x%x"):format(device.data.id, device.data.addr)
  end
  return table.concat(lines, "\n")
end

--- The first lines in which two texts differ.
local function difference(before, after)
  local old, new = {}, {}
  for line in before:gmatch "[^\n]*" do old[#old + 1] = line end
  for line in after:gmatch "[^\n]*" do new[#new + 1] = line end
  for i = 1, math.max(#old, #new) do
    if old[i] ~= new[i] then return ("'%s' became '%s'"):format(old[i], new[i]) end
  end
end

-- ---- reports -----------------------------------------------------------------------------------

local function where(module)
  return (os.getenv "LUNIK_BUILD" or "build") .. "/"
    .. (module == "core.so" and "lua/lunik/core.so" or module)
end

--- Return addresses as functions and lines.
function walks.trace_text(trace)
  local lines = {}
  for i = 1, math.min(#trace, 12) do
    local module, offset = trace[i]:match "^(%S+) (%S+)$"
    local pipe = assert(io.popen(("addr2line -sfpe '%s' %s 2>&1"):format(where(module), offset)))
    lines[i] = "      " .. pipe:read "a":gsub("\n", "")
    pipe:close()
  end
  return table.concat(lines, "\n")
end

--- The memory that was taken while armed and stays, after those who free it later have had time.
function walks.blocks()
  local deadline = lunik.now() + 10
  repeat
    lunik.sleep(0.01)
    collectgarbage()
    local list = faults.blocks()
    if #list == 0 or lunik.now() > deadline then return list end
  until false
end

--- The same as a text, or nil.
function walks.leaked()
  local lines = {}
  for i, block in ipairs(walks.blocks()) do
    if i > 8 then break end
    lines[i] = ("point %d: %d bytes leaked\n%s"):format(block.point, block.size,
      walks.trace_text(block.trace))
  end
  return lines[1] and table.concat(lines, "\n")
end

local Walk = {}
Walk.__index = Walk

function Walk:complain(text, trace)
  self.problems = self.problems + 1
  if self.problems > (tonumber(os.getenv "LIMIT") or 8) then return end
  self.report[#self.report + 1] = ("%s, %s: %s\n%s"):format(self.step.name, self.where, text,
    trace and walks.trace_text(trace) or "")
end

-- ---- one point ---------------------------------------------------------------------------------

function Walk:check_error(err, trace)
  local code = type(err) == "table" and rawget(err, "code")
  if not code or code == "unknown" then
    return self:complain("not a clear error: " .. tostring(err), trace)
  end
  local named = not self.step.names
  for _, name in ipairs(self.step.names or {}) do
    named = named or err.message:find(name, 1, true)
  end
  if not named then
    self:complain(("'%s' does not say what failed (want %s)"):format(err.message,
      table.concat(self.step.names, " or ")), trace)
  end
  if os.getenv "SHOW" then print(self.where, err.code, err.message) end
end

--- Runs the step with the n-th call failing. Returns whether one failed.
function Walk:point(n, mode)
  local step = self.step
  faults.arm { at = n, stay = mode.stay, all = step.all, interrupt = self.interrupt }
  local ok, err = pcall(step.run)
  local _, name, trace = faults.disarm()
  if not name then
    assert(ok, ok or tostring(err))
    step.undo()
    return false
  end
  self.points = self.points + 1
  self.where = ("point %d (%s, %s)"):format(n, mode[1], name)
  if ok then
    step.undo()
  elseif self.interrupt or step.never then
    self:complain("must not fail: " .. tostring(err), trace)
  else
    self:check_error(err, trace)
  end
  if step.failed and not ok then step.failed() end
  local changed = difference(self.before, step.state())
  if changed then
    self:complain("the state has changed: " .. changed .. "; " .. tostring(err), trace)
    error("no use in going on after a change of state:\n" .. table.concat(self.report, "\n"), 0)
  end
  return true
end

-- ---- the walk ----------------------------------------------------------------------------------

--- The points to visit: all of them, or those that were not seen yet.
function Walk:plan(seen)
  local step, list = self.step, {}
  faults.arm { record = true, all = step.all, interrupt = self.interrupt }
  step.run()
  local count = faults.disarm()
  step.undo()
  for n = 1, count do
    local id = faults.point(n)
    if FULL or not seen[id] then list[#list + 1] = n end
    seen[id] = true
  end
  return list
end

function Walk:check_leaks(held)
  self.step.run() -- what is kept until the next time is replaced
  self.step.undo()
  local extra = process.left_behind(held, 8)
  if extra then self:complain("left behind: " .. extra) end
  for _, block in ipairs(walks.blocks()) do
    self.where = ("point %d"):format(block.point)
    self:complain(("%d bytes leaked"):format(block.size), block.trace)
  end
end

function Walk:step_through(step, seen)
  self.step = step
  step.run() -- what grows once, grows now
  step.undo()
  self.before = step.state()
  local list = self:plan(seen)
  local held = process.holds()
  faults.forget()
  for _, mode in ipairs(self.interrupt and { MODES[1] } or MODES) do
    for _, n in ipairs(list) do self:point(n, mode) end
  end
  self:check_leaks(held)
  faults.forget()
end

--- Walks through steps, each {name=, run=, undo=, state=, ...}: run has its calls fail in turn,
-- undo takes back a run that went well, state() tells as a text what must not change. More fields:
-- names, of which an error's message has to contain one; all: calls of all threads count; never:
-- run must not fail; failed() comes after a failure; go_on() does what the next steps need.
-- options: interrupt: calls are interrupted instead. Returns problems as a text, or nil, and how
-- many points there were.
function walks.walk(steps, options)
  local seen = {}
  local self = setmetatable({ report = {}, problems = 0, points = 0, interrupt = options
    and options.interrupt }, Walk)
  for _, step in ipairs(steps) do
    self:step_through(step, seen)
    if step.go_on then step.go_on() end
  end
  if self.problems > #self.report then
    self.report[#self.report + 1] = ("%d more"):format(self.problems - #self.report)
  end
  return self.report[1] and table.concat(self.report, "\n"), self.points
end

--- Fails with the problems of the walk.
function walks.assert(steps, options)
  local problems, points = walks.walk(steps, options)
  if problems then error(problems, 0) end
  assert(points > 0 or options and options.interrupt, "there was no point to fail at")
  if os.getenv "SHOW" then print(points .. " points") end
  return points
end

return walks
