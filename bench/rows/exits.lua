-- Exits: loops of accesses in the guest, timed by the guest.
local process = require "bench.process"
local qemu = require "bench.qemu"

local ACCESSES = 200 -- in a batch, of bench/guests/exits.S

local DEVICE = { vs = "limit", at_most = 1.05, p10 = true }
local LUA = { vs = "limit", at_most = 1.4 }
local UART = { vs = "limit", at_most = 1.2 }

-- Name, test of exits.S, what, target. by: the program that runs it, if not the C program.
local rows = {
  { "no exit", "loop", "the loop alone, which is in all rows" },
  { "PIO write, C device", "pio-write", "out to a device (QEMU: port 0x80)", DEVICE },
  { "PIO write, sandbox", "pio-write", "the same in the sandbox of the lunik command",
    by = "lua", only = true },
  { "PIO read, C device", "pio-read", "in from a device", DEVICE },
  { "MMIO write, C device", "mmio-write", "store to a device (QEMU: HPET)", DEVICE },
  { "MMIO read, C device", "mmio-read", "load from a device", DEVICE },
  { "PIO write, lockless", "pio-write-other", "out to a C device without the lock", DEVICE,
    only = true },
  { "MMIO write, lockless", "mmio-write-other", "store to a C device without the lock", DEVICE,
    only = true },
  { "PIO write, unassigned", "pio-write-nothing", "out to where nothing is", DEVICE },
  { "PIO read, unassigned", "pio-read-nothing", "in from where nothing is", DEVICE },
  { "MMIO write, unassigned", "mmio-write-nothing", "store to where nothing is", DEVICE },
  { "MMIO read, unassigned", "mmio-read-nothing", "load from where nothing is", DEVICE },
  { "UART transmit", "uart", "out to the UART, which drops it (null chardev)", UART },
  { "PIO write, Lua handler", "pio-write-other", "out to a function in Lua", LUA, by = "lua",
    only = true },
  { "MMIO write, Lua handler", "mmio-write", "store to a function in Lua", LUA, by = "lua",
    only = true },
  { "MMIO read, Lua handler", "mmio-read", "load from a function in Lua", LUA, by = "lua",
    only = true },
  { "PIO ioeventfd", "pio-ioeventfd", "out that signals an eventfd, no exit", DEVICE, only = true },
  { "MMIO ioeventfd", "mmio-ioeventfd", "store that signals an eventfd, no exit", DEVICE,
    only = true },
  { "PIO coalesced", "pio-coalesced",
    "out that waits in KVM's ring; delivered each time it is full", nil, only = true },
  { "MMIO coalesced", "mmio-coalesced",
    "store that waits in KVM's ring; delivered each time it is full", nil, only = true },
}

local image = process.built "exits.bin"

local systems = {
  bare = { process.built "bare_guest", image },
  c = { process.built "lunik_guest", image },
  lua = process.script "exits",
  qemu = qemu.guest("exits.bin", "pc", "128M", "-chardev", "null,id=null",
    "-serial", "chardev:null"),
}

systems.lua.code = 1 -- debug-exit's, of 0

local function measure(rounds)
  local all = {}
  for _ = 1, rounds do
    for _, name in ipairs { "bare", "c", "lua", qemu.installed and "qemu" or nil } do
      all[name] = all[name] or {}
      for test, ticks in pairs(process.results(systems[name], 16)) do
        all[name][test] = all[name][test] or {}
        table.insert(all[name][test], ticks)
      end
    end
  end
  return all
end

local function measure_latency(b)
  local argv = { systems.c[1], image, "latency" }
  local results = process.results(argv)
  for _, kind in ipairs {
    { "exit to handler", "pio-write", "from KVM_RUN's return to the C device's function" },
    { "exit to handler, lockless", "pio-write-other", "the same of a lockless one" },
  } do
    b:row { name = kind[1], unit = "ns", what = kind[3], lunik = results[kind[2]] }
  end
end

return {
  name = "exits", kvm = true,
  title = "Exits: microseconds per access as the guest sees it, its loop included; limit: KVM_RUN "
    .. "in a loop that does nothing else",
  run = function(b)
    local all = measure(b:rounds(24))
    local khz = all.bare["tsc-khz"][1][1]
    local function us(system, test)
      local rounds = {}
      for i, round in ipairs(all[system] and all[system][test] or {}) do
        rounds[i] = {}
        for n, ticks in ipairs(round) do rounds[i][n] = ticks * 1e3 / khz / ACCESSES end
      end
      return rounds
    end
    for _, row in ipairs(rows) do
      b:row {
        name = row[1], unit = "us", what = row[3], target = row[4],
        lunik = us(row.by or "c", row[2]), limit = us("bare", row[2]),
        qemu = not row.only and us("qemu", row[2]) or nil,
      }
    end
    measure_latency(b)
  end,
}
