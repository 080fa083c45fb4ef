-- Disks of a guest that drives them.
local places = require "bench.places"
local process = require "bench.process"
local qemu = require "bench.qemu"
local stats = require "bench.stats"

local image = process.built "virtio.bin"

local DEPTH_1 = { { vs = "qemu", at_most = 1.0 }, { vs = "limit", at_most = 1.1 } }
local DEEP = {
  cached = { { vs = "qemu", at_least = 2.0 }, { vs = "limit", at_least = 0.7 } },
  direct = { { vs = "qemu", at_least = 1.1 }, { vs = "limit", at_least = 0.8 } },
}
local SEQUENTIAL = { { vs = "qemu", at_least = 1.1 }, { vs = "limit", at_least = 0.8 } }

-- Load of the guest, unit, name, what, targets by mode. size: of a request in bytes, for MB/s.
local PAUSED = "with a pause before each"
local LOADS = {
  { "id1t", "us", "GET_ID, depth 1", "no I/O; " .. PAUSED, cached = DEPTH_1, direct = DEPTH_1 },
  { "r1t", "us", "4 KiB read, depth 1", "at random places; " .. PAUSED, cached = DEPTH_1,
    direct = DEPTH_1 },
  { "wf1t", "us", "4 KiB write and flush", "depth 1, at random places; " .. PAUSED,
    cached = DEPTH_1, direct = DEPTH_1 },
  { "r1", "k/s", "4 KiB read, no pause", "depth 1; the doorbell is saved where the device "
    .. "still looks at its ring" },
  { "r32", "k/s", "4 KiB read, depth 32", "at random places", deep = true, cached = DEEP.cached,
    direct = DEEP.direct },
  { "w32", "k/s", "4 KiB write, depth 32", "at random places", deep = true, cached = DEEP.cached,
    direct = DEEP.direct },
  { "s8", "MB/s", "128 KiB read, depth 8", "one after another", deep = true, size = 131072,
    cached = SEQUENTIAL, direct = SEQUENTIAL },
  { "sw8", "MB/s", "128 KiB write, depth 8", "one after another", deep = true, size = 131072,
    cached = SEQUENTIAL, direct = SEQUENTIAL },
}

local BARE, ALONE = "a bare VMM with preadv()", "io_uring without a guest"

-- Cache mode and aio of QEMU's disks, each without and with an iothread.
local VARIANTS = {
  cached = { { "writeback", "threads" }, { "writeback", "io_uring" }, { "none", "native" } },
  direct = { { "none", "native" }, { "none", "io_uring" }, { "none", "threads" } },
}

local function variants(place, path)
  local list = {}
  for _, v in ipairs(qemu.installed and VARIANTS[place.mode] or {}) do
    for _, thread in ipairs { "", ",iothread=io" } do
      list[#list + 1] = {
        name = ("cache %s, aio %s%s"):format(v[1], v[2], thread ~= "" and ", iothread" or ""),
        argv = qemu.guest("virtio.bin", "pc", "128M", "-object", "iothread,id=io", "-drive",
          ("file=%s,format=raw,if=none,id=disk,cache=%s,aio=%s"):format(path, v[1], v[2]),
          "-device", "virtio-blk-pci,drive=disk" .. thread),
      }
    end
  end
  return list
end

-- ---- measuring ---------------------------------------------------------------------------------

-- Returns the guest's report as {load = {{ticks, requests, doorbells}, ...}}.
local function run_guest(argv)
  local results = process.results(argv, 16)
  if results.failed or not results[LOADS[#LOADS][1]] then
    error(argv[1] .. ": the guest's disk has failed", 0)
  end
  local runs = { khz = results["tsc-khz"] and results["tsc-khz"][1] }
  for name, numbers in pairs(results) do
    runs[name] = {}
    for i = 1, #numbers - 2, 3 do
      table.insert(runs[name], { numbers[i], numbers[i + 1], numbers[i + 2] })
    end
  end
  return runs
end

-- Runs all systems in turns. Returns rounds by system's name; QEMU's that don't start here (a file
-- system without O_DIRECT) have fewer.
local function measure(b, place, path, theirs)
  local all = { lunik = {}, bare = {}, alone = {} }
  local lunik = process.script("virtio", "disk", path, place.mode)
  local bare = { process.built "bare_virtio", image, path,
    place.mode == "direct" and "direct" or nil }
  lunik.code = 1 -- debug-exit's, of 0
  for _ = 1, b:rounds(5) do
    table.insert(all.lunik, run_guest(lunik))
    table.insert(all.bare, run_guest(bare))
    if place.mode == "direct" then
      table.insert(all.alone, process.results { process.built "block", "bare", path, "direct" })
    end
    for _, variant in ipairs(theirs) do
      local ok, runs = pcall(run_guest, variant.argv)
      all[variant.name] = all[variant.name] or {}
      if ok then table.insert(all[variant.name], runs) end
    end
  end
  return all
end

-- ---- rows --------------------------------------------------------------------------------------

local function in_unit(load, us_per_request)
  if load[2] == "us" then return us_per_request end
  if load[2] == "k/s" then return 1e3 / us_per_request end
  return load.size / us_per_request -- bytes per us: MB/s
end

-- Returns samples of a load, in its unit, and doorbells per request.
local function samples(load, rounds, khz)
  local out, requests, doorbells = {}, 0, 0
  for i, runs in ipairs(rounds) do
    out[i] = {}
    for n, run in ipairs(runs[load[1]]) do
      out[i][n] = in_unit(load, run[1] * 1e3 / khz / run[2])
      requests, doorbells = requests + run[2], doorbells + run[3]
    end
  end
  return out, doorbells / math.max(requests, 1)
end

local function samples_alone(load, rounds)
  local out = {}
  for i, runs in ipairs(rounds) do
    out[i] = {}
    for n, us in ipairs(runs[load[1]]) do out[i][n] = in_unit(load, us) end
  end
  return out
end

-- Returns the samples of the best of QEMU's variants, its name and doorbells per request.
local function best(load, all, theirs, khz)
  local list = {}
  for i, variant in ipairs(theirs) do
    local s, doorbells = samples(load, all[variant.name], khz)
    list[i] = { samples = s, name = variant.name, doorbells = doorbells }
  end
  return stats.best(list, #all.lunik, load[2] == "us") or {}
end

local function load_row(b, place, load, all, theirs)
  local khz = all.bare[1].khz
  local ours, doorbells = samples(load, all.lunik, khz)
  local alone = load.deep and place.mode == "direct"
  local limit = alone and samples_alone(load, all.alone) or samples(load, all.bare, khz)
  local qemus = best(load, all, theirs, khz)
  local what = ("%s; %.3f doorbells per request; limit: %s"):format(load[4], doorbells,
    alone and ALONE or BARE)
  if qemus.name then
    what = ("%s; QEMU's best: %s, %.3f doorbells"):format(what, qemus.name, qemus.doorbells)
  end
  b:row {
    name = ("%s: %s"):format(place.name, load[3]), unit = load[2], what = what, lunik = ours,
    limit = limit, qemu = qemus.samples, targets = load[place.mode],
  }
end

local function place_rows(b, place)
  local file <close> = places.file(place, b.quick)
  local theirs = variants(place, file.name)
  local all = measure(b, place, file.name, theirs)
  for _, load in ipairs(LOADS) do load_row(b, place, load, all, theirs) end
end

return {
  name = "disk", kvm = true,
  title = "disks of a guest that polls, in ring 3: virtio-blk-pci with an iothread",
  run = function(b)
    for _, place in ipairs(places.list) do place_rows(b, place) end
  end,
}
