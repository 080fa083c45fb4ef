--- m:dirty_rate{}: measures how fast the guest changes its memory.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local wait = require "lunik.wait"

local fail = options.fail

local dirty = {}

local MIB = 1 << 20
local PAGE = 4096
local SAMPLE_PAGES = 512 -- of every GiB
local MODES = { "page-sampling", "dirty-bitmap", "dirty-ring" }

local kinds = { seconds = "any", mode = "string", sample_pages = "count" }

--- Sleeps; returns how long it really was.
local function pass(seconds)
  local from = wait.now()
  wait.sleep(seconds)
  return wait.now() - from
end

--- Returns the number of pages that each plugged vCPU has reported in its ring so far, by index.
local function dirtied(m)
  local counts = {}
  for _, cpu in ipairs(m:cpus()) do counts[cpu.index] = cpu.stats.dirtied end
  return counts
end

-- Each mode fills result.blocks with {name=, size=, rate=, ...} and returns the time it took.
local measure = {}

measure["page-sampling"] = function(m, result, opt)
  local sample = core.dirty_sample(m, opt.sample_pages)
  local seconds = pass(opt.seconds)
  result.blocks = core.dirty_compare(sample)
  for _, block in ipairs(result.blocks) do
    block.rate = block.changed / block.sampled * block.size / MIB / seconds
  end
  return seconds
end

measure["dirty-bitmap"] = function(m, result, opt)
  local log <close> = m:dirty { client = "rate" }:start()
  local before = dirtied(m)
  local seconds = pass(opt.seconds)
  log:sync()
  result.blocks = log:blocks()
  for _, block in ipairs(result.blocks) do
    block.rate = block.pages * PAGE / MIB / seconds
  end
  if opt.mode == "dirty-ring" then
    result.vcpus = {}
    for _, cpu in ipairs(m:cpus()) do
      local pages = cpu.stats.dirtied - (before[cpu.index] or 0)
      table.insert(result.vcpus,
        { index = cpu.index, pages = pages, rate = pages * PAGE / MIB / seconds })
    end
  end
  return seconds
end

--- The same, with counts per vCPU, whose sum is the total.
measure["dirty-ring"] = measure["dirty-bitmap"]

local function parse(m, given)
  local opt = options.parse("dirty_rate", given or {}, kinds)
  opt.mode = options.choice("dirty_rate: mode", opt.mode or MODES[1], MODES)
  opt.seconds = opt.seconds or 1
  opt.sample_pages = opt.sample_pages or SAMPLE_PAGES
  if type(opt.seconds) ~= "number" or not (opt.seconds > 0 and opt.seconds <= 3600) then
    fail("invalid", "dirty_rate: seconds: %s is not a time (want more than 0, at most 3600)",
      options.show(opt.seconds))
  end
  if opt.mode == "dirty-ring" and not event.state(m).dirty_ring then
    fail("unsupported", "dirty_rate: mode: machine '%s' has no dirty rings (want its option "
      .. "dirty_ring)", m.name)
  end
  return opt
end

--- m:dirty_rate{seconds=, mode=, sample_pages=}
function dirty.rate(m, given)
  event.check_open(m)
  local opt, state = parse(m, given), event.state(m)
  if state.measuring then
    fail("busy", "dirty_rate: machine '%s' is being measured already", m.name)
  end
  state.measuring = true
  local result = { mode = opt.mode, rate = 0 }
  local ok, seconds = pcall(measure[opt.mode], m, result, opt)
  state.measuring = false
  if not ok then error(seconds, 0) end
  result.seconds = seconds
  for _, part in ipairs(result.vcpus or result.blocks) do result.rate = result.rate + part.rate end
  return result
end

return dirty
