-- For specs: machines without vCPUs, closed after each test, and errors as values.
local lunik = require "lunik"

local machines = {}

-- A machine without vCPUs; options are added to those of a small micro board.
function machines.none(options)
  local all = { board = "micro", accel = "none", memory = "16M", name = "spec" }
  for key, value in pairs(options or {}) do
    all[key] = value
  end
  return lunik.machine(all)
end

-- A pc with memory slots and the guest that plays an operating system's part.
function machines.pc(options, guest)
  local all = {
    board = "pc", accel = "none", memory = "64M", maxmem = "4G", slots = 4, serial = "buffer",
  }
  for key, value in pairs(options or {}) do
    all[key] = value
  end
  local m = lunik.machine(all)
  m:start()
  return m, require("lunik.guest").attach(m, guest or {})
end

-- Closes every machine that is open; for after_each.
function machines.close_all()
  for _, m in ipairs(lunik.machines()) do
    m:close()
  end
end

-- What fn(...) raises; fails if it does not raise.
function machines.raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "no error was raised")
  return err
end

-- Runs fn with standard error caught; returns what was written.
function machines.stderr(fn)
  local text, real = {}, io.stderr
  io.stderr = { write = function(_, ...) -- luacheck: ignore 122
    text[#text + 1] = table.concat { ... }
  end }
  local ok, err = pcall(fn)
  io.stderr = real -- luacheck: ignore 122
  assert(ok, err)
  return table.concat(text)
end

return machines
