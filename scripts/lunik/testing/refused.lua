--- t:refused{}: a call must raise an error, with a code and words, and change nothing.

local board = require "lunik.board"
local core = require "lunik.core"
local host = require "lunik.testing.host"
local inspect = require "lunik.inspect"
local options = require "lunik.options"
local runner = require "lunik.testing.runner"
local wait = require "lunik.wait"

local refused = {}

-- ---- what must not change ----------------------------------------------------------------------

local function show(value)
  if type(value) == "table" then return table.concat(value, " ") end
  return type(value) == "userdata" and core.text(value) or tostring(value)
end

-- Not how much a chardev has written, which changes while a guest runs.
local function add_properties(lines, object)
  for _, property in ipairs(inspect.properties(object) or {}) do
    if not (object:is "chardev" and property.readonly) then
      lines[#lines + 1] = ("%s: %s = %s"):format(object.path, property.name,
        show(object:get(property.name)))
    end
  end
end

-- Everything that can be seen of a machine, as lines.
local function snapshot(m)
  if not m then return {} end
  if m.state == "closed" then return { "the machine is closed" } end
  local lines = { "the machine is " .. m.state,
    ("%d memslots"):format(m.stats.memslots) }
  for _, options_of_tree in ipairs { { disabled = true }, { flat = true } } do
    for line in m:mtree(options_of_tree):gmatch "[^\n]+" do lines[#lines + 1] = line end
  end
  for _, device in ipairs(m:memory_devices()) do
    local data = device.data
    lines[#lines + 1] = ("%s in %s at 0x%x, %s"):format(data.id,
      data.slot and ("slot %d"):format(data.slot) or "no slot", data.addr, board.show(data.size))
  end
  for _, object in ipairs(m:objects()) do
    lines[#lines + 1] = ("%s (%s)"):format(object.path, object.type)
    add_properties(lines, object)
  end
  return lines
end

-- Lines of one list that the other does not have.
local function missing_in(lines, others)
  local count, found = {}, {}
  for _, line in ipairs(others) do count[line] = (count[line] or 0) + 1 end
  for _, line in ipairs(lines) do
    if (count[line] or 0) == 0 then found[#found + 1] = line else count[line] = count[line] - 1 end
  end
  return found
end

-- Words for the first differences, or nil.
local function difference(before, after)
  local gone, new = missing_in(before, after), missing_in(after, before)
  local lines = {}
  for i = 1, math.min(#gone, 3) do lines[#lines + 1] = "  gone: " .. gone[i] end
  for i = 1, math.min(#new, 3) do lines[#lines + 1] = "  new:  " .. new[i] end
  return lines[1] and table.concat(lines, "\n")
end

-- ---- the error ---------------------------------------------------------------------------------

local KNOWN = { "code", "words", "fn", 1 }

local function parse(given)
  options.table("refused", given)
  local known = {}
  for _, key in ipairs(KNOWN) do known[key] = true end
  options.known("refused", given, known)
  local words = given.words
  if type(words) == "string" then words = { words } end
  return options.value("refused: fn", given.fn or given[1], "function"), words or {}
end

local function check_error(err, code, words)
  local is_error = type(err) == "table" and err.code
  if code and (not is_error or err.code ~= code) then
    runner.fail(("refused: the error's code is %s, not '%s': %s"):format(
      is_error and "'" .. err.code .. "'" or "missing", code, core.text(err)))
  end
  local message = is_error and err.message or core.text(err)
  for _, word in ipairs(words) do
    if not message:find(word, 1, true) then
      runner.fail(("refused: the message does not say '%s': %s"):format(word, message))
    end
  end
end

--- Calls given.fn (or given[1]), which must raise an error with the code given.code, whose message
-- has all of given.words. Fails if anything of test t's machine has changed, or if this process
-- holds more than before. Returns the error.
function refused.run(given, t)
  local fn, words = parse(given)
  local m = t and t.m
  wait.sleep(0)
  local state, before = snapshot(m), host.holds()
  local ok, err = pcall(fn)
  if ok then runner.fail("refused: no error was raised") end
  check_error(err, given.code, words)
  wait.sleep(0)
  local changed = difference(state, snapshot(m))
  if changed then
    runner.fail(("refused: '%s' has changed the machine:\n%s"):format(core.text(err), changed))
  end
  local left = host.left_behind(before)
  if left then runner.fail(("refused: '%s' leaves behind %s"):format(core.text(err), left)) end
  return err
end

return refused
