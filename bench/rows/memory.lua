-- Guest memory from Lua, many bytes at a time, and preallocation.
local lunik = require "lunik"
local process = require "bench.process"
local qemu = require "bench.qemu"

local BULK = 64 << 20
local AT = 0x1000000

local function gib_per_s(bytes, fn, ...)
  local start = process.now()
  fn(...)
  return bytes / (1 << 30) / (process.now() - start)
end

local function add(all, key, rate)
  all[key] = all[key] or {}
  table.insert(all[key], rate)
end

-- ---- bulk access -------------------------------------------------------------------------------

local operations = {
  { "write", "copy", "m:write() of 64 MiB; limit: memcpy",
    function(m, data) m:write(AT, data) end },
  { "read", "copy", "m:read() of 64 MiB, a new string; limit: memcpy",
    function(m) m:read(AT, BULK) end },
  { "fill", "fill", "m:fill(); limit: memset", function(m) m:fill(AT, BULK, 0x79) end },
  { "hash", "hash", "m:hash(); limit: XXH64", function(m) m:hash(AT, BULK) end },
  { "search", "search", "m:search() that finds nothing; limit: memmem",
    function(m) m:search("needle in it", { from = AT, length = BULK }) end },
}

local function bulk_rows(b)
  local m <close> = lunik.machine { board = "pc", memory = "256M", accel = "none" }
  local data = ("x"):rep(BULK)
  local ours, limits = {}, {}
  m:fill(AT, BULK, 0) -- the first access to a page takes much longer
  for _ = 1, b:rounds(5) do
    for i, op in ipairs(operations) do
      add(ours, i, gib_per_s(BULK, op[4], m, data))
      collectgarbage()
    end
    for name, samples in pairs(process.results { process.built "bare_memory", "bulk", "3" }) do
      add(limits, name, samples)
    end
  end
  for i, op in ipairs(operations) do
    b:row {
      name = "guest memory " .. op[1], unit = "GiB/s", what = op[3], lunik = ours[i],
      limit = limits[op[2]],
    }
  end
end

-- ---- preallocation -----------------------------------------------------------------------------

local kinds = {
  { "ram", "memory-backend-ram", {} },
  { "memfd", "memory-backend-memfd", { share = true } },
  { "file", "memory-backend-file", { share = true, mem_path = "/dev/shm" } },
}

local function mapped()
  return process.status("self", "VmSize")
end

-- Waits until the memory has been freed, which happens after a grace period on another thread and
-- must not coincide with populating the next block.
local function prealloc(m, kind, size, threads)
  local props = { id = "mem", size = size, prealloc = true, prealloc_threads = threads }
  for name, value in pairs(kind[3]) do props[name] = value end
  local rate = gib_per_s(size, m.object_add, m, kind[2], props)
  local before = mapped()
  m:object_del "mem"
  local patience = process.now() + 2 -- in case something else has been mapped meanwhile
  while before - mapped() < size >> 10 and process.now() < patience do lunik.sleep(0.001) end
  return rate
end

local function prealloc_qemu(q, kind, size, threads)
  local extra = ""
  for name, value in pairs(kind[3]) do
    extra = extra .. (type(value) == "string" and ',"%s":"%s"' or ',"%s":%s')
      :format(name:gsub("_", "-"), value)
  end
  local rate = gib_per_s(size, q.call, q, ('{"execute":"object-add","arguments":{"qom-type":"%s",'
    .. '"id":"mem","size":%d,"prealloc":true,"prealloc-threads":%d%s}}'):format(kind[2], size,
    threads, extra))
  q:call '{"execute":"object-del","arguments":{"id":"mem"}}'
  return rate
end

local function populate(kind, size, threads)
  return process.results { process.built "bare_memory", "populate", kind[1], tostring(size >> 20),
    tostring(threads) }.rate[1]
end

-- Touches memory in another process first: a host that is a guest itself returns free pages to its
-- host after a while, and the first process that touches them waits.
local function warm(size)
  populate(kinds[1], size + (64 << 20), 2)
end

local function measure_prealloc(b, size)
  local m <close> = lunik.machine { board = "pc", accel = "none" }
  local q <close> = qemu.installed and qemu.start(qemu.argv("pc", "128M", "-S")) or nil
  local all = { lunik = {}, qemu = {}, limit = {} }
  local function sample(who, key, fn, ...)
    warm(size)
    add(all[who], key, fn(...))
  end
  for _ = 1, b:rounds(5) do
    for threads = 1, 2 do
      for _, kind in ipairs(kinds) do
        local key = ("%s-%d"):format(kind[1], threads)
        sample("lunik", key, prealloc, m, kind, size, threads)
        if q then sample("qemu", key, prealloc_qemu, q, kind, size, threads) end
        sample("limit", key, populate, kind, size, threads)
      end
    end
  end
  return all
end

local function prealloc_rows(b)
  local size = b.quick and 64 << 20 or 512 << 20
  local all = measure_prealloc(b, size)
  for _, kind in ipairs(kinds) do
    for threads = 1, 2 do
      local key = ("%s-%d"):format(kind[1], threads)
      b:row {
        name = ("prealloc %s, threads %d"):format(kind[1], threads), unit = "GiB/s",
        what = ("object_add of %s with prealloc, %d MiB; limit: mmap and MADV_POPULATE_WRITE")
          :format(kind[2], size >> 20),
        lunik = all.lunik[key], qemu = all.qemu[key], limit = all.limit[key],
        target = { vs = "qemu", at_least = 1 },
      }
    end
  end
end

return {
  name = "memory",
  title = "Guest memory: bulk access from Lua, preallocation",
  run = function(b)
    bulk_rows(b)
    prealloc_rows(b)
  end,
}
