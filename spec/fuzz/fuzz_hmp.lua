-- The script of fuzz_hmp.c: each line of an input is completed, then carried out. Byte 0x01 stands
-- for a command of the table below, the next byte says which.

local lunik = require "lunik"
local hmp = require "lunik.hmp.line"
local input = require "spec.fuzz.input"

local commands = {
  "xp/4i 0x1000\n", "x/2i 0\n", "xp /8xb 0x", "info mtree -f -d\n", "info ", "help info ",
  "device_add pc-dimm,id=d1,memdev=m1\n", "object_add memory-backend-ram,id=m1,size=2M\n",
  "device_del d1\n", "object_del m1\n", "device_add ", "object_add ", "memdev=", ",id=", "qom-get ",
  "qom-set /machine/rtc ", "info stats vm\n", "info roms\n", "info registers -a\n", "p (1 << 3) + ",
  "sum 0 16\n", "i/b 0x70\n", "o/b 0x70 0x2f\n", "print $", "cont\n", "stop\n", "set_link ",
  "cpu 0\n",
}

-- What would reach files or networks of the user who runs this, or take long.
local refused = { "save", "file", "netdev", "chardev", "rng", "blockdev", "socket", "/%d%d%d",
  "size=", "sum", "dump", "prealloc" }

local function is_refused(line)
  if line:find "^object_add memory%-backend%-ram,id=m1,size=2M$" then return false end
  for _, pattern in ipairs(refused) do
    if line:find(pattern) then return true end
  end
  return false
end

local function try(m, line)
  hmp.is_command(line)
  for position = 0, math.min(#line, 64) do
    local found, from = hmp.complete(m, line, position)
    if from < 1 or from > position + 1 then error(("wrong place: %q %d"):format(line, from), 0) end
    for _, word in ipairs(found) do
      if word:sub(1, position - from + 1) ~= line:sub(from, position) then
        error(("does not fit: %q %q"):format(line, word), 0)
      end
    end
  end
  if is_refused(line) or line:find "\0" then return end
  local text = m:hmp(line)
  if text ~= "" and text:sub(-1) ~= "\n" then error(("no end of line: %q"):format(line), 0) end
end

return function(bytes)
  input.start(bytes)
  local m = lunik.machine { board = "pc", accel = "none", memory = "16M", maxmem = "1G", slots = 2,
    serial = "none", acpi = true }
  m:write(0x1000, bytes)
  local text = bytes:gsub("\1(.)", function(which)
    return commands[which:byte() % #commands + 1]
  end)
  for line in text:gmatch "[^\n]+" do
    if m.state == "closed" or m.state == "shutdown" then break end
    try(m, line)
  end
  m:close()
end
