-- Hot-adds: object_add and device_add of DIMMs.
local lunik = require "lunik"
local process = require "bench.process"
local qemu = require "bench.qemu"

local MIB, BATCH = 128, 200
local SIZE = MIB << 20
local image = process.built "idle.elf"

local function machine(options)
  local all = { board = "pc", memory = "128M", maxmem = "256G", slots = 256, kernel = image }
  for name, value in pairs(options or {}) do all[name] = value end
  return lunik.machine(all)
end

local function plug(m, i)
  m:object_add("memory-backend-ram", { id = "mem" .. i, size = SIZE })
  m:device_add("pc-dimm", { id = "dimm" .. i, memdev = "mem" .. i })
end

-- Returns the time of each plug in microseconds.
local function measure_lunik(count, running)
  local m <close> = machine()
  m:start()
  if not running then m:pause() end
  local times = {}
  for i = 1, count do
    local start = process.now()
    plug(m, i)
    times[i] = (process.now() - start) * 1e6
  end
  return times
end

local function measure_batch(count)
  local m <close> = machine()
  local start = process.now()
  m:transaction(function()
    for i = 1, count do plug(m, i) end
  end)
  return (process.now() - start) * 1e6
end

local function measure_bare(count)
  return process.results({ process.built "bare_slots", tostring(count), tostring(MIB) }).plug
end

-- Subtracts the time of transporting the commands.
local function measure_qemu(count, running)
  local q <close> = qemu.start(qemu.guest("idle.bin", "pc", "128M,slots=256,maxmem=256G",
    running and "-no-shutdown" or "-S"))
  local times = {}
  for i = 1, count do
    local object = ('{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram",'
      .. '"id":"mem%d","size":%d}}'):format(i, SIZE)
    local device = ('{"execute":"device_add","arguments":{"driver":"pc-dimm","id":"dimm%d",'
      .. '"memdev":"mem%d"}}'):format(i, i)
    times[i] = q:time(object) + q:time(device) - q:time(qemu.no_op(object))
      - q:time(qemu.no_op(device))
  end
  return times
end

-- Returns the plugs from first to last of each run.
local function part(runs, first, last)
  local out = {}
  for i, run in ipairs(runs) do out[i] = table.move(run, first, last, 1, {}) end
  return out
end

local function sums(runs, count)
  local out = {}
  for i, run in ipairs(runs) do
    out[i] = 0
    for n = 1, count do out[i] = out[i] + run[n] end
  end
  return out
end

-- ---- until the guest has answered --------------------------------------------------------------

local SLOTS = 16
local kernel = process.build .. "/guests/small.elf"
local cmdline = ("slots=%d slots-port=0xa00"):format(SLOTS) -- QEMU's DSDT does not tell it the port
local GUEST_SIZE = 16 << 20

local function measure_answers(count)
  local m <close> = machine {
    kernel = kernel, cmdline = cmdline, serial = "buffer", slots = SLOTS,
  }
  m:start()
  m:console():expect("guest: ready", { timeout = 20 })
  local times = {}
  for i = 1, count do
    m:object_add("memory-backend-ram", { id = "mem" .. i, size = GUEST_SIZE })
    local start = process.now()
    m:device_add("pc-dimm", { id = "dimm" .. i, memdev = "mem" .. i })
    assert(m:wait("acpi-ost", { timeout = 20 }).status == 0)
    times[i] = (process.now() - start) * 1e3
    m:console():expect("accepted", { timeout = 20 })
  end
  return times
end

local function measure_qemu_answers(count)
  local q <close> = qemu.start(qemu.argv("pc", ("128M,slots=%d,maxmem=256G"):format(SLOTS),
    "-kernel", kernel, "-append", cmdline, "-serial", "stdio"))
  repeat
    local line = q.process:line()
  until line:find "guest: ready"
  local times = {}
  for i = 1, count do
    q:call(('{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram","id":"mem%d",'
      .. '"size":%d}}'):format(i, GUEST_SIZE))
    local start = process.now()
    q:call(('{"execute":"device_add","arguments":{"driver":"pc-dimm","id":"dimm%d",'
      .. '"memdev":"mem%d"}}'):format(i, i))
    assert(q:event "ACPI_DEVICE_OST":find '"status": 0')
    times[i] = (process.now() - start) * 1e3
    repeat
      local line = q.process:line()
    until line:find "accepted"
  end
  return times
end

-- ---- rows --------------------------------------------------------------------------------------

local function rows_of_plugs(b, state, ours, bare, theirs)
  local count = #ours[1]
  b:row {
    name = ("hot-add, %s"):format(state), unit = "us", lunik = ours, limit = bare, qemu = theirs,
    what = ("object_add + device_add of %d DIMMs of %d MiB from Lua, vCPU %s; limit: mmap and "
      .. "memslot; QEMU: over QMP, less no-ops of the same length"):format(count, MIB,
      state == "paused" and "outside" or "in hlt"),
    target = { vs = "limit", at_most = 2 },
  }
  b:row {
    name = ("last ten, %s"):format(state), unit = "us", lunik = part(ours, count - 9, count),
    limit = part(ours, 1, 10), what = "the last ten of them; limit: the first ten",
    target = { vs = "limit", at_most = 1.2 },
  }
  if #theirs > 0 then
    b:row {
      name = ("QEMU's last ten, %s"):format(state), unit = "us",
      qemu = part(theirs, count - 9, count), limit = part(theirs, 1, 10),
      what = "the same of QEMU's; limit: its first ten",
    }
  end
end

return {
  name = "hotplug", kvm = true,
  title = "Hot-add of memory",
  run = function(b)
    local count = b.quick and 20 or 250
    local batch = math.min(count, BATCH)
    local ours, bare, theirs = { paused = {}, running = {} }, {}, { paused = {}, running = {} }
    local batches, answers, their_answers = {}, {}, {}
    for round = 1, b:rounds(5) do
      table.insert(ours.paused, measure_lunik(count, false))
      table.insert(bare, measure_bare(count))
      table.insert(ours.running, measure_lunik(count, true))
      table.insert(batches, measure_batch(batch))
      table.insert(answers, measure_answers(b.quick and 2 or 10))
      if qemu.installed and round <= 2 then
        table.insert(theirs.paused, measure_qemu(count, false))
        table.insert(theirs.running, measure_qemu(count, true))
        table.insert(their_answers, measure_qemu_answers(b.quick and 2 or 10))
      end
    end
    rows_of_plugs(b, "paused", ours.paused, bare, theirs.paused)
    rows_of_plugs(b, "running", ours.running, bare, theirs.running)
    b:row {
      name = ("batch of %d"):format(batch), unit = "us", lunik = batches,
      limit = sums(bare, batch), target = { vs = "limit", at_most = 1.2 },
      what = ("%d DIMMs in one m:transaction(); limit: as many mmaps and memslots"):format(batch),
    }
    b:row {
      name = "device_add to _OST", unit = "ms", lunik = answers, qemu = their_answers,
      what = ("device_add of %d MiB until the small guest, which tests it, has accepted it")
        :format(GUEST_SIZE >> 20),
      target = { vs = "qemu", at_most = 1 },
    }
  end,
}
