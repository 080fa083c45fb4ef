--- target.xml: how gdb is told which registers there are.

local registers = require "lunik.gdb.registers"

local target_xml = {}

local NAMES = { amd64 = "i386:x86-64", i386 = "i386", i8086 = "i8086" }

local EFLAGS = { [0] = "CF", [2] = "PF", [4] = "AF", [6] = "ZF", [7] = "SF", [8] = "TF", [9] = "IF",
  [10] = "DF", [11] = "OF", [14] = "NT", [16] = "RF", [17] = "VM", [18] = "AC", [19] = "VIF",
  [20] = "VIP", [21] = "ID" }

local MXCSR = { [0] = "IE", "DE", "ZE", "OE", "UE", "PE", "DAZ", "IM", "DM", "ZM", "OM", "UM", "PM",
  [15] = "FZ" }

local function flags(id, names)
  local lines = { ('<flags id="%s" size="4">'):format(id) }
  for bit = 0, 31 do
    if names[bit] then
      lines[#lines + 1] = ('<field name="%s" start="%d" end="%d"/>'):format(names[bit], bit, bit)
    end
  end
  lines[#lines + 1] = "</flags>"
  return table.concat(lines)
end

local VECTOR = [[<vector id="v4f" type="ieee_single" count="4"/>]]
  .. [[<vector id="v2d" type="ieee_double" count="2"/><vector id="v16i8" type="int8" count="16"/>]]
  .. [[<vector id="v8i16" type="int16" count="8"/><vector id="v4i32" type="int32" count="4"/>]]
  .. [[<vector id="v2i64" type="int64" count="2"/><union id="vec128">]]
  .. [[<field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>]]
  .. [[<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>]]
  .. [[<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>]]
  .. [[<field name="uint128" type="uint128"/></union>]]

local TYPES = {
  ["org.gnu.gdb.i386.core"] = flags("i386_eflags", EFLAGS),
  ["org.gnu.gdb.i386.sse"] = VECTOR .. flags("i386_mxcsr", MXCSR),
}

local cache = {}

local function make(architecture)
  local lines = { '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>',
    ("<architecture>%s</architecture>"):format(NAMES[architecture]) }
  local feature
  for _, reg in ipairs(registers.list(architecture)) do
    if reg.feature ~= feature then
      if feature then lines[#lines + 1] = "</feature>" end
      feature = reg.feature
      lines[#lines + 1] = ('<feature name="%s">%s'):format(feature, TYPES[feature] or "")
    end
    lines[#lines + 1] = ('<reg name="%s" bitsize="%d" type="%s" regnum="%d"/>'):format(reg.name,
      reg.size * 8, reg.type, reg.number)
  end
  lines[#lines + 1] = "</feature></target>"
  return table.concat(lines, "\n")
end

--- Returns the description of an architecture's registers.
function target_xml.text(architecture)
  cache[architecture] = cache[architecture] or make(architecture)
  return cache[architecture]
end

return target_xml
