-- For specs: the same again and again, which must not make the process hold more.
-- FIGURES=1 prints what it held a quarter through and at the end.
local heap = require "faults.heap"
local lunik = require "lunik"
local process = require "spec.support.process"

local growth = {}

local QUARTER = 4
local WARM = 2             -- rounds after which tables and caches are as large as they will be
local DEADLINE = 10        -- seconds; memory is released a grace period after its free
local SANITIZERS_MIB = 200 -- their own memory, which grows for a while

-- COUNTED: scarce resources, of which a cycle may leave none. SIZED: each may grow by its slack,
-- for allocators and tables, whatever the number of cycles.
local COUNTED = { "fds", "threads", "slots" }
local SIZED = {
  { name = "maps", unit = "mappings", slack = 24 },
  { name = "heap", unit = "KiB allocated", slack = 96 },
  { name = "rss", unit = "KiB resident", slack = 8 << 10 },
}

local function held()
  local now = process.holds()
  now.heap = heap() >> 10
  now.rss = process.rss() << 10
  return now
end

-- Returns the resources in use after those of closed machines are released.
local function settled()
  local last = held()
  for _ = 1, 100 do
    lunik.sleep(0.02)
    local now = held()
    local same = now.heap == last.heap
    for _, name in ipairs(COUNTED) do same = same and now[name] == last[name] end
    if same then return now end
    last = now
  end
  return last
end

local function figures(n, before, after, seconds)
  local text = {}
  for _, name in ipairs(COUNTED) do
    text[#text + 1] = ("%s %d to %d"):format(name, before[name], after[name])
  end
  for _, kind in ipairs(SIZED) do
    text[#text + 1] = ("%s %d to %d"):format(kind.unit, before[kind.name], after[kind.name])
  end
  return ("%d times: %s; %.0f s"):format(n, table.concat(text, ", "), seconds)
end

-- Describes the resources that have grown from before to after; nil if none has.
local function excess(before, after)
  local sanitized = process.sanitized()
  local extra = {}
  for _, name in ipairs(COUNTED) do
    if after[name] > before[name] then
      extra[#extra + 1] = ("%d %s more"):format(after[name] - before[name], name)
    end
  end
  for _, kind in ipairs(SIZED) do
    local slack = kind.slack
    if sanitized then slack = kind.name == "rss" and SANITIZERS_MIB << 10 or math.huge end
    if after[kind.name] > before[kind.name] + slack then
      extra[#extra + 1] = ("%d %s more"):format(after[kind.name] - before[kind.name], kind.unit)
    end
  end
  return extra[1] and table.concat(extra, ", ")
end

--- Calls step(i) for i = 1..n, and fails if the process holds more at the end than a quarter
-- through.
function growth.none(n, step)
  local start, before = lunik.now(), nil
  local first = math.min(math.max(n // QUARTER, WARM), n)
  for i = 1, n do
    step(i)
    if i == first then before = settled() end
  end
  local seconds = lunik.now() - start
  local deadline = lunik.now() + DEADLINE
  local after = settled()
  while excess(before, after) and lunik.now() < deadline do
    lunik.sleep(0.05)
    after = held()
  end
  if os.getenv "FIGURES" then print("  " .. figures(n, before, after, seconds)) end
  local extra = excess(before, after)
  if extra then error(("after %d times: %s"):format(n, extra), 2) end
end

return growth
