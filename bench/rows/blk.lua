-- Disks: a queue and its back end, without a guest.
local process = require "bench.process"

local SIZE = 256 << 20
local WHAT = {
  r1t = { "4 KiB read, depth 1", "with a pause before each, so that the thread has to wake up" },
  wf1 = { "4 KiB write and flush, depth 1", "with a pause before each" },
  r32 = { "4 KiB read, depth 32", "at random places, 32 under way" },
  w32 = { "4 KiB write, depth 32", "at random places, 32 under way" },
  s8 = { "128 KiB read, depth 8", "one after another, 8 under way" },
  sw8 = { "128 KiB write, depth 8", "one after another, 8 under way" },
}
local ORDER = { "r1t", "wf1", "r32", "w32", "s8", "sw8" }
local PLACES = {
  { name = "tmpfs", folder = "/dev/shm", mode = "cached",
    limit = "a thread that sleeps in read() and serves the same ring with preadv" },
  { name = "disk, O_DIRECT", folder = os.getenv "LUNIK_BENCH_DISK" or "/var/tmp", mode = "direct",
    limit = "io_uring alone, depth 1 by pread and pwrite" },
}

-- Makes a file with contents, so that no block of it is a hole.
local function make_file(folder)
  local path = ("%s/lunik-bench-%d"):format(folder, math.random(1 << 30))
  local file = assert(io.open(path, "wb"))
  local block = ("lunik"):rep((1 << 20) // 5 + 1):sub(1, 1 << 20)
  for _ = 1, SIZE >> 20 do assert(file:write(block)) end
  assert(file:close())
  return path
end

local function add_samples(all, who, path, mode)
  for name, samples in pairs(process.results { process.built "block", who, path, mode }) do
    local key = who .. name
    all[key] = all[key] or {}
    table.insert(all[key], samples)
  end
end

local function place_rows(b, place)
  local path, all = make_file(place.folder), {}
  for _ = 1, b:rounds(3) do
    add_samples(all, "lunik", path, place.mode)
    add_samples(all, "bare", path, place.mode)
  end
  os.remove(path)
  for _, key in ipairs(ORDER) do
    local what = WHAT[key]
    b:row {
      name = ("%s: %s"):format(place.name, what[1]), unit = "us", lunik = all["lunik" .. key],
      limit = all["bare" .. key],
      what = ("%s; from a driver that polls to a blockdev-file on an iothread and back, without a "
        .. "guest; limit: %s"):format(what[2], place.limit),
    }
  end
end

return {
  name = "blk",
  title = "disks: a queue and its back end",
  run = function(b)
    for _, place in ipairs(PLACES) do place_rows(b, place) end
  end,
}
