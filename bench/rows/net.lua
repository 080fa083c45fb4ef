-- A network of two machines, whose guests drive the cards.
local process = require "bench.process"
local qemu = require "bench.qemu"
local stats = require "bench.stats"

local ASKS, ANSWERS = "52:54:00:00:00:02", "52:54:00:00:00:01" -- by the last bit of the address

-- Load of the guests, unit, name, what.
local LOADS = {
  { "echo-t", "us", "echo", "a frame of 60 bytes there and back, each after a pause" },
  { "echo", "us", "echo, no pause", "a frame of 60 bytes there and back" },
  { "stream-60", "k/s", "frames of 60 bytes", "one way, as many as arrive" },
  { "stream-1514", "MB/s", "frames of 1514 bytes", "one way, as many as arrive", size = 1514 },
}

local folder = os.getenv "TMPDIR" or "/tmp"

local function socket_name(side)
  return ("%s/lunik-bench-%d-%s"):format(folder, math.random(1 << 30), side)
end

local function qemu_argv(netdev, mac)
  return qemu.guest("virtio.bin", "pc", "128M", "-netdev",
    netdev .. ",id=net", "-device", "virtio-net-pci,netdev=net,mac=" .. mac)
end

-- Systems: functions that return the commands of the machine that answers and of the one that asks,
-- and the sockets that they make.
local function lunik_pair()
  local path = socket_name "a"
  return process.script("virtio", "net", "listen", path, ANSWERS),
    process.script("virtio", "net", "connect", path, ASKS), { path }
end

local function stream_pair()
  local path = socket_name "a"
  local netdev = "stream,addr.type=unix,addr.path=" .. path .. ",server="
  return qemu_argv(netdev .. "on", ANSWERS), qemu_argv(netdev .. "off", ASKS), { path }
end

local function dgram_pair()
  local a, b = socket_name "a", socket_name "b"
  local netdev = "dgram,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s"
  return qemu_argv(netdev:format(a, b), ANSWERS), qemu_argv(netdev:format(b, a), ASKS), { a, b }
end

local QEMUS = { { "stream", stream_pair }, { "dgram", dgram_pair } }

-- Runs a pair; returns what the machine that asks reports, as {load = {{ticks, arrived, sent,
-- doorbells}, ...}}.
local function run_pair(pair)
  local answers, asks, sockets = pair()
  asks.code = 1 -- debug-exit's, of 0
  local _ <close> = setmetatable({}, { __close = function()
    for _, path in ipairs(sockets) do os.remove(path) end
  end })
  local peer <close> = process.start(answers)
  peer:line()
  local runs = {}
  for name, numbers in pairs(process.results(asks, 16)) do
    runs[name] = {}
    for i = 1, #numbers - 3, 4 do
      table.insert(runs[name], table.move(numbers, i, i + 3, 1, {}))
    end
  end
  if not runs[LOADS[#LOADS][1]] then error(asks[1] .. ": the guest's network has failed", 0) end
  return runs
end

local function in_unit(load, run, khz)
  local us = run[1] * 1e3 / khz / run[2] -- per frame that has arrived
  return load[2] == "us" and us or load[2] == "k/s" and 1e3 / us or load.size / us
end

-- Returns samples of a load, and as text doorbells per frame and the share of frames lost.
local function samples(load, rounds, khz)
  local out, sent, arrived, doorbells = {}, 0, 0, 0
  for i, runs in ipairs(rounds) do
    out[i] = {}
    for n, run in ipairs(runs[load[1]]) do
      out[i][n] = in_unit(load, run, khz)
      arrived, sent, doorbells = arrived + run[2], sent + run[3], doorbells + run[4]
    end
  end
  return out, ("%.3f doorbells per frame, %.1f%% lost"):format(doorbells / math.max(sent, 1),
    100 * (1 - arrived / math.max(sent, 1)))
end

local function limit_samples(load, rounds)
  local out = {}
  for i, results in ipairs(rounds) do
    out[i] = {}
    for n, value in ipairs(results[load[1]]) do
      out[i][n] = load.size and value * load.size / 1e3 or value
    end
  end
  return out
end

local function measure(rounds)
  local all = { lunik = {}, bare = {}, stream = {}, dgram = {} }
  for _ = 1, rounds do
    table.insert(all.lunik, run_pair(lunik_pair))
    table.insert(all.bare, process.results { process.built "bare_socket" })
    for _, system in ipairs(qemu.installed and QEMUS or {}) do
      table.insert(all[system[1]], run_pair(system[2]))
    end
  end
  return all
end

local function load_row(b, load, all)
  local khz = all.bare[1]["tsc-khz"][1]
  local ours, about = samples(load, all.lunik, khz)
  local theirs = {}
  for i, system in ipairs(qemu.installed and QEMUS or {}) do
    local s, text = samples(load, all[system[1]], khz)
    theirs[i] = { samples = s, name = system[1], about = text }
  end
  local best = stats.best(theirs, #all.lunik, load[2] == "us")
  b:row {
    name = load[3], unit = load[2], lunik = ours, limit = limit_samples(load, all.bare),
    qemu = best and best.samples,
    what = ("%s; %s; limit: two processes with a socket pair%s"):format(load[4], about,
      best and ("; QEMU's best: netdev %s, %s"):format(best.name, best.about) or ""),
  }
end

return {
  name = "net", kvm = true,
  title = "networks of two guests that poll, in ring 3: virtio-net-pci, a Unix socket between them",
  run = function(b)
    local all = measure(b:rounds(5))
    for _, load in ipairs(LOADS) do load_row(b, load, all) end
  end,
}
