-- Changes of the memory map, and finding what is at an address.
local process = require "bench.process"

local function gather(program, rounds)
  local all = {}
  for _ = 1, rounds do
    for name, samples in pairs(process.results { process.built(program) }) do
      all[name] = all[name] or {}
      table.insert(all[name], samples)
    end
  end
  return all
end

local function commit_rows(b)
  local all = gather("commit", b:rounds(5))
  for _, n in ipairs { 1, 10, 100, 250, 1000 } do
    b:row {
      name = ("commit, DIMM %d"):format(n), unit = "us", lunik = all["plug-" .. n],
      limit = n > 1 and all["plug-1"] or nil,
      what = ("a RAM region is added to a board's map and %d DIMMs; no KVM; limit: DIMM 1")
        :format(n - 1),
      target = n > 1 and { vs = "limit", at_most = 2 } or nil,
    }
  end
  for _, n in ipairs { 10, 100, 1000 } do
    b:row {
      name = ("commit, BAR among %d"):format(n), unit = "us", lunik = all["bar-" .. n],
      limit = n > 10 and all["bar-10"] or nil,
      what = "a register block is hidden or shown; limit: among 10",
      target = n > 10 and { vs = "limit", at_most = 2 } or nil,
    }
  end
end

local function runtime_rows(b)
  local all = gather("runtimes", b:rounds(3))
  for _, case in ipairs {
    { "commits", "a register block is hidden and shown" },
    { "objects", "an object is added and deleted" },
  } do
    local name, what = table.unpack(case)
    b:row {
      name = "two runtimes, " .. name, unit = "us", lunik = all[name .. "-threads"],
      limit = all[name .. "-processes"],
      what = what .. ", on two threads of a process at once; limit: in two processes",
      target = { vs = "limit", at_most = 1.1 },
    }
  end
end

local function hold_rows(b)
  for _, cpus in ipairs { 1, 2, 4 } do
    local name = "hold-" .. cpus
    local ours, bare = {}, {}
    for _ = 1, b:rounds(5) do
      table.insert(ours, process.results { process.built "hold", tostring(cpus) }[name])
      table.insert(bare, process.results { process.built "bare_hold", tostring(cpus) }[name])
    end
    b:row {
      name = ("replacing a memslot, vCPUs: %d"):format(cpus), unit = "us", lunik = ours,
      limit = bare,
      what = "RAM that vCPUs read all the time becomes read-only or writable, and they are kept "
        .. "out of the guest meanwhile; limit: two ioctls, and vCPUs that meet the hole",
    }
  end
end

local function dispatch_rows(b)
  local all = gather("dispatch", b:rounds(3))
  for _, n in ipairs { 10, 100, 1000 } do
    for _, kind in ipairs { "lockless", "locked" } do
      b:row {
        name = ("dispatch, %s among %d"):format(kind, n), unit = "ns",
        lunik = all[kind .. "-" .. n], limit = all.call,
        what = "from an address to the return of its device's function; limit: the call alone",
      }
    end
  end
end

local function dma_rows(b)
  local all = gather("dma", b:rounds(3))
  for _, size in ipairs { 64, 2048, 65536 } do
    for _, way in ipairs { "write", "map" } do
      b:row {
        name = ("DMA, %s %d bytes"):format(way, size), unit = "ns",
        lunik = all[way .. "-" .. size], limit = all["memcpy-" .. size],
        what = "a device's thread writes RAM without the machine lock; limit: memcpy()",
      }
    end
  end
end

return {
  name = "map",
  title = "The memory map: commits of changes, look-up of addresses",
  run = function(b)
    commit_rows(b)
    dispatch_rows(b)
    dma_rows(b)
    runtime_rows(b)
    if b.kvm then hold_rows(b) end
  end,
}
