-- Disks: a queue and its back end, without a guest.
local places = require "bench.places"
local process = require "bench.process"

local WHAT = {
  r1t = { "4 KiB read, depth 1", "with a pause before each, so that the thread has to wake up" },
  wf1t = { "4 KiB write and flush, depth 1", "with a pause before each" },
  r32 = { "4 KiB read, depth 32", "at random places, 32 under way" },
  w32 = { "4 KiB write, depth 32", "at random places, 32 under way" },
  s8 = { "128 KiB read, depth 8", "one after another, 8 under way" },
  sw8 = { "128 KiB write, depth 8", "one after another, 8 under way" },
}
local ORDER = { "r1t", "wf1t", "r32", "w32", "s8", "sw8" }
local LIMITS = {
  cached = "a thread that sleeps in read() and serves the same ring with preadv",
  direct = "io_uring alone, depth 1 by pread and pwrite",
}

local function add_samples(all, who, path, mode)
  for name, samples in pairs(process.results { process.built "block", who, path, mode }) do
    local key = who .. name
    all[key] = all[key] or {}
    table.insert(all[key], samples)
  end
end

local function place_rows(b, place)
  local file <close> = places.file(place, b.quick)
  local all = {}
  for _ = 1, b:rounds(3) do
    add_samples(all, "lunik", file.name, place.mode)
    add_samples(all, "bare", file.name, place.mode)
  end
  for _, key in ipairs(ORDER) do
    local what = WHAT[key]
    b:row {
      name = ("%s: %s"):format(place.name, what[1]), unit = "us", lunik = all["lunik" .. key],
      limit = all["bare" .. key],
      what = ("%s; from a driver that polls to a blockdev-file on an iothread and back, without a "
        .. "guest; limit: %s"):format(what[2], LIMITS[place.mode]),
    }
  end
end

return {
  name = "blk",
  title = "disks: a queue and its back end",
  run = function(b)
    for _, place in ipairs(places.list) do place_rows(b, place) end
  end,
}
