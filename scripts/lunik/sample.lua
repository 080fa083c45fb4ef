--- m:sample{} and m:plot{}: what a machine does, sampled in the background, for plots.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local plot = require "lunik.plot"
local wait = require "lunik.wait"

local fail = options.fail

local sample = {}

local MIB, PAGE = 1 << 20, 4096
local MOST = 4096 -- samples, after which pairs become one

-- ---- quantities --------------------------------------------------------------------------------

-- Each has a unit, and start(m), which returns a function that reads a value, and maybe one to call
-- at the end. rate: the values' growth per second is shown.
local quantities = {}

quantities["dirty rate"] = { unit = "MiB/s", start = function(m)
  local state = event.state(m)
  if state.measuring then
    fail("busy", "sample: dirty rate: machine '%s' is being measured already", m.name)
  end
  local log = m:dirty { client = "rate" }:start()
  local total = 0
  state.measuring = true
  return function()
    total = total + log:sync() * PAGE / MIB
    log:clear()
    return total
  end, function()
    state.measuring = false
    log:stop()
  end
end, rate = true }

-- A count of the vCPUs' statistics; one that is unplugged meanwhile keeps its part of the sum.
local function vcpu_count(field)
  return { unit = "1/s", rate = true, start = function(m)
    local counts = {}
    return function()
      local sum = 0
      for _, cpu in ipairs(m:cpus()) do counts[cpu.index] = cpu.stats[field] end
      for _, count in pairs(counts) do sum = sum + count end
      return sum
    end
  end }
end

quantities.exits = vcpu_count "exits"
quantities.io = vcpu_count "io"
quantities.mmio = vcpu_count "mmio"

quantities.dimms = { unit = "MiB", start = function(m)
  return function()
    local sum = 0
    for _, device in ipairs(m:memory_devices()) do sum = sum + device.data.size end
    return sum / MIB
  end
end }

quantities.rss = { unit = "MiB", start = function()
  return function()
    local file <close> = options.open("sample: rss", "/proc/self/statm", "r")
    local _, pages = file:read("n", "n")
    return pages * PAGE / MIB
  end
end }

sample.quantities = quantities

-- Returns the quantity that is meant: a name, or {name=, unit=, value=function(m), rate=}.
local function quantity_of(i, given)
  local what = ("sample: [%d]"):format(i)
  if type(given) ~= "table" then
    local name = options.choice(what, given, options.keys(quantities))
    return quantities[name], name
  end
  local opt = options.parse(what, given, { name = "string", unit = "string", value = "function",
    rate = "boolean" })
  if not opt.value then fail("invalid", "%s: value: there is none (want a function)", what) end
  return { unit = opt.unit or "", rate = opt.rate, start = function(m)
    return function()
      local value = opt.value(m)
      return type(value) == "number" and value or 0 / 0
    end
  end }, opt.name or ""
end

-- ---- samples -----------------------------------------------------------------------------------

local Samples = { __name = "lunik.Samples" }
Samples.__index = Samples

function Samples:__tostring()
  local names = {}
  for i, series in ipairs(self.series) do names[i] = series.name end
  return ("%d samples of %s (%s)"):format(self.count, table.concat(names, ", "),
    self.active and "going on" or "stopped")
end

-- Makes each pair of samples one.
local function halve(samples)
  for _, series in ipairs(samples.series) do
    local n = #series
    for i = 1, n // 2 do
      local a, b = series[2 * i - 1], series[2 * i]
      series[i] = { b[1], (a[2] + b[2]) / 2 }
    end
    for i = n // 2 + 1, n do series[i] = nil end
  end
  samples.count, samples.every = samples.count // 2, samples.every * 2
end

-- Takes a sample; the first one only begins rates.
local function take(samples, now)
  if samples.count >= MOST then halve(samples) end
  local seconds = now - samples.last
  for i, series in ipairs(samples.series) do
    local source = samples.sources[i]
    local value, before = source.read(), source.before
    source.before = value
    if not source.rate then
      table.insert(series, { now - samples.start, value })
    elseif before then
      table.insert(series, { now - samples.start, (value - before) / seconds })
    end
  end
  samples.count, samples.last = samples.count + 1, now
end

local function tick(samples)
  samples.timer = nil
  if not samples.active then return end
  if event.has_ended(samples.machine) then return samples:stop() end
  local ok, err = pcall(take, samples, core.now())
  if not ok then
    samples:stop()
    error(err, 0) -- reported like the errors of other timers
  end
  samples.timer = core.timer(samples.every, function() tick(samples) end, false, true)
end

--- Ends the samples; also called at the end of a <close> variable's scope.
function Samples:stop()
  if not self.active then return end
  self.active = false
  if self.timer then self.timer:cancel() end
  for _, source in ipairs(self.sources) do
    if source.finish then pcall(source.finish) end
  end
end

--- Draws the samples taken so far; options as for lunik.plot.
function Samples:plot(opts)
  local given = { x = "s", title = self.title, series = self.series }
  for key, value in pairs(opts and options.table("plot", opts) or {}) do given[key] = value end
  return plot.plot(given)
end

options.guard(Samples.__name, Samples, Samples)
function Samples:__close() self:stop() end

sample.Samples = Samples

-- ---- the methods -------------------------------------------------------------------------------

-- Returns the quantities of a list, and the list's other fields.
local function split(what, given)
  options.table(what, given)
  local list, rest = {}, {}
  for key, value in pairs(given) do
    if math.type(key) ~= "integer" then rest[key] = value end
  end
  for i, value in ipairs(given) do
    local quantity, name = quantity_of(i, value)
    list[i] = { quantity = quantity, name = name }
  end
  if #list == 0 then
    fail("invalid", "%s: there is nothing to sample (want %s, or { name = ..., value = function })",
      what, table.concat(options.keys(quantities), ", "))
  end
  return list, rest
end

local function begin(m, list, every)
  if every < 0.001 then
    fail("invalid", "sample: every: '%g' is too short (want 0.001 seconds or more)", every)
  end
  local samples = setmetatable({ machine = m, series = {}, sources = {}, every = every, count = 0,
    title = m.name, start = core.now(), active = true }, Samples)
  samples.last = samples.start
  local ok, err = pcall(function()
    for i, part in ipairs(list) do
      local read, finish = part.quantity.start(m)
      samples.sources[i] = { read = read, finish = finish, rate = part.quantity.rate }
      samples.series[i] = { name = part.name, unit = part.quantity.unit }
    end
    take(samples, samples.start)
  end)
  if not ok then
    samples:stop()
    error(err, 0)
  end
  samples.timer = core.timer(every, function() tick(samples) end, false, true)
  return samples
end

--- m:sample{quantity..., every=}
function sample.sample(m, given)
  event.check_open(m)
  local list, rest = split("sample", given)
  local opt = options.parse("sample", rest, { every = "seconds" })
  return begin(m, list, opt.every or 1)
end

--- m:plot{quantity..., seconds=, every=, options of lunik.plot}
function sample.plot(m, given)
  event.check_open(m)
  local list, rest = split("plot", given)
  local seconds = options.value("plot: seconds", rest.seconds or 10, "seconds")
  local every = options.value("plot: every", rest.every or math.max(seconds / 60, 0.01), "seconds")
  rest.seconds, rest.every = nil, nil
  local samples <close> = begin(m, list, every)
  wait.sleep(seconds)
  samples:stop()
  return samples:plot(rest)
end

return sample
