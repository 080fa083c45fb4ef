-- The script of fuzz_lua.c: makes the calls of the Lua API that an input encodes, with any values.
--
-- Every call either works or raises an error object or an argument error. A refused call changes no
-- objects; after a machine is closed nothing of it works.

local lunik = require "lunik"
local input = require "spec.fuzz.input"

local byte, number, pick = input.byte, input.number, input.pick

local MiB = 1 << 20
local OPERATIONS_MAX = 60

-- ---- values ------------------------------------------------------------------------------------

local kept -- what earlier calls returned: machines, regions, handles

local hostile = {
  function() return nil end,
  function() return true end,
  function() return byte() end,
  function() return number(8) end,
  function() return -number(2) end,
  function() return 1 << byte() % 64 end,
  function() return byte() / 3 end,
  function() return math.huge end,
  function() return 0 / 0 end,
  function() return input.text(16) end,
  function() return ("x"):rep(number(2) % 3000) end,
  function() return {} end,
  function() return { byte(), byte() } end,
  function() return function(...) return ... end end,
  function() return function() error "refused" end end,
  function() return coroutine.create(print) end,
  function() return io.stderr end,
  function() return setmetatable({}, { __index = function(_, key) error(key) end }) end,
  function() return kept[byte() % 8 + 1] end,
  function() return kept[byte() % 8 + 1] end,
}

local function any() return pick(hostile)() end

-- A value that fits, but for one in eight.
local function sound(value)
  if byte() % 8 == 0 then return any() end
  return value
end

local function address() return sound(number(3) << (byte() % 3) * 12) end
local function size() return sound((1 + byte() % 64) << 12) end
-- How much of memory: never more than what a call is done with at once.
local function length()
  if byte() % 8 == 0 then return pick { "x", -1, 0.5, {}, "16", false } end
  return number(2)
end
local ids = { "m0", "m1", "m2", "d0", "d1", "d2", "pc.ram", "rtc", "nothing" }
local function id() return sound(pick(ids)) end

-- Adds a key that is any, one time in eight.
local function options(t)
  if byte() % 8 == 0 then t[pick { "id", "size", "name", "x", 1 }] = any() end
  return t
end

-- ---- calls -------------------------------------------------------------------------------------

local m

-- An error that is no error object is a mistake in the library, unless it was raised here.
local function check_error(err)
  if type(err) == "table" and type(err.code) == "string" then
    if err.message == "" or err.message:find "%c" then
      error(("an error without a line of text: %q"):format(err.message), 0)
    end
  elseif type(err) ~= "string" or not err:find "fuzz_lua" then
    error("an error of another kind: " .. tostring(err), 0)
  end
end

local depth = 0

-- Calls and keeps what comes back. What fails adds no object and takes none away.
local function try(fn, ...)
  local before = depth <= 1 and #m:objects()
  local result = table.pack(pcall(fn, ...))
  if result[1] then
    if result[2] ~= nil then kept[byte() % 8 + 1] = result[2] end
    return result[2]
  end
  check_error(result[2])
  if before and #m:objects() ~= before then
    error(("%d objects have become %d: %s"):format(before, #m:objects(), result[2]), 0)
  end
end

local function method(object, name, ...)
  return try(function(...) return object[name](object, ...) end, ...)
end

local function region_options()
  local kind = pick { "container", "ram", "rom", "io", "alias", "reserved", "rom-device" }
  local o = { kind = sound(kind), name = sound "r", size = size() }
  if kind == "alias" then
    o.target, o.offset = kept[byte() % 8 + 1], address()
  elseif kind == "io" or kind == "rom-device" then
    o.read = sound(function(offset) return offset end)
    o.write = sound(function() end)
  end
  if kind == "ram" or kind == "rom" or kind == "rom-device" then o.memdev = id() end
  return options(o)
end

local function some() return kept[byte() % 8 + 1] end

-- The class of one of the library's handles, or nil.
local function class(thing)
  local name = type(thing) == "userdata" and getmetatable(thing)
  return type(name) == "string" and name or nil
end

local function is(thing, name) return class(thing) == name end

local fields = {
  "size", "name", "enabled", "offset", "priority", "readonly", "romd", "alias_offset", "kind",
  "parent", "children", "id", "state", "alive", "nothing",
}

local objects = {
  function() method(m, "object_add", sound "memory-backend-ram",
    options { id = id(), size = sound(2 * MiB) }) end,
  function() method(m, "object_add", sound "chardev-buffer", options { id = id() }) end,
  function() method(m, "object_add", any(), any()) end,
  function() method(m, "object_del", id()) end,
  function() method(m, "device_add", sound "pc-dimm",
    options { id = id(), memdev = id(), slot = byte() % 4 == 0 and any() or nil }) end,
  function() method(m, "device_add", any(), any()) end,
  function() method(m, "device_del", id()) end,
  function() method(m, "object", id()) end,
  function() method(m, "memory_devices") end,
}

local regions = {
  function() method(m, "region", region_options()) end,
  function()
    local to = byte() % 2 == 0 and m.memory.root or some()
    if is(to, "lunik.Region") then
      method(to, "add", some(), address(), options { priority = sound(byte() % 4), overlap = true })
    end
  end,
  function()
    local r = some()
    if not is(r, "lunik.Region") then return end
    local _, parent = pcall(function() return r.parent end) -- its memory may be gone
    method(is(parent, "lunik.Region") and parent or r, "del", r)
  end,
  function()
    local r, field, value = some(), pick(fields), any()
    if class(r) then try(function() r[field] = value end) end
  end,
  function()
    local r, field = some(), pick(fields)
    if class(r) then try(function() return r[field] end) end
  end,
  function()
    local r = some()
    if is(r, "lunik.Region") then
      method(r, "ioeventfd", options { offset = sound(byte()), size = sound(1 << byte() % 4),
        fn = sound(function() end) })
    end
  end,
  function()
    local r = some()
    if is(r, "lunik.Region") then method(r, "coalesce", sound(byte()), sound(byte())) end
  end,
}

local memory = {
  function() method(m, "read", address(), length()) end,
  function() method(m, "write", address(), sound(input.prefix(byte()))) end,
  function() method(m, "load", address(), sound(1 << byte() % 4)) end,
  function() method(m, "store", address(), sound(1 << byte() % 4), any()) end,
  function() method(m, "fill", address(), length(), sound(byte())) end,
  function() method(m, "search", sound(input.prefix(4)), options { from = address() }) end,
  function() method(m, "hash", address(), length(), sound(pick { "xxh64", "sha256" })) end,
  function() method(m, "map", address(), length()) end,
  function() method(m.memory, pick { "find", "why" }, address()) end,
  function()
    local map = some()
    if is(map, "lunik.Mapping") then
      method(map, pick { "read", "write", "fill", "hash", "close", "get", "set", "string", "view" },
        any(), any(), any())
    end
  end,
  function() method(m, pick { "inb", "inw", "inl" }, sound(number(2))) end,
  function() method(m, pick { "outb", "outw", "outl" }, sound(number(2)), sound(number(4))) end,
}

local operate

local machine = {
  function() method(m, pick { "start", "pause", "resume", "reset" }) end,
  function() method(m, "shutdown", sound(byte())) end,
  function() method(m, "powerdown") end,
  function() method(m, "advance", sound(number(4))) end,
  function() method(m, "on", sound "reset", any()) end,
  function() method(m, "emit", any(), any()) end,
  function()
    method(m, "listen", options { region_add = any(), commit = sound(function() end) })
  end,
  function() method(m, "timer", any()) end,
  function() method(m, "irq", sound(byte() % 32)) end,
  function() method(m, "mtree", options { flat = sound(true) }) end,
  function() method(m, "dirty", options { region = some() }) end,
  function()
    method(m, "fwmap_add", options { base = address(), size = size(), type = sound "ram" })
  end,
  function() method(m, "rom_add", sound "rom", address(), sound(input.prefix(byte()))) end,
  function()
    local thing = some()
    if class(thing) and not is(thing, "lunik.Machine") then
      method(thing, pick { "set", "cancel", "close", "remove", "off", "get", "start", "stop",
        "sync", "count", "ranges", "clear", "pulse" }, any(), any())
    end
  end,
  function()
    local ok, before, committed = byte() % 3 > 0, m:mtree { flat = true }, false
    try(function()
      m:transaction(function()
        for _ = 1, byte() % 6 do operate() end
        if not ok then error(lunik.error("busy", "refused"), 0) end
      end)
      committed = true
    end)
    if not committed and m:mtree { flat = true } ~= before then
      error("a transaction that failed has changed the memory map", 0)
    end
  end,
  function() lunik.run "nowait" end,
  function() try(lunik.size, any()) end,
  function() collectgarbage() end,
}

local kinds = { objects, objects, regions, regions, memory, machine }

function operate()
  if depth > 3 then return end
  depth = depth + 1
  pick(pick(kinds))()
  depth = depth - 1
end

-- ---- one input ---------------------------------------------------------------------------------

return function(bytes)
  input.start(bytes)
  kept = {}
  m = lunik.machine {
    accel = "none", clock = "manual", memory = "2M", maxmem = "64M", slots = 2, acpi = false,
  }
  lunik.on_error(function() end)
  depth = 0
  for _ = 1, OPERATIONS_MAX do
    if not input.more() then break end
    operate()
  end
  m:close()
  for _, thing in pairs(kept) do
    if type(thing) == "userdata" then tostring(thing) end
  end
  if #lunik.machines() > 0 then error "a machine is left" end
end
