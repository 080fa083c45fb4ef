-- The script of fuzz_options.c: makes machines from the options that an input encodes.

local lunik = require "lunik"
local input = require "spec.fuzz.input"

local byte, number, pick = input.byte, input.number, input.pick

local function text() return input.text(24) end

-- ---- values ------------------------------------------------------------------------------------

local hostile = {
  function() return true end,
  function() return false end,
  function() return byte() end,
  function() return number(8) end,
  function() return -number(2) end,
  function() return 1 << byte() % 64 end,
  function() return byte() / 7 end,
  function() return 0 / 0 end,
  text,
  function() return ("%d%s"):format(number(2), pick { "", "K", "M", "G", "T", "E", "X" }) end,
  function() return {} end,
  function() return { text(), [text()] = byte() } end,
  function() return { { text(), { id = text() } } } end,
  function() return print end,
  function() return setmetatable({}, { __index = function() error "refused" end }) end,
}

local function any() return pick(hostile)() end

-- A value that fits, but for one in sixteen.
local function sound(value)
  if byte() % 16 == 0 then return any() end
  return value
end

local function size()
  return sound(pick { "1M", "2M", "640K", "3M", "64M", "1G", "3584M", "3G", "4G", "1T", "4P", 4096,
    1 << 20, 0, "1" })
end

local function count() return sound(byte() % 9) end
local function flag() return sound(byte() % 2 == 0) end

local function list(most, item)
  local out = {}
  for i = 1, byte() % (most + 1) do out[i] = sound(item()) end
  return sound(out)
end

local function node()
  return {
    memory = byte() % 2 == 0 and size() or nil,
    memdev = byte() % 4 == 0 and "m" .. byte() % 3 or nil,
    cpus = byte() % 2 == 0 and list(4, count) or nil,
    distances = byte() % 4 == 0 and list(4, function() return byte() end) or nil,
  }
end

local function thing(types)
  local properties = { id = sound(pick { "m0", "m1", "m2", "d0" }) }
  if byte() % 2 == 0 then properties.size = size() end
  if byte() % 2 == 0 then properties.memdev = sound(pick { "m0", "m1" }) end
  if byte() % 8 == 0 then properties[text()] = any() end
  return { sound(pick(types)), properties }
end

-- Never a file of the user who runs this.
local files = { "/dev/null", "/nonexistent/file", "", "/proc/self/comm", "/" }
local function file() return pick(files) end

local features = { "-xsave", "+hypervisor", "family=6", "=", "+" }

-- The options, each with what makes a value for it.
local values = {
  memory = size, maxmem = size, lowmem = size, pci64 = size, slots = count, cpus = count,
  sockets = count, cores = count, threads = count, dirty_ring = count, acpi = flag,
  kernel = file, initrd = file, firmware = file,
  name = text, cmdline = text,
  memdev = function() return sound(pick { "m0", "m1", "pc.ram" }) end,
  accel = function() return pick { "none", "none", "none", "nine", "" } end,
  clock = function() return sound(pick { "manual", "other" }) end,
  dirty_log = function() return sound(pick { "auto", "bitmap", "manual", "x" }) end,
  debugcon = function() return sound(pick { "null", "buffer", "none" }) end,
  rtc = function() return sound(pick { "machine", "host", "x" }) end,
  serial = function()
    return sound(pick { "null", "buffer", "none", "pty", "file:/dev/null", "unix:/nonexistent/s" })
  end,
  modules = function() return list(3, file) end,
  numa = function() return list(4, node) end,
  cpu = function()
    return list(3, function() return pick(features) end)
  end,
  objects = function()
    return list(3, function() return thing { "memory-backend-ram", "chardev-null", "pc-dimm" } end)
  end,
  devices = function()
    return list(3, function() return thing { "pc-dimm", "debugcon", "memory-backend-ram" } end)
  end,
}

local names = {}
for name in pairs(values) do names[#names + 1] = name end
table.sort(names)

-- ---- one input ---------------------------------------------------------------------------------

local function check_error(err)
  if type(err) == "string" and err:find "fuzz_options.lua:%d+: refused" then return end
  if type(err) ~= "table" or type(err.code) ~= "string" then
    error("an error of another kind: " .. tostring(err), 0)
  elseif err.message == "" or err.message:find "%c" then
    error(("an error without a line of text: %q"):format(err.message), 0)
  end
end

local function choose()
  local given = { accel = "none", acpi = false }
  for _ = 1, byte() % 10 do
    local name = pick(names)
    given[name] = values[name]()
  end
  if byte() % 16 == 0 then given[text()] = any() end
  if byte() % 2 == 0 then given.board = sound(pick { "pc", "micro" }) end
  if given.accel == "kvm" then given.accel = "none" end
  return given
end

local function look_at(m)
  for _, object in ipairs(m:objects()) do tostring(object) end
  if m:mtree { flat = true } == "" or m:memory_map { format = pick { "text", "svg" } } == "" then
    error("a machine without memory map", 0)
  end
end

return function(bytes)
  input.start(bytes)
  while input.more() do
    local ok, m = pcall(lunik.machine, choose())
    if ok then
      look_at(m)
      m:close()
    else
      check_error(m)
    end
    if #lunik.machines() > 0 then error("a machine is left", 0) end
  end
end
