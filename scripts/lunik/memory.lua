--- Typed access to guest memory: numbers and strings, arrays of numbers, mappings with bounds,
-- search.

local core = require "lunik.core"
local options = require "lunik.options"

local fail = options.fail

local memory = {}

-- ---- types -------------------------------------------------------------------------------------

-- name -> { size, format of string.unpack, swapped }
local types = {}
for size = 1, 8 do
  if size & (size - 1) == 0 then
    for sign, letter in pairs { u = "I", i = "i" } do
      local name = ("%s%d"):format(sign, size * 8)
      types[name] = { size = size, format = "<" .. letter .. size }
      types[name .. "le"] = types[name]
      types[name .. "be"] = { size = size, format = ">" .. letter .. size }
    end
  end
end
for name, letter in pairs { f32 = "f", f64 = "d" } do
  local size = string.packsize("<" .. letter)
  types[name] = { size = size, format = "<" .. letter }
  types[name .. "le"] = types[name]
  types[name .. "be"] = { size = size, format = ">" .. letter }
end

local function type_of(what, name)
  local found = types[name]
  if found then return found end
  fail("invalid", "%s: type: '%s' is not a type (want u8, u16, u32, u64, i8 to i64, f32 or f64, "
    .. "optionally with le or be at the end)", what, tostring(name))
end

local function bytes_of(what, kind, name, value)
  local ok, bytes = pcall(string.pack, kind.format, value)
  if ok and type(value) == "number" then return bytes end
  -- u64 accepts any integer's bits; smaller types only values that fit.
  fail("invalid", "%s: %s is not a %s", what, options.show(value), name)
end

-- Makes one access of the type's size, as a vCPU would.
local function load(space, address, kind)
  return (string.unpack(kind.format, string.pack("<i8", space:load(address, kind.size))))
end

local function store(space, address, kind, name, value)
  local number = string.unpack("<i" .. kind.size, bytes_of("set: value", kind, name, value))
  if kind.size < 8 then number = number & (1 << kind.size * 8) - 1 end
  space:store(address, kind.size, number)
end

-- ---- arrays ------------------------------------------------------------------------------------

local View = { __name = "lunik.View" }
memory.View = View

local function element(self, index)
  local n = type(index) == "number" and math.tointeger(index)
  if not n or n < 1 or n > self.count then
    fail("invalid", "view: [%s] is out of bounds (want 1 to %d)", tostring(index), self.count)
  end
  return (n - 1) * self.kind.size
end

local views = setmetatable({}, { __mode = "k" })

function View.__index(view, key)
  local self = views[view]
  if View[key] then return View[key] end
  if key == "type" then return self.name end
  if type(key) ~= "number" then return nil end
  return self.at:get(self.name, element(self, key) + self.base)
end

function View.__newindex(view, key, value)
  local self = views[view]
  self.at:set(self.name, element(self, key) + self.base, value)
end

function View.__len(view) return views[view].count end

function View.__tostring(view)
  local self = views[view]
  return ("view of %d %s at 0x%x"):format(self.count, self.name, self.base)
end

--- Returns all values, read at once.
function View.values(view)
  local self, list = views[view], {}
  local data, at = self.at:read(self.base, self.count * self.kind.size), 1
  for i = 1, self.count do
    list[i], at = string.unpack(self.kind.format, data, at)
  end
  return list
end

options.guard(View.__name, View, View)

local function new_view(at, name, base, count)
  local kind = type_of("view", name)
  base = options.value("view: address", base, "address")
  count = options.value("view: count", count, "count")
  if count > math.maxinteger // kind.size then
    fail("invalid", "view: %d %s end beyond the address space", count, name)
  end
  local view = setmetatable({}, View)
  views[view] = { at = at, name = name, kind = kind, base = base, count = count }
  return view
end

-- ---- spaces ------------------------------------------------------------------------------------

local Space = {}

function Space.get(space, name, address)
  return load(space, address, type_of("get", name))
end

function Space.set(space, name, address, value)
  store(space, address, type_of("set", name), name, value)
end

function Space.view(space, name, address, count)
  local view = new_view(space, name, address, count)
  local last = #view * types[name].size - 1
  local base = views[view].base
  if last >= 0 and math.ult(base + last, base) then
    fail("invalid", "view: %d %s at 0x%x end beyond the address space", #view, name, base)
  end
  return view
end

-- Converts "48 8b ?? 05" to bytes and mask.
local function parse_hex(hex)
  local bytes, mask = {}, {}
  for digits in hex:gmatch "%S+" do
    if not digits:match "^[%x?][%x?]$" then
      fail("invalid", "search: hex: '%s' is not two digits (want 0-9, a-f, or ? for any)", digits)
    end
    bytes[#bytes + 1] = string.char(tonumber((digits:gsub("?", "0")), 16))
    mask[#mask + 1] = string.char(tonumber((digits:gsub("%x", "f"):gsub("?", "0")), 16))
  end
  return table.concat(bytes), table.concat(mask)
end

local search_options = {
  from = "address", length = "any", align = "size", mask = "any", hex = "boolean",
}

--- Returns the address of the first match in RAM at or after from; nil if there is none.
function Space.search(space, bytes, opts)
  local opt = options.parse("search", opts, search_options)
  local mask = opt.mask
  if opt.hex and mask then
    fail("invalid", "search: mask: can't be used with hex (want ? for digits that may be anything)")
  end
  if opt.hex then bytes, mask = parse_hex(options.value("search: hex", bytes, "string")) end
  local from = opt.from or 0
  local length = opt.length
  if length == nil or length == core.SIZE_MAX then
    length = from == 0 and core.SIZE_MAX or -from -- to the end
  else
    length = options.value("search: length", length, "size")
  end
  return space:find_bytes(from, length, bytes, mask, opt.align or 1)
end

-- ---- mappings ----------------------------------------------------------------------------------

local Mapping = {}
memory.Mapping = Mapping
Mapping.__name = "lunik.Mapping"

local fields = {}
function fields.valid(self)
  return not self.closed and self.machine_open() and self.space:shows(self.section)
end

function Mapping.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Mapping[key]
end

-- Returns the address of size bytes at offset; raises an error beyond the bounds, and if the
-- section is gone.
local function within(self, what, offset, size)
  offset = options.value(what .. ": offset", offset, "size")
  size = options.value(what .. ": length", size, "size")
  if size > self.size or offset > self.size - size then
    fail("invalid", "%s: %d bytes at offset %d are beyond the mapping (it has %d)", what, size,
      offset, self.size)
  end
  if self.closed then fail("gone", "%s: the mapping is closed", what) end
  if not self.space:shows(self.section) then
    fail("gone", "%s: region '%s' is not at 0x%x any more", what, self.name, self.address)
  end
  return self.address + offset
end

function Mapping:read(offset, length)
  return self.space:read(within(self, "read", offset, length), length)
end

function Mapping:write(offset, data)
  if type(data) ~= "string" then
    fail("invalid", "write: data: %s is not a string", options.show(data))
  end
  self.space:write(within(self, "write", offset, #data), data)
end

function Mapping:fill(offset, length, byte)
  self.space:fill(within(self, "fill", offset, length), length, byte)
end

function Mapping:hash(offset, length, kind)
  offset = options.value("hash: offset", offset or 0, "size")
  length = length or self.size - offset
  return self.space:hash(within(self, "hash", offset, length), length, kind)
end

function Mapping:get(name, offset)
  local kind = type_of("get", name)
  return load(self.space, within(self, "get", offset, kind.size), kind)
end

function Mapping:set(name, offset, value)
  local kind = type_of("set", name)
  store(self.space, within(self, "set", offset, kind.size), kind, name, value)
end

function Mapping:string(offset, max)
  local address = within(self, "string", offset, 0)
  max = options.value("string: max", max or self.size, "size")
  return self.space:string(address, math.min(max, self.address + self.size - address))
end

function Mapping:view(name, offset, count)
  local view = new_view(self, name, offset, count)
  within(self, "view", offset, #view * types[name].size)
  return view
end

function Mapping:close() self.closed = true end
options.guard(Mapping.__name, Mapping, Mapping)
Mapping.__close = Mapping.close

function Mapping:__tostring()
  return ("mapping of 0x%x bytes of '%s' at 0x%x"):format(self.size, self.name, self.address)
end

--- Maps the part of one region's RAM that shows at [address, address + length).
function Space.map(space, address, length)
  address = options.value("map: address", address, "address")
  local section = space:find(address)
  if not section or not section.romd then
    fail("access", "map: there is no RAM at 0x%x", address)
  end
  local room = section.size - (address - section.address)
  length = length == nil and room or options.value("map: length", length, "size")
  if length < 1 or length > room then
    fail("invalid", "map: %d bytes at 0x%x are more than region '%s' shows there (want 1 to %d)",
      length, address, section.name, room)
  end
  return setmetatable({
    space = space, region = section.region, name = section.name, address = address, size = length,
    section = {
      region = section.region, address = address, size = length,
      offset = section.offset + (address - section.address),
    },
    machine_open = function() return (pcall(space.find, space, address)) end,
  }, Mapping)
end

options.guard("lunik.Space", Space, core.classes.Space.methods)

return memory
