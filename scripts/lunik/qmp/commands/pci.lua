--- query-pci.

local json = require "lunik.json"

local function array(list) return setmetatable(list or {}, json.Array) end

local function regions(f)
  local list = array()
  for i, bar in ipairs(f.bars) do
    list[i] = { bar = bar.index, type = bar.kind == "io" and "io" or "memory",
      address = bar.address, size = 0, prefetch = bar.kind ~= "io" and (bar.prefetch or false)
      or nil, mem_type_64 = bar.kind ~= "io" and bar.kind == "memory64" or nil }
  end
  return list
end

local function describe(f)
  local kind = tostring(f):match "^%S+ (.-):"
  return {
    bus = f.bus_number, slot = f.slot, ["function"] = f.fn,
    class_info = { desc = kind, class = f.class >> 8 },
    id = { vendor = f.vendor, device = f.device }, irq = f.pin ~= 0 and f.line or nil,
    irq_pin = f.pin, qdev_id = f.object.id, regions = regions(f),
  }
end

local function query_pci(m)
  local buses, list = {}, array()
  for _, f in ipairs(m:pci()) do
    local bus = buses[f.bus]
    if not bus then
      bus = { bus = f.bus_number, devices = array() }
      buses[f.bus] = bus
      list[#list + 1] = bus
    end
    table.insert(bus.devices, describe(f))
  end
  return list
end

return { { name = "query-pci", returns = "[PciInfo]", run = query_pci } }
