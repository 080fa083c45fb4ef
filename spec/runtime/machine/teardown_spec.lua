-- Machines leave nothing behind, in whatever state they are closed.
local growth = require "spec.support.growth"
local lunik = require "lunik"
local faults = require "faults" -- after what it patches
local command = require "spec.support.command"
local accels = require "spec.support.accels"
local machines = require "spec.support.machines"
local process = require "spec.support.process"
local small = require "spec.support.small_guest"
local terminal = require "spec.support.terminal"

local TIMEOUT = small.TIMEOUT
local QUICK = os.getenv "LUNIK_QUICK"
local CYCLES = tonumber(os.getenv "CYCLES") or QUICK and 20 or 200

local available = { "none", not small.unavailable() and "kvm" or nil }

local function machine(accel, options)
  local kvm = accel == "kvm"
  return machines.new({
    board = "pc", accel = accel, memory = "64M", maxmem = "1G", slots = 4, serial = "buffer",
    name = "teardown", cpus = kvm and 2 or nil, kernel = kvm and small.image "small.elf" or nil,
  }, options)
end

local plug = machines.plug

local function until_closed(m)
  machines.wait_until(function() return m.state == "closed" end, "it is not closed")
end

local function folder()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir " .. path))
  return path
end

-- Makes the first machines of the process, which set up what the process keeps.
local function warm_up()
  for _, accel in ipairs(available) do
    for _ = 1, 2 do
      local m = machine(accel)
      plug(m, "d")
      m:object_add("memory-backend-ram", { id = "touched", size = "16M", prealloc = true,
        prealloc_threads = 2 })
      if not terminal.missing() then m:object_add("chardev-pty", { id = "pty" }) end
      m:start()
      m:close()
    end
  end
  lunik.sleep(0.02)
end

-- Runs fn and fails if the process holds more afterwards than before.
local function leaves_nothing(fn, maps)
  local before = process.holds()
  fn()
  machines.close_all()
  assert.is_nil(process.left_behind(before, maps))
  assert.same({}, lunik.machines())
end

-- ---- states ------------------------------------------------------------------------------------

-- How to get a machine into a state; what is set aside until it is closed stays reachable.
local states = {
  { "created", function() end },
  { "running", function(m) m:start() end },
  { "paused", function(m)
    m:start()
    m:pause()
  end },
  { "shutdown", function(m)
    m:start()
    m:shutdown(3)
  end },
  { "running", "reset", function(m)
    m:start()
    m:reset()
  end },
  { "running", "a removal pending", function(m)
    m:start()
    plug(m, "d")
    m:device_del "d"
  end },
  { "running", "a wait under way", function(m)
    m:start()
    lunik.spawn(function() pcall(m.wait, m, "acpi-ost", { timeout = 100 }) end)
    m:watch "acpi-ost"
  end },
  { "running", "timers, lines, regions and devices of a script", function(m)
    m:start()
    m:irq(5):set(true)
    m:timer(function() end):set(1000000000)
    m:on_irq(function() end)
    local root <const> = m.memory.root
    m:object_add("memory-backend-ram", { id = "ram", size = "2M" })
    root:add(m:region { kind = "ram", memdev = "ram" }, 0x70000000)
    local outer <const> = m:region { kind = "container", name = "outer", size = 0x2000 }
    outer:add(m:region { kind = "io", size = 0x1000, read = function() return 1 end }, 0x1000)
    root:add(outer, 0x7fffe000)
    m:region { kind = "alias", target = outer, offset = 0, size = 0x1000 }
  end },
}

accels("a machine with accel %s leaves nothing when it is closed", function(reason)
  pending(reason)
end, function(accel)
  setup(warm_up)
  after_each(machines.close_all)

  for _, case in ipairs(states) do
    local state, prepare = case[1], case[#case]
    it(("%s%s"):format(state, #case == 3 and " with " .. case[2] or ""), function()
      leaves_nothing(function()
        local m = machine(accel)
        prepare(m)
        assert.equal(state, m.state)
        m:close()
        assert.equal("closed", m.state)
        m:close()
      end)
    end)
  end

  it("by the handler of an event", function()
    leaves_nothing(function()
      local m = machine(accel)
      m:on("started", function() m:close() end)
      m:start()
      until_closed(m)
    end)
  end)

  it("by a coroutine, and by a <close> variable when an error passes", function()
    leaves_nothing(function()
      local m = machine(accel)
      lunik.spawn(function()
        m:wait "started"
        m:close()
      end)
      m:start()
      lunik.sleep(0.01)
      assert.equal("closed", m.state)
      pcall(function()
        local n <close> = machine(accel)
        n:start()
        error "passes"
      end)
    end)
  end)

  it("while its memory is being preallocated", function()
    leaves_nothing(function()
      local m = machine(accel)
      m:on("prealloc-progress", function() m:close() end)
      m:start()
      local err = machines.raised(m.object_add, m, "memory-backend-ram",
        { id = "big", size = "128M", prealloc = true, prealloc_threads = 2 })
      assert.equal("gone", err.code, tostring(err))
    end)
  end)

  it("when its board fails half-way", function()
    leaves_nothing(function()
      for _ = 1, 5 do
        local err = machines.raised(machine, accel, {
          objects = { { "memory-backend-ram", { id = "mem", size = "16M" } } },
          devices = { { "pc-dimm", { id = "a", memdev = "mem" } },
            { "pc-dimm", { id = "b", memdev = "mem" } } },
        })
        assert.equal("busy", err.code)
      end
    end)
  end)

  it("with a terminal", function()
    if terminal.missing() then return pending(terminal.missing()) end
    leaves_nothing(function()
      local m = machine(accel, { serial = "pty" })
      m:start()
      m:close()
    end)
  end)

  it("with files and sockets", function()
    local path = folder()
    leaves_nothing(function()
      local m = machine(accel, { serial = ("unix:%s/serial"):format(path) })
      m:object_add("memory-backend-file",
        { id = "in-folder", size = "16M", mem_path = path, prealloc = true })
      m:object_add("memory-backend-file",
        { id = "named", size = "16M", mem_path = path .. "/kept", share = true })
      m:object_add("chardev-file", { id = "file", path = path .. "/log" })
      m:device_add("debugcon", { id = "debugcon2", iobase = 0x4e9, chardev = "file" })
      m:device_add("pc-dimm", { id = "d", memdev = "named" })
      m:start()
      m:close()
    end)
    local names = require("lunik.core").scandir(path)
    table.sort(names)
    os.execute("rm -r " .. path)
    assert.same({ "kept", "log" }, names) -- named files are their user's
  end)

  it(("%d times over"):format(CYCLES), function()
    leaves_nothing(function()
      growth.none(CYCLES, function(i)
        local m = machine(accel, { memory = "16M" })
        if i % 3 > 0 then
          plug(m, "d")
          m:start()
          if i % 3 == 1 then m:pause() end
        end
        m:close()
        if i % 50 == 0 then lunik.run "nowait" end -- which frees what has been closed
      end)
    end, 24)
  end)
end)

-- ---- vCPUs -------------------------------------------------------------------------------------

describe("a machine with vCPUs leaves nothing when it is closed", function()
  if small.unavailable() then
    return it("needs KVM", function() pending(small.unavailable()) end)
  end

  setup(warm_up)
  after_each(machines.close_all)

  it("crashed", function()
    leaves_nothing(function()
      local m = machine("kvm", { cmdline = "cmd=triple" })
      m:on("crashed", function() end)
      m:start()
      m:wait("crashed", { timeout = TIMEOUT })
      assert.equal("crashed", m.state)
      m:close()
    end)
  end)

  it("by the handler of its crash", function()
    leaves_nothing(function()
      local m = machine("kvm", { cmdline = "cmd=triple" })
      m:on("crashed", function() m:close() end)
      m:start()
      until_closed(m)
    end)
  end)

  it("while four of them write memory, and a removal is pending", function()
    leaves_nothing(function()
      local m = machine("kvm", { cpus = 4 })
      small.start(m)
      plug(m, "d")
      m:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
      small.run(m, "ap-touch 0x2000000 300")
      m:device_del "d"
      m:close()
    end)
  end)

  it("while one of them is in a script's handler", function()
    leaves_nothing(function()
      local m = machine("kvm")
      local reads = 0
      small.start(m)
      m.io.root:add(m:region {
        kind = "io", size = 1, read = function()
          reads = reads + 1
          if reads == 10 then lunik.defer(function() m:close() end) end
          return 0
        end,
      }, 0x500)
      m:console():write "inloop 0x500 100000000\n"
      until_closed(m)
    end)
  end)

  it("while one of them preallocates memory in a script's handler", function()
    leaves_nothing(function()
      local m = machine("kvm")
      local outcome
      small.start(m)
      m.io.root:add(m:region {
        kind = "io", size = 1, read = function()
          lunik.defer(function() m:close() end)
          outcome = table.pack(pcall(m.object_add, m, "memory-backend-ram",
            { id = "big", size = "128M", prealloc = true }))
          return 0
        end,
      }, 0x500)
      m:console():write "in 0x500\n"
      until_closed(m)
      assert.is_truthy(outcome)
    end)
  end)

  it("beside others that go on", function()
    leaves_nothing(function()
      local a, b, c = machine("kvm", { name = "a" }), machine("none", { name = "b" }),
        machine("kvm", { name = "c", cpus = 1 })
      small.start(a)
      b:start()
      local guest <const> = require("lunik.guest").attach(b)
      small.start(c)
      plug(b, "d")
      b:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
      plug(c, "d")
      c:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
      a:close()
      small.run(c, "write 0x2000000 0x11")
      assert.equal("read 0x11", select(2, small.run(c, "read 0x2000000")))
      b:close()
      assert.is_false(guest.detached or false)
      c:device_del("d"):wait { timeout = TIMEOUT }
      assert.equal("running", c.state)
      c:close()
    end)
  end)
end)

-- ---- a script that never lets the loop run -----------------------------------------------------

describe("a script that does not let the loop run", function()
  local ROUNDS = QUICK and 60 or 300
  local MiB = 1 << 20
  local TRACKED = 1 << 40    -- beyond every call: memory is tracked, no call fails
  local LIBUV_BYTES = 1 << 10 -- of handles whose close callbacks the loop will call

  setup(warm_up)
  after_each(machines.close_all)

  it("has its deleted memory back all the same", function()
    local m = machine "none"
    local block = ("x"):rep(MiB)
    local before = process.rss()
    local most = 0
    for _ = 1, ROUNDS do
      m:object_add("memory-backend-ram", { id = "mem", size = "64M" })
      local dimm = m:device_add("pc-dimm", { id = "d", memdev = "mem" })
      for i = 0, 63 do m:write(dimm.addr + i * MiB, block) end
      m:device_del "d"
      m:object_del "mem"
      most = math.max(most, process.rss() - before)
    end
    -- Two blocks on their way out; ThreadSanitizer's shadow of each is four times as large.
    assert.is_true(most < (process.sanitized() and 2000 or 512), most .. " MiB more")
  end)

  for _, accel in ipairs(available) do
    it("nor does a machine keep anything that it closes, accel " .. accel, function()
      local other = machine "none"
      local fds = process.holds().fds
      faults.forget()
      finally(faults.forget)
      faults.arm { at = TRACKED }
      do
        local m <close> = machine(accel)
        m:start()
      end
      faults.disarm()
      local function left()
        local bytes = 0
        collectgarbage()
        other:transaction(function() end) -- which releases what others free
        for _, block in ipairs(faults.blocks()) do bytes = bytes + block.size end
        return bytes
      end
      local deadline = lunik.now() + TIMEOUT
      while left() > LIBUV_BYTES and lunik.now() < deadline do os.execute "sleep 0.01" end
      assert.is_true(left() <= LIBUV_BYTES, left() .. " bytes are left")
      assert.equal(fds, process.holds().fds)
    end)
  end

  it("nor do the views pile up that it replaces", function()
    local m = machine "none"
    local region = m:region { kind = "io", size = 0x1000, read = function() return 0 end }
    m.memory.root:add(region, 0xd0000000)
    local before
    for i = 1, ROUNDS * 100 do
      region.offset = 0xd0000000 + (i & 1) * 0x1000
      if i == ROUNDS then before = process.rss() end
    end
    local grown = process.rss() - before
    assert.is_true(grown < (process.sanitized() and 300 or 8), grown .. " MiB more")
  end)
end)

-- ---- the end of the process --------------------------------------------------------------------

describe("a process that ends with machines", function()
  if small.unavailable() then
    return it("needs KVM", function() pending(small.unavailable()) end)
  end

  local plain = command.interpreter == "lua5.4" -- the lunik command stops machines without a word

  -- Runs a script that starts two busy machines and then does what `ending` says.
  local function run(ending)
    return command.script(([[
      for i = 1, 2 do
        local m = lunik.machine {
          board = "pc", cpus = 4, memory = "64M", maxmem = "1G", slots = 2, serial = "buffer",
          kernel = %q, name = "m" .. i,
        }
        m:start()
        m:console():expect("guest: ready", { timeout = 20 })
        m:console():write "ap-touch 0x2000000 300\n"
        m:console():expect("ok ap%%-touch", { timeout = 20 })
        m:object_add("memory-backend-memfd", { id = "mem", size = "16M", share = true })
        m:device_add("pc-dimm", { id = "d", memdev = "mem" })
        m.io.root:add(m:region { kind = "io", size = 1, read = function() return 1 end }, 0x500)
        m:console():write "inloop 0x500 100000000\n"
      end
      lunik.sleep(0.02)
    ]]):format(small.image "small.elf") .. ending)
  end

  it("stops them with os.exit(code, true)", function()
    local _, err, code = run "os.exit(5, true)"
    assert.equal("", err)
    assert.equal(5, code)
  end)

  it("does not hang or crash with os.exit(code)", function()
    local _, err, code = run "os.exit(6)"
    assert.equal("", err)
    assert.equal(6, code)
  end)

  it("stops them after an error", function()
    local _, err, code = run "error 'oops'"
    assert.matches("oops", err, 1, true)
    if plain then
      assert.matches("machine 'm1' was still running when the script ended; stopped", err, 1, true)
    end
    assert.equal(1, code)
  end)
end)

describe("a process that ends in a handler", function()
  local interpreter = os.getenv "LUNIK_INTERPRETER" or "lua5.4"
  local handlers = {
    ["of an event"] = "m:on('some', stop) m:emit('some') lunik.run 'nowait'",
    ["of a reset"] = "m:on_reset(stop) m:reset()",
    ["of an interrupt line"] = "m:on_irq(stop) m:irq(5):set(true)",
    ["of a register"] = [[
      m.io.root:add(m:region { kind = "io", size = 1, write = stop }, 0x500) m:outb(0x500, 1)]],
    ["of a transaction"] = "m:transaction(stop)",
    ["of a timer"] = "m:timer(stop):set(1) m:advance(10)",
    ["of a task"] = "lunik.spawn(function() lunik.sleep(0) stop() end) lunik.run()",
  }
  for what, script in pairs(handlers) do
    it(what .. " closes its machines", function()
      local path <close> = command.file(([[
        package.path = "scripts/?.lua;scripts/?/init.lua;" .. package.path
        package.cpath = "%s/lua/?.so;" .. package.cpath
        local lunik = require "lunik"
        local m = lunik.machine { accel = "none", clock = "manual" }
        local function stop() os.exit(5, true) end
        %s
      ]]):format(command.build, script))
      local _, err, code = command.run("timeout 20 " .. interpreter .. " " .. path)
      assert.same({ "", 5 }, { err, code })
    end)
  end
end)
