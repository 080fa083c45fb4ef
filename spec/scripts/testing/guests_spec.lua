-- The kit's drivers of guests that are programs, tried on programs of a few lines in Lua at the
-- other end of the serial port, on machines without vCPUs.
local Linux = require "lunik.testing.guests.linux"
local Small = require "lunik.testing.guests.small"
local lunik = require "lunik"
local protocol = require "lunik.agent.protocol"
local testing = require "lunik.testing"

local UART, SECOND_UART = 0x3f8, 0x2f8
local STATUS = 5

local function print_to(m, text, uart)
  for byte in text:gsub("\n", "\r\n"):gmatch "." do m:outb(uart or UART, byte:byte()) end
end

-- Calls fn(line) for each line that is typed, in a coroutine that ends with the machine.
local function each_line(m, fn, uart)
  uart = uart or UART
  lunik.spawn(function()
    local line = ""
    while m.state ~= "closed" do
      while m.state == "running" and m:inb(uart + STATUS) & 1 ~= 0 do
        local char = string.char(m:inb(uart))
        if char == "\n" then
          fn(line)
          line = ""
        else
          line = line .. char
        end
      end
      lunik.sleep(0.001)
    end
  end)
end

-- The small guest's commands, as its program answers them.
local function answers(t, hotplug)
  local refuse = {}
  local guest
  local function attach()
    guest = require("lunik.guest").attach(t.m, { pages = 16,
      refuse_insert = function() return refuse.insert end,
      refuse_eject = function() return refuse.eject end,
      log = function(line) print_to(t.m, line .. "\n") end })
  end
  if hotplug then attach() end
  return {
    slots = function()
      for slot, memory in pairs(guest and guest.online or {}) do
        print_to(t.m, ("slot %d flags 0x1 base 0x%x size 0x%x node 0 mapped\n"):format(slot,
          memory.address, memory.size))
      end
      return "slots"
    end,
    map = function() return "map 3 ranges, 0x3fa0000 bytes of RAM" end,
    sleep = function(ms) return "sleep " .. ms end,
    hotplug = function() attach() return "hotplug" end,
    refuse = function(insert, eject)
      refuse.insert, refuse.eject = insert == "1", eject == "1"
      return ("refuse %s %s"):format(insert, eject)
    end,
    touch = function(at, pages, seed)
      guest:fill(tonumber(at), (tonumber(pages) << 12), tonumber(seed))
      return ("touch %s %s pages"):format(at, pages)
    end,
    verify = function(at, pages, seed)
      local ok, why = guest:verify(tonumber(at), (tonumber(pages) << 12), tonumber(seed))
      return ok and "verify" or nil, why
    end,
    reset = function() return "reset" end,
  }, function() return guest and guest:is_busy() end
end

local function play_small(t)
  local m = t.m
  local commands, is_busy = answers(t, not t.deaf)
  -- It is ready when it has found the memory that is there.
  local function boot()
    lunik.spawn(function()
      print_to(m, "guest: started by pvh\n")
      while is_busy() do lunik.sleep(0.001) end
      print_to(m, "guest: ready\n")
    end)
  end
  m:on("started", boot)
  m:on("reset", boot)
  each_line(m, function(line)
    local name, a, b, c = line:match "^(%S+) ?(%S*) ?(%S*) ?(%S*)"
    local command = commands[name]
    local answer, why
    if command then answer, why = command(a, b, c) end
    print_to(m, answer and "ok " .. answer .. "\n" or ("error %s\n"):format(why or "unknown"))
    if name == "reset" then
      m:outb(0xcf9, 2)
      m:outb(0xcf9, 6)
    end
  end)
end

-- A guest without vCPUs that a function plays.
local function played(kind, name, play, more)
  return setmetatable({
    name = name, timeout = 5, unavailable = function() end,
    options = function()
      local options = { accel = "none", memory = "64M" }
      for key, value in pairs(more or {}) do options[key] = value end
      return options
    end,
    start = function(t)
      local guest = kind.start(t)
      play(t)
      return guest
    end,
  }, { __index = kind })
end

describe("the small guest's driver", function()
  local small = played(Small, "played", play_small)

  it("plugs and unplugs, and knows the guest's memory", function()
    local t = testing.machine { guest = small }
    assert.equal(0x3fa0000, t.guest:total())
    t:plug { size = "32M", slot = 2 }
    t:check()
    assert.same({ [2] = { address = 4 << 30, size = 32 << 20 } }, t.guest:memory())
    assert.equal(0x3fa0000 + (32 << 20), t.guest:total())
    t:unplug "dimm1"
    t:check()
  end)

  it("has it refuse", function()
    local t = testing.machine { guest = small }
    t.guest:refuse { insert = true }
    t:plug { size = "32M", answer = "refused" }
    t.guest:refuse { eject = true }
    t:unplug("dimm1", { answer = "refused" })
    t:check()
  end)

  it("has a deaf one listen", function()
    local t = testing.machine { guest = small, deaf = true }
    t:plug { size = "32M" }
    assert.is_false(t.guest:listens())
    t.guest:listen()
    t:check()
    assert.equal("accepted", t.dimms.dimm1.state)
  end)

  for _, sub in ipairs { "reset", "reboot", "stop and continue", "fill" } do
    for _, when in ipairs { "before", "during", "after" } do
      it(("does %s %s a plug"):format(sub, when), function()
        local t = testing.machine { guest = small }
        t:sub(sub, when, function() t:plug { size = "16M" } end)
        t:check()
        t:sub "fill"
      end)
    end
  end

  it("fails with the guest's own words", function()
    local t = testing.machine { guest = small }
    local ok, err = pcall(t.guest.run, t.guest, "dance")
    assert.is_false(ok)
    assert.matches("the guest answers 'dance' with 'error unknown'", tostring(err), 1, true)
  end)

  it("has a command run again that a reset has interrupted", function()
    local t = testing.machine { guest = small }
    local task = lunik.spawn(function() return t.guest:memory() end)
    t.m:reset()
    assert.same({}, task:wait { timeout = 5 })
    t:check()
  end)

  it("runs commands of several coroutines one after the other", function()
    local t = testing.machine { guest = small }
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = lunik.spawn(function() return select(2, t.guest:run("sleep " .. i)) end)
    end
    for i, task in ipairs(tasks) do assert.equal("sleep " .. i, task:wait { timeout = 5 }) end
  end)
end)

-- What the agent of Linux would answer, for the memory that a guest in Lua has.
local function agent_answers(guest, command, path)
  local total = 64 << 20
  local ram = { ("00100000-%08x : System RAM\n"):format(total - 1) }
  for _, memory in pairs(guest.online) do
    total = total + memory.size
    ram[#ram + 1] = ("%x-%x : System RAM\n  %x-%x : part of it\n"):format(memory.address,
      memory.address + memory.size - 1, memory.address + 4096, memory.address + 8191)
  end
  if command == "hello" or command == "reboot" then return "version=1 pid=1 call=ud2" end
  return "data=" .. ((path == "/proc/meminfo" and ("MemTotal: %d kB\nMemFree: 5 kB\n")
    :format(total >> 10) or table.concat(ram)):gsub("[^%w]", function(byte)
    return ("%%%02x"):format(byte:byte())
  end))
end

local function play_agent(m, guest)
  each_line(m, function(line)
    local id, command = line:match "^@(%d+) (%l+)"
    local text = ("@%s ok %s"):format(id, agent_answers(guest, command, line:match "path=(%S+)"))
    print_to(m, ("%s *%08x\n"):format(text, protocol.crc32(text)), SECOND_UART)
    if command == "reboot" then
      m:outb(0xcf9, 2)
      m:outb(0xcf9, 6)
    end
  end, SECOND_UART)
end

describe("the driver of Linux", function()
  local function boots(text)
    return played(Linux, "linux", function(t)
      play_agent(t.m, require("lunik.guest").attach(t.m, { pages = 16 }))
      local function boot() print_to(t.m, text) end
      t.m:on("started", boot)
      t.m:on("reset", boot)
    end, {
      objects = { { "chardev-buffer", { id = "agent" } } },
      devices = { { "serial16550",
        { id = "serial1", iobase = 0x2f8, irq = 3, chardev = "agent" } } },
    })
  end
  local quiet = boots "Linux version 6.1\nRun /init as init process\n"

  it("plugs and unplugs, and resets", function()
    local t = testing.machine { guest = quiet }
    t:plug {}
    t:check()
    t:sub "reset"
    t:check()
    t.guest:idle()
    t:unplug "dimm1"
    t:check()
  end)

  it("fails at once when the log has a complaint", function()
    local ok, err = pcall(testing.machine, { guest = boots "BUG: unable to handle page fault\n" })
    assert.is_false(ok)
    assert.matches("the console printed 'BUG: unable to handle page fault', which matches 'BUG:', "
      .. "while waiting for the guest to be ready", tostring(err), 1, true)
  end)

  it("knows the guest's memory through its agent, and has it reboot", function()
    local t = testing.machine { guest = quiet, append = "quiet",
      objects = { { "chardev-null", { id = "more" } } } }
    assert.equal(64 << 20, t.guest:total())
    local dimm = t:plug { size = "32M", slot = 2 }
    assert.same({ [2] = { address = dimm.addr, size = 32 << 20 } }, t.guest:memory())
    assert.equal(96 << 20, t.guest:total())
    t.guest:reboot()
    t:check()
    assert.equal(1, t.journal:count "reset")
    assert.is_truthy(t.m:object "more")
  end)

  it("skips what the guest can't do", function()
    local t = testing.machine { guest = quiet }
    assert.is_false(t:can "fill")
    t.guest:fill(0, 4096, 1)
    error "not reached"
  end)
end)
