-- Dirty logging of 1 GiB.
local lunik = require "lunik"
local process = require "bench.process"
local now = require "luv".hrtime

local PASSES = 10

local image = process.built "dirty.bin"

-- A machine whose guest writes to 20000 pages each time it is resumed, then pauses it.
local function machine()
  local m = lunik.machine { board = "pc", memory = "1G", firmware = image }
  m.io.root:add(m:region {
    kind = "io", name = "pass", size = 1, write = function() m:pause() end,
  }, 0xe9, { priority = 1, overlap = true })
  return m
end

local function measure(rounds)
  local m <close> = machine()
  local d <close> = m:dirty():start()
  local out = { sync = {}, clear = {}, clean = {} }
  m:start()
  for i = 1, rounds do
    m:wait("paused", { timeout = 60 })
    local start = now()
    local dirty = d:sync()
    local synced = now()
    d:clear()
    local cleared = now()
    local clean = d:sync()
    local done = now()
    assert(dirty >= 20000 and clean == 0, "writes were lost, or made up")
    out.sync[i], out.clear[i] = (synced - start) / 1e3, (cleared - synced) / 1e3
    out.clean[i] = (done - cleared) / 1e3
    m:resume()
  end
  return out
end

local function collect(rounds, round)
  for name, samples in pairs(round) do
    rounds[name] = rounds[name] or {}
    table.insert(rounds[name], samples)
  end
end

return {
  name = "dirty", kvm = true,
  title = "Dirty logging of 1 GiB of RAM; limit: KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG",
  run = function(b)
    local ours, bare = {}, {}
    for _ = 1, b:rounds(5) do
      collect(ours, measure(PASSES))
      collect(bare, process.results { process.built "bare_dirty", image, tostring(PASSES) })
    end
    b:row {
      name = "sync, 20000 dirty", unit = "us", lunik = ours.sync, limit = bare.sync,
      what = "dirty:sync() from Lua after the guest has written 20000 pages",
      target = { vs = "limit", at_most = 1.2 },
    }
    b:row {
      name = "clear, 20000 dirty", unit = "us", lunik = ours.clear, limit = bare.clear,
      what = "dirty:clear() of these pages", target = { vs = "limit", at_most = 1.2 },
    }
    b:row {
      name = "sync, clean", unit = "us", lunik = ours.clean, limit = bare["sync-clean"],
      what = "dirty:sync() when nothing has been written",
      target = { vs = "limit", at_most = 1.2 },
    }
  end,
}
