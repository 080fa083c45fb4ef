--- Commands about memory.

local event = require "lunik.event"
local json = require "lunik.json"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"
local options = require "lunik.options"
local translate = require "lunik.translate"
local wait = require "lunik.wait"

local function array(list) return setmetatable(list or {}, json.Array) end

local function dashed(t)
  local out = {}
  for key, value in pairs(t) do out[key:gsub("_", "-")] = value end
  return out
end

local function memory_devices(m)
  local list = array()
  for i, device in ipairs(m:memory_devices()) do
    local data = dashed(device.data)
    if device.type == "virtio-mem" then
      data.memaddr, data.addr, data.hotpluggable, data.hotplugged = data.addr, nil, nil, nil
    end
    list[i] = { type = device.type, data = data }
  end
  return list
end

local function plugged(m)
  local size = 0
  for _, device in ipairs(m:memory_devices()) do size = size + device.data.size end
  return size
end

local function memory_size_summary(m)
  local base, seen = 0, {}
  for _, object in ipairs(m:objects()) do
    local backend = object.type == "ram" and object:get "memdev"
    if backend and not seen[backend] then
      seen[backend] = true
      base = base + m:object(backend).size
    end
  end
  return { ["base-memory"] = base, ["plugged-memory"] = plugged(m) }
end

local function memdevs(m)
  local list = array()
  for _, object in ipairs(m:objects()) do
    if object:is "memory-backend" then
      list[#list + 1] = {
        id = object.id, size = object.size, merge = object.merge, dump = object.dump,
        prealloc = object.prealloc, share = object.share, reserve = object.reserve,
        ["host-nodes"] = array(object:get "host-nodes"), policy = object.policy,
      }
    end
  end
  return list
end

local function acpi_ospm_status(m)
  local list, seen, slots = array(), event.state(m).ost or {}, 0
  local devices = {}
  for _, object in ipairs(m:objects()) do
    if object.type == "acpi-memory-hotplug" then slots = object.slots end
    if object.type == "pc-dimm" then devices[object.slot] = object end
  end
  for slot = 0, slots - 1 do
    local last = seen["DIMM" .. slot] or { source = 0, status = 0 }
    local device = devices[slot]
    list[#list + 1] = { device = device and device.id ~= "" and device.id or nil,
      slot = tostring(slot), ["slot-type"] = "DIMM", source = last.source, status = last.status }
  end
  return list
end

-- ---- saving ------------------------------------------------------------------------------------

local CHUNK = 1 << 20

local function save(m, args, read)
  if args.size < 0 then failure.generic("Parameter 'size' expects a positive value") end
  local file = options.open("filename", fds.path(m, args.filename), "wb")
  local ok, err = pcall(function()
    local left, at = args.size, args.val
    while left > 0 do
      local count = math.min(left, CHUNK)
      local written, why = file:write(read(at, count))
      if not written then failure.generic("%s: %s", args.filename, why) end
      at, left = at + count, left - count
    end
  end)
  file:close()
  if not ok then error(err, 0) end
end

local function pmemsave(m, args)
  save(m, args, function(at, count) return m:read(at, count) end)
end

local function read_linear(m, regs, address, size)
  local bytes, missing = translate.read(m, regs, address, size)
  return bytes or failure.generic("Invalid addr 0x%016x/size specified", missing)
end

local function memsave(m, args)
  local index = args["cpu-index"] or 0
  for _, vcpu in ipairs(m:cpus()) do
    if vcpu.index == index then
      local regs = vcpu:regs()
      return save(m, args, function(at, count) return read_linear(m, regs, at, count) end)
    end
  end
  failure.generic("Parameter 'cpu-index' expects a CPU number")
end

-- ---- dirty rate --------------------------------------------------------------------------------

local function calc_dirty_rate(m, args)
  local state, mode = event.state(m), args.mode or "page-sampling"
  if state.measuring then failure.generic("dirty rate is still measuring") end
  if args["calc-time"] < 1 or args["calc-time"] > 60 then
    failure.generic("calc-time is out of range[1, 60].")
  end
  local given = { seconds = args["calc-time"], mode = mode, sample_pages = args["sample-pages"] }
  local info = { status = "measuring", ["start-time"] = os.time(),
    ["calc-time"] = args["calc-time"], ["sample-pages"] = args["sample-pages"] or 512,
    mode = mode }
  local task = wait.spawn(function()
    local ok, result = pcall(m.dirty_rate, m, given)
    if not ok then
      info.status, info.failed = "unstarted", true
      error(result, 0)
    end
    info.status, info["dirty-rate"] = "measured", math.floor(result.rate)
    for _, vcpu in ipairs(result.vcpus or {}) do
      info["vcpu-dirty-rate"] = info["vcpu-dirty-rate"] or array()
      table.insert(info["vcpu-dirty-rate"],
        { id = vcpu.index, ["dirty-rate"] = math.floor(vcpu.rate) })
    end
  end)
  if info.failed then task:wait() end
  state.dirty_rate = info
end

local function query_dirty_rate(m)
  return event.state(m).dirty_rate or { status = "unstarted", ["start-time"] = 0,
    ["calc-time"] = 0, ["sample-pages"] = 512, mode = "page-sampling" }
end

return {
  { name = "query-memory-devices", returns = "[MemoryDeviceInfo]", run = memory_devices },
  { name = "query-memory-size-summary", returns = "MemoryInfo", run = memory_size_summary },
  { name = "query-memdev", returns = "[Memdev]", run = memdevs },
  { name = "query-acpi-ospm-status", returns = "[ACPIOSTInfo]", run = acpi_ospm_status },
  { name = "memsave", args = { val = "int", size = "int", filename = "str",
    ["cpu-index"] = "?int" }, run = memsave },
  { name = "pmemsave", args = { val = "int", size = "int", filename = "str" },
    run = pmemsave },
  { name = "calc-dirty-rate", args = { ["calc-time"] = "int", ["sample-pages"] = "?int",
    mode = "?DirtyRateMeasureMode" }, run = calc_dirty_rate },
  { name = "query-dirty-rate", returns = "DirtyRateInfo", run = query_dirty_rate },
}
