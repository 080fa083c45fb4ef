-- A driver of the disk in a slot of the host bridge's bus, one request at a time; slots 1 to 6 in
-- 16 MiB of memory.
local wait_for = require "spec.support.wait_for"

local RING, AVAIL, USED, DATA = 0, 0x1000, 0x2000, 0x80000
local NEXT, WRITABLE = 1, 2

local M = { READ = 0, WRITE = 1, FLUSH = 4, DISCARD = 11 }

local function set_config(m, slot, offset, size, value)
  m:outl(0xcf8, 0x80000000 | slot << 11 | offset & 0xfc)
  m.io:store(0xcfc + (offset & 3), size, value)
end

-- Makes the device in a slot ready, with one queue of eight entries.
function M.start(m, slot)
  local d = { m = m, sent = 0, bar = 0xe8000000 + (slot << 20), base = slot << 21 }
  set_config(m, slot, 0x20, 4, d.bar)
  set_config(m, slot, 0x24, 4, 0)
  set_config(m, slot, 4, 2, 6)
  m:fill(d.base, 0x3000, 0)
  local function set(offset, size, value) m:store(d.bar + offset, size, value) end
  set(0x14, 1, 0)
  set(0x14, 1, 3)
  set(8, 4, 0)
  set(0xc, 4, 1 << 9 | 1 << 13) -- flush, discard
  set(8, 4, 1)
  set(0xc, 4, 1) -- version 1
  set(0x14, 1, 11)
  set(0x16, 2, 0)
  set(0x18, 2, 8)
  for i, address in ipairs { RING, AVAIL, USED } do set(0x18 + 8 * i, 4, d.base + address) end
  set(0x1c, 2, 1)
  set(0x14, 1, 15)
  return d
end

local function descriptor(d, index, address, size, flags)
  d.m:write(d.base + RING + 16 * index, ("<I8I4I2I2"):pack(address, size, flags, index + 1))
end

-- Carries out a request: what is written, or how much is read. Returns the status, and the data.
function M.request(d, kind, sector, data, size)
  local m, header = d.m, ("<I4I4I8"):pack(kind, 0, sector) .. (data or "")
  local out, back = d.base + DATA, d.base + 2 * DATA
  m:write(out, header)
  descriptor(d, 0, out, #header, NEXT)
  descriptor(d, 1, back, (size or 0) + 1, WRITABLE)
  m:write(d.base + AVAIL + 4 + 2 * (d.sent % 8), ("<I2"):pack(0))
  d.sent = d.sent + 1
  m:write(d.base + AVAIL + 2, ("<I2"):pack(d.sent))
  m:store(d.bar + 0x3000, 2, 0)
  wait_for(function()
    return ("<I2"):unpack(m:read(d.base + USED + 2, 2)) == d.sent & 0xffff
  end)
  local answer = m:read(back, (size or 0) + 1)
  return answer:byte(-1), answer:sub(1, -2)
end

return M
