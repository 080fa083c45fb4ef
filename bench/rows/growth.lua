-- How costs grow with sizes: exponents between two sizes. 1 is linear, 0 is flat.
local lunik = require "lunik"
local process = require "bench.process"

local LINEAR, FLAT = 1.1, 0.2
local PAGE = 4096
local SETTLE = 0.05 -- seconds, after which memory replaced by the preparation is freed

local function machine(options)
  options = options or {}
  options.accel = "none"
  return lunik.machine(options)
end

-- Each case: name, description, the two sizes, the largest exponent, and a function that prepares n
-- items and returns the function to be timed and one that ends everything.
local cases = {}

local function case(name, what, sizes, at_most, prepare)
  cases[#cases + 1] =
    { name = name, what = what, sizes = sizes, at_most = at_most, prepare = prepare }
end

-- ---- dirty pages --------------------------------------------------------------------------------

case("dirty:pages() of one run", "all n pages of a region are dirty, one run; total",
  { 32768, 262144 }, LINEAR, function(n)
    local m = machine { board = "micro", memory = n * PAGE }
    local dirty = m:dirty()
    dirty:start()
    m:fill(0, n * PAGE, 1)
    dirty:sync()
    return function()
      local count = 0
      for _ in dirty:pages() do count = count + 1 end
      assert(count == n, count)
    end, function() m:close() end
  end)

-- ---- console -----------------------------------------------------------------------------------

local COM1 = 0x3f8

local function print_bytes(m, text)
  for i = 1, #text do m:outb(COM1, text:byte(i)) end
  lunik.run "nowait"
end

local function expecting(what, pattern)
  case(what, "n bytes are printed, 64 at a time, while they are looked at; total",
    { 16384, 131072 }, LINEAR, function(n)
      local m = machine { board = "micro", memory = "1M", serial = "buffer" }
      local task = lunik.spawn(function() m:console():expect(pattern, { timeout = 100 }) end)
      local line = ("x"):rep(63) .. "\n"
      return function()
        for _ = 1, n // #line do print_bytes(m, line) end
        print_bytes(m, "host login: ")
        task:wait { timeout = 100 }
      end, function() m:close() end
    end)
end

expecting("console:expect() of text", "login: ")
expecting("console:expect() of a pattern", "(%w+) login: ")

-- ---- events and waits ---------------------------------------------------------------------------

case("watch:wait() of a backlog", "n events wait in a watch and are taken one by one; total",
  { 4000, 40000 }, LINEAR, function(n)
    local m = machine()
    local watch = m:watch "bench"
    for _ = 1, n do m:emit "bench" end
    lunik.run "nowait"
    return function()
      for _ = 1, n do watch:wait { timeout = 1 } end
    end, function() m:close() end
  end)

case("filtered waits", "n coroutines wait for an event with a field of their own; total",
  { 500, 2000 }, LINEAR, function(n)
    local m = machine()
    local tasks = {}
    for i = 1, n do
      tasks[i] = lunik.spawn(function() m:wait("bench", { number = i, timeout = 100 }) end)
    end
    return function()
      for i = 1, n do m:emit("bench", { number = i }) end
      for i = 1, n do tasks[i]:wait { timeout = 100 } end
    end, function() m:close() end
  end)

case("Subscription:off()", "n handlers of an event are taken off, the oldest first; total",
  { 2000, 20000 }, LINEAR, function(n)
    local m = machine()
    local subscriptions = {}
    for i = 1, n do subscriptions[i] = m:on("bench", function() end) end
    return function()
      for i = 1, n do subscriptions[i]:off() end
    end, function() m:close() end
  end)

case("joining tasks", "n coroutines wait for the end of another one; total",
  { 1000, 10000 }, LINEAR, function(n)
    local m = machine()
    local first = lunik.spawn(function() m:wait("bench", { timeout = 100 }) end)
    local joined = 0
    for _ = 1, n do
      lunik.spawn(function()
        first:wait { timeout = 100 }
        joined = joined + 1
      end)
    end
    return function()
      m:emit "bench"
      while joined < n do lunik.run "once" end
    end, function() m:close() end
  end)

-- ---- the memory map -----------------------------------------------------------------------------

local function siblings(m, n, spacing, size)
  local regions = {}
  m:transaction(function()
    for i = 1, n do
      regions[i] = m:region { kind = "io", name = "r" .. i, size = size, read = function() end }
      m.memory.root:add(regions[i], i * spacing, { priority = i, overlap = true })
    end
  end)
  return regions
end

case("undoing a transaction", "n regions are added and taken out again by an error; total",
  { 1000, 10000 }, LINEAR, function(n)
    local m = machine()
    return function()
      pcall(m.transaction, m, function()
        for i = 1, n do
          m.memory.root:add(m:region { kind = "io", name = "r", size = PAGE,
            read = function() end }, i * 2 * PAGE)
        end
        error "undo"
      end)
    end, function() m:close() end
  end)

case("a priority among siblings", "one of n neighbours in the middle changes its priority",
  { 1000, 10000 }, FLAT, function(n)
    local m = machine()
    local regions = siblings(m, n, 2 * PAGE, PAGE)
    return function()
      for i = 1, 400 do regions[n // 2].priority = i % 2 * n end
    end, function() m:close() end
  end)

case("below overlapping siblings", "the lowest of n regions that overlap is hidden and shown",
  { 300, 3000 }, LINEAR, function(n)
    local m = machine()
    local regions = siblings(m, n, PAGE, 1 << 30)
    return function()
      for i = 1, 20 do regions[1].enabled = i % 2 == 0 end
    end, function() m:close() end
  end)

-- ---- objects ------------------------------------------------------------------------------------

local function backends(n)
  local m = machine()
  for i = 1, n do m:object_add("memory-backend-ram", { id = "mem" .. i, size = PAGE }) end
  return m
end

case("an object by path", "m:object() of a path among n objects", { 1000, 10000 }, FLAT,
  function(n)
    local m = backends(n)
    local path = "/objects/mem" .. n // 2
    return function()
      for _ = 1, 20000 do assert(m:object(path)) end
    end, function() m:close() end
  end)

case("an object by id", "m:object() of an id among n objects", { 1000, 10000 }, FLAT, function(n)
  local m = backends(n)
  local id = "mem" .. n // 2
  return function()
    for _ = 1, 20000 do assert(m:object(id)) end
  end, function() m:close() end
end)

-- ---- machines -----------------------------------------------------------------------------------

case("a turn of the loop", "one turn of the loop with n machines", { 50, 500 }, FLAT, function(n)
  local machines = {}
  for i = 1, n do machines[i] = machine() end
  return function()
    for _ = 1, 5000 do lunik.run "nowait" end
  end, function()
    for _, m in ipairs(machines) do m:close() end
  end
end)

case("closing pseudo-terminals", "a machine with n chardev-pty is closed", { 16, 100 }, LINEAR,
  function(n)
    local m = machine()
    for i = 1, n do m:object_add("chardev-pty", { id = "pty" .. i }) end
    return function() m:close() end, function() end
  end)

-- ---- running ------------------------------------------------------------------------------------

local function seconds(c, n)
  local run, done = c.prepare(n)
  collectgarbage()
  lunik.sleep(SETTLE)
  collectgarbage "stop" -- it walks what has been prepared
  local start = process.now()
  run()
  local took = process.now() - start
  collectgarbage "restart"
  done()
  return took
end

local function exponent(c)
  local small, large = c.sizes[1], c.sizes[2]
  return math.log(seconds(c, large) / seconds(c, small)) / math.log(large / small)
end

return {
  name = "growth",
  title = "How costs grow: exponents between two sizes",
  run = function(b)
    for _, c in ipairs(cases) do
      local samples = {}
      for _ = 1, b:rounds(5) do samples[#samples + 1] = exponent(c) end
      b:row {
        name = c.name, unit = "exp", lunik = samples, target = { at_most = c.at_most },
        what = ("%s; n: %d and %d"):format(c.what, table.unpack(c.sizes)),
      }
    end
  end,
}
