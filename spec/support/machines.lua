-- For specs: machines, closed after each test, what is done to them, and errors as values.
local lunik = require "lunik"

local machines = {}

-- A machine with options, which replace defaults; false takes a default away.
function machines.new(defaults, options)
  local all = {}
  for key, value in pairs(defaults) do all[key] = value end
  for key, value in pairs(options or {}) do all[key] = value or nil end
  return lunik.machine(all)
end

-- A machine without vCPUs; options are added to those of a small micro board.
function machines.none(options)
  return machines.new({ board = "micro", accel = "none", memory = "16M", name = "spec" }, options)
end

-- A pc with memory slots and the guest that plays an operating system's part.
function machines.pc(options, guest)
  local m = machines.new({
    board = "pc", accel = "none", memory = "64M", maxmem = "4G", slots = 4, serial = "buffer",
  }, options)
  m:start()
  return m, require("lunik.guest").attach(m, guest or {})
end

-- Closes every machine that is open; for after_each.
function machines.close_all()
  for _, m in ipairs(lunik.machines()) do
    m:close()
  end
end

-- Adds a DIMM with a backend "ID-mem", which has props, and by default 16 MiB that are shared.
function machines.plug(m, id, props, backend)
  local all = { id = id .. "-mem", size = "16M", share = true }
  for key, value in pairs(props or {}) do all[key] = value end
  m:object_add(backend or "memory-backend-memfd", all)
  return m:device_add("pc-dimm", { id = id, memdev = id .. "-mem" })
end

-- Ejects the DIMM in the first slot, as a guest does.
function machines.eject(m)
  m:outl(0xa00, 0)
  m:outb(0xa14, 8)
end

-- Writes text to a port, byte by byte.
function machines.send(m, port, text)
  for c in text:gmatch "." do m:outb(port, c:byte()) end
end

-- Lets the loop run until fn() is true; fails with what if that takes more than some seconds.
function machines.wait_until(fn, what, seconds)
  local deadline = lunik.now() + (seconds or 20)
  while not fn() do
    assert(lunik.now() < deadline, what)
    lunik.sleep(0.001)
  end
end

-- Collects garbage, and what finalizers have released.
function machines.collect()
  collectgarbage()
  collectgarbage()
end

-- Returns the error that fn(...) raises; fails if it raises none.
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
