-- Each call into libc and libuv that can fail does so in turn, below everything that a script can
-- do to a machine: the error is clear, the machine as it was, nothing leaks, the same call works
-- afterwards. spec/faults/ makes calls fail, spec/support/faults.lua walks through them.
local lunik = require "lunik"
local faults = require "faults"
local command = require "spec.support.command"
local accels = require "spec.support.accels"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"
local steps = require "spec.support.fault_steps"
local terminal = require "spec.support.terminal"
local walks = require "spec.support.faults"

local adding, add_memory, plug, reset = steps.adding, steps.add_memory, steps.plug, steps.reset
local running, state_of, steps_on, unplug = steps.running, steps.state_of, steps.on, steps.unplug

local function open_machines()
  local names = {}
  for i, m in ipairs(lunik.machines()) do names[i] = m.name end
  return table.concat(names, "\n")
end

local function construction(name, options)
  local m
  return {
    name = name, state = open_machines,
    run = function() m = lunik.machine(options) end,
    undo = function()
      m:close()
      m = nil
    end,
  }
end

-- Starting one; points that making one has are passed by.
local function starting(options)
  local step = construction("start", options)
  local make = step.run
  function step.run()
    make()
    lunik.machines()[1]:start()
  end
  step.failed = machines.close_all
  return step
end

-- Adding a CPU to one that runs, whose vCPU is made then: the machine is as before, and goes on. A
-- machine keeps the vCPU of a CPU that has gone, so each step needs a new one.
local function adding_cpu(options)
  local step = starting(options)
  local start, before = step.run
  local function seen(m) return ("%d CPUs\n%s"):format(#m:cpus(), walks.snapshot(m)) end
  step.name = "device_add cpu"
  function step.run()
    before = nil
    start()
    local m = lunik.machines()[1]
    before = seen(m)
    m:device_add("cpu", { id = "added" })
  end
  function step.failed()
    local m = lunik.machines()[1]
    if before and m then -- else it was not made
      assert.equal(before, seen(m))
      m:device_add("cpu", { id = "added" })
    end
    machines.close_all()
  end
  return step
end

-- Closing one, which can't fail.
local function closing(options)
  local m = lunik.machine(options)
  m:start()
  return {
    name = "close", state = open_machines, never = true,
    run = function() m:close() end,
    undo = function()
      m = lunik.machine(options)
      m:start()
    end,
    go_on = function()
      m:close()
      m = nil
    end,
  }
end

local backends = {
  { "memory-backend-ram", {} },
  { "memory-backend-ram", { share = true, merge = true, dump = false } },
  { "memory-backend-ram", { prealloc = true, prealloc_threads = 2 }, true },
  { "memory-backend-ram", { host_nodes = { 0 }, policy = "bind" } },
  { "memory-backend-ram", { reserve = false } },
  { "memory-backend-memfd", { share = true } },
  { "memory-backend-memfd", { share = false, prealloc = true }, true },
  { "memory-backend-memfd", { seal = false } },
  { "memory-backend-file", { share = true, mem_path = command.memory_folder } },
  { "memory-backend-file", { share = false, prealloc = true, mem_path = command.memory_folder },
    true },
  { "memory-backend-file", { share = true, prealloc = true, mem_path = command.build }, true },
}

local function backend_steps(m)
  local list = {}
  for _, backend in ipairs(backends) do
    local props = { id = "mem1", size = "4M" }
    for name, value in pairs(backend[2]) do props[name] = value end
    list[#list + 1] = adding(m, backend[1], props, backend[3])
  end
  return list
end

local function hotplug_steps(m)
  return {
    {
      name = "device_add pc-dimm", names = { "dimm1", "pc-dimm" },
      run = function() plug(m, 1) end, undo = function() unplug(m, 1) end,
    },
    {
      name = "transaction of plugs", names = { "dimm", "mem" },
      run = function() m:transaction(function() for n = 1, 3 do plug(m, n) end end) end,
      undo = function()
        m:transaction(function() for n = 1, 3 do m:device_del("dimm" .. n) end end)
        reset(m)
      end,
      go_on = function() plug(m, 1) end,
    },
    {
      name = "transaction that is taken back",
      run = function()
        local mine = {}
        local _, err = pcall(m.transaction, m, function()
          m:object_add("memory-backend-ram", { id = "mem4", size = "128M" })
          for n = 2, 4 do plug(m, n) end
          m.memory.root:add(m:region { kind = "io", size = 4096 }, 0xd0000000)
          error(mine, 0)
        end)
        if err ~= mine then error(err, 0) end
      end,
    },
    {
      name = "device_del", names = { "dimm1" },
      run = function() m:device_del "dimm1" end,
      undo = function()
        reset(m)
        plug(m, 1)
      end,
    },
    {
      name = "object_del", names = { "mem3" },
      run = function() m:object_del "mem3" end,
      undo = function() m:object_add("memory-backend-ram", { id = "mem3", size = "128M" }) end,
    },
  }
end

local function region_steps(m)
  local ram = m:region { kind = "ram", memdev = "mem1" }
  local box = m:region { kind = "container", name = "box", size = "1M" }
  local io = m:region {
    kind = "io", name = "io", size = "4K", read = function() return 0 end,
    write = function() end,
  }
  local root, at = m.memory.root, 0x80000000
  local function mapped(region, what, change, back)
    return { name = what, run = function() change(region) end, undo = function() back(region) end }
  end
  return {
    { name = "region", run = function() m:region { kind = "ram", memdev = "mem1" } end,
      undo = collectgarbage },
    mapped(ram, "region:add", function() root:add(ram, at) end, function() root:del(ram) end),
    { name = "transaction of regions", run = function()
      m:transaction(function()
        root:add(box, at)
        box:add(io, 0)
      end)
    end, undo = function()
      m:transaction(function()
        box:del(io)
        root:del(box)
      end)
    end, go_on = function() root:add(ram, at) end },
    mapped(ram, "region.offset", function() ram.offset = at + 0x200000 end,
      function() ram.offset = at end),
    mapped(ram, "region.size", function() ram.size = 0x200000 end,
      function() ram.size = 128 << 20 end),
    mapped(ram, "region.enabled", function() ram.enabled = false end,
      function() ram.enabled = true end),
    mapped(ram, "region.priority", function() ram.priority = 2 end,
      function() ram.priority = 0 end),
    mapped(ram, "region.readonly", function() ram.readonly = true end,
      function() ram.readonly = false end),
    mapped(ram, "region:del", function() root:del(ram) end, function() root:add(ram, at) end),
    { name = "region over a region", run = function() root:add(io, at + 0x1000,
      { overlap = true, priority = 1 }) end, undo = function() root:del(io) end,
      go_on = function() root:add(io, at + 0x1000, { overlap = true, priority = 1 }) end },
    (function()
      local event
      return { name = "ioeventfd", run = function() event = io:ioeventfd { offset = 0, size = 4,
        match = 1, on = function() end } end, undo = function()
        event:close()
        event = nil
      end }
    end)(),
    { name = "coalesce", run = function() io:coalesce(0x100, 8) end,
      undo = function() io:uncoalesce() end },
  }
end

-- A reset that has failed leaves the machine half reset, and so paused.
local function half_reset(m)
  assert(m.state == "paused", m.state)
  m:console():read()
  m:reset()
  m:resume()
  if m.accel == "kvm" then small.ready(m) end
end

-- Rings are emptied after each of the guest's starts, of which one has room for few.
local function dirty_steps(m, ring)
  local list, dirty = {}, m:dirty { client = "user" }
  local function add(name, run, undo, more)
    local step = { name = name, run = run, undo = undo }
    for key, value in pairs(more or {}) do step[key] = value end
    list[#list + 1] = step
  end
  local function start() dirty:start() end
  local function stop() dirty:stop() end
  local region, root = m:region { kind = "ram", memdev = "mem1" }, m.memory.root
  local function map() root:add(region, 0x80000000) end
  local function unmap() root:del(region) end
  for _, mode in ipairs { "page-sampling", "dirty-bitmap", ring and "dirty-ring" } do
    add("dirty_rate " .. mode, function() m:dirty_rate { seconds = 0.001, mode = mode } end)
  end
  add("dirty start", start, stop, { go_on = start })
  add("dirty sync", function() dirty:sync() end)
  add("dirty clear", function() dirty:clear() end)
  add("dirty_rate beside it", function()
    m:dirty_rate { seconds = 0.001, mode = "dirty-bitmap" }
  end)
  add("memory comes meanwhile", map, unmap, { go_on = map })
  add("memory goes meanwhile", unmap, map)
  if m.accel == "none" or walks.full then -- each time the guest boots
    add("reset meanwhile", function() m:reset() end, function()
      if m.accel == "kvm" then small.ready(m) end
      dirty:sync()
    end, { failed = function()
      half_reset(m)
      dirty:sync()
    end })
  end
  add("dirty stop", stop, start)
  return list
end

local function looking_steps(m)
  local listener, mapping
  return {
    { name = "listen", run = function()
      listener = m:listen { name = "spec", region_add = function() end,
        eventfd_add = function() end }
    end, undo = function()
      listener:remove()
      listener = nil
    end },
    { name = "hash", run = function() m:hash(0, 4096, "sha256") end },
    { name = "map", run = function() mapping = m:map(0x1000, 4096) end, undo = function()
      mapping:close()
      mapping = nil
    end },
    { name = "mtree", run = function() m:mtree { flat = true } end },
    { name = "why", run = function() m:why(0x1000) end },
  }
end

local function life_steps(m)
  return {
    { name = "reset", run = function() m:reset() end,
      undo = function() if m.accel == "kvm" then small.ready(m) end end,
      failed = function() half_reset(m) end },
    { name = "pause", run = function() m:pause() end, undo = function() m:resume() end,
      go_on = function() m:pause() end },
    { name = "resume", run = function() m:resume() end, undo = function() m:pause() end,
      go_on = function() m:resume() end },
    { name = "emit", run = function() m:emit("spec", { text = "hello", n = 1 }) end },
  }
end

-- A device in several places, of which none must be gone where it could not leave.
lunik.device {
  name = "spec-places",
  ports = {
    { base = 0x500, size = 4, read = function() return 1 end },
    { base = 0x508, size = 4, read = function() return 2 end },
  },
  mmio = { base = 0xd0000000, size = 0x1000, read = function() return 3 end },
  realize = function(dev)
    dev.own = dev.machine:region { kind = "reserved", name = "own", size = "1M",
      owner = dev.object }
    dev.regions[1]:coalesce(0, 2)
    dev.machine.memory.root:add(dev.own, 0xd1000000)
  end,
  unrealize = function(dev)
    if dev.machine.state ~= "closed" then dev.machine.memory.root:del(dev.own) end
  end,
}

it("faults: a type that could not be made can be made then, with all it has", function()
  local choices = { "slow", "fast" }
  local definition = { name = "spec-faulty", doc = "A type.",
    properties = { mode = { choices = choices, default = "fast" } } }
  local n, ok, err = 0
  machines.none():close() -- the runtime is there
  repeat
    n = n + 1
    faults.arm { at = n, stay = false }
    ok, err = pcall(lunik.device, definition)
    local _, failed = faults.disarm()
    if not ok then assert.equal("no-memory", err.code, tostring(err)) end
    assert.is_true(not (ok and failed), "a call failed, and no error came of it")
  until ok
  assert.is_true(n > 8)
  assert.same(choices, lunik.type("spec-faulty").props[1].choices)
end)

describe("faults: a vCPU whose KVM_RUN", function()
  if small.unavailable() then
    return it("needs KVM", function() pending(small.unavailable()) end)
  end

  after_each(function()
    faults.exits { count = 0 }
    machines.close_all()
  end)

  local cases = {
    { { error = 14 }, "run-error: bad address in system call argument", 14 },
    { { error = 12 }, "run-error: not enough memory", 12 },
    { { reason = 17, detail = 3 }, "internal-error: suberror 3", 3 },
    { { reason = 9, detail = 0x80000021 }, "fail-entry: hardware reason 0x80000021", 0x80000021 },
    { { reason = 4711 }, "unknown: KVM exit reason 4711", 0 },
  }

  it("fails takes its machine down, no other one", function()
    local m, other = small.machine { name = "one" }, small.machine { name = "two" }
    local crashed = m:watch "crashed"
    small.start(other)
    small.start(m)
    for _, case in ipairs(cases) do
      faults.exits(case[1])
      m:console():write "time\n"
      local ev = crashed:wait { timeout = small.TIMEOUT }
      assert.same({ case[2], case[3] }, { ev.message, ev.detail })
      assert.equal("crashed", m.state)
      assert.matches("rip", ev.dump)
      m:console():read()
      small.start(m) -- from power-on
    end
    faults.exits(cases[1][1])
    m:console():write "time\n"
    crashed:wait { timeout = small.TIMEOUT }
    m:close()
    assert.matches("%d", select(2, small.run(other, "time")))
  end)

  it("is interrupted again and again", function()
    local m = small.machine { cpus = 2 }
    small.start(m)
    local before = m:cpu(0).stats.interrupted
    for _, error in ipairs { 4, 11 } do
      faults.exits { error = error, count = 5000 }
      assert.matches("%d", select(2, small.run(m, "time")))
    end
    assert.is_true(m:cpu(0).stats.interrupted > before)
    assert.equal("running", m.state)
  end)
end)

for _, accel in ipairs { "none", "kvm" } do
  it("faults: endless signals disturb no call, accel " .. accel, function()
    if accel == "kvm" and small.unavailable() then return pending(small.unavailable()) end
    machines.none():close()
    faults.storm(true)
    local ok, err = pcall(function()
      local m <close> = running(accel)
      for n = 1, 3 do
        m:object_add(n == 1 and "memory-backend-ram" or n == 2 and "memory-backend-memfd"
          or "memory-backend-file", { id = "mem" .. n, size = "128M", prealloc = n == 1,
          mem_path = n == 3 and command.memory_folder or nil })
        plug(m, n)
      end
      if not terminal.missing() then m:object_add("chardev-pty", { id = "pty" }) end
      if accel == "kvm" then
        for _ = 1, 20 do assert(small.run(m, "time")) end
      end
      m:pause()
      m:resume()
      unplug(m, 1)
      lunik.sleep(0.01)
    end)
    local count = faults.storm(false)
    assert(ok, tostring(err))
    assert.is_true(count > 0)
  end)
end

-- libuv would end the process where the host does not let it watch a descriptor.
it("faults: output that can't be waited for is lost, the machine goes on", function()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  local reader <close> = assert(io.open(path, "r+"))
  local m <close> = machines.none { serial = "file:" .. path }
  os.remove(path)
  local errors, chardev = m:watch "chardev-error", m:object "serial-chardev"
  m:start()
  local function write(text, count)
    for _ = 1, count do m:outb(0x3f8, text:byte()) end
    lunik.sleep(0)
  end
  local failed
  for _ = 1, 100 do
    faults.arm { at = 1, only = "epoll_ctl" }
    write("a", 10000)
    failed = select(2, faults.disarm())
    if failed then break end
  end
  local taken = chardev.written - chardev.dropped
  assert.matches("^a+$", reader:read(taken)) -- or closing would wait for a reader
  assert.equal("epoll_ctl", failed)
  assert.equal("running", m.state)
  assert.equal("no space left on device", errors:wait({ timeout = 5 }).message)
  write("b", 1000)
  m:close()
  assert.equal(("b"):rep(1000), reader:read(1000))
end)

accels("faults, accel %s:", function(reason) pending(reason) end, function(accel)
  after_each(machines.close_all)

  it("making and closing a machine", function()
    local serial = command.file ""
    local numa = { { memory = "16M", cpus = { 0 } }, { memory = "16M", cpus = { 1 } } }
    local pc = { accel = accel, numa = numa, cpus = 2, maxmem = "1G", slots = 4,
      kernel = small.image "small.elf", cpu = { "-avx" }, serial = "file:" .. serial }
    walks.assert {
      construction("micro", { board = "micro", accel = accel, memory = "16M", cpus = 2 }),
      construction("pc", pc), starting(pc),
      accel == "kvm" and starting { memory = "16M", dirty_ring = 65536 } or nil,
    }
    walks.assert { closing(pc) }
  end)

  it("a CPU comes", function()
    local pc = { board = "pc", accel = accel, memory = "16M", cpus = 1, maxcpus = 2,
      kernel = small.image "small.elf" }
    walks.assert { construction("pc", pc), starting(pc), adding_cpu(pc) }
  end)

  it("booting", function()
    local list = {}
    for _, image in ipairs { "pvh.elf", "multiboot.elf", "multiboot_flat.elf",
      "small.bzimage", "small32.bzimage", "small-multiboot.elf" } do
      list[#list + 1] = construction(image, { accel = accel, memory = "16M", initrd =
        image:find "bzimage" and small.image "small.elf" or nil, kernel = small.image(image) })
    end
    list[#list + 1] = construction("firmware", { accel = accel, memory = "16M",
      firmware = small.image "firmware.bin" })
    walks.assert(list)
  end)

  it("character devices", function()
    local m = running(accel)
    local path = os.tmpname()
    walks.assert(steps_on(m, {
      adding(m, "chardev-null", { id = "c" }), adding(m, "chardev-buffer", { id = "c" }),
      adding(m, "chardev-stdio", { id = "c" }),
      adding(m, "chardev-file", { id = "c", path = path }),
      adding(m, "chardev-socket", { id = "c", path = path .. ".sock", server = true }),
    }))
    os.remove(path)
  end)

  it("terminals", function()
    if terminal.missing() then return pending(terminal.missing()) end
    local m = running(accel)
    walks.assert(steps_on(m, { adding(m, "chardev-pty", { id = "c" }) }))
  end)

  it("backends", function()
    local m = running(accel)
    walks.assert(steps_on(m, backend_steps(m)))
  end)

  it("memory comes and goes", function()
    local m = running(accel)
    add_memory(m)
    walks.assert(steps_on(m, hotplug_steps(m)))
  end)

  -- the same with KVM, where a real guest would be in the way of what is written
  if accel == "none" then
    -- Where the memory map can't follow, that is reported, and the machine paused.
    it("the guest moves what is in the memory map", function()
      local m, told = running(accel), false
      m:on("error", function() told = true end)
      local function config(devfn, offset, value)
        m:outl(0xcf8, 0x80000000 | devfn << 8 | offset & 0xfc)
        m["out" .. (value > 0xff and "w" or "b")](m, 0xcfc + (offset & 3), value)
      end
      local function step(name, write, back)
        local want
        back()
        write()
        want = m:mtree {}
        back()
        return { name = name, run = write, undo = function()
          lunik.sleep(0)
          if m:mtree {} ~= want then
            assert(told, name .. " has failed without a report")
            assert(m.state == "paused", m.state)
          end
          if m.state == "paused" then m:resume() end
          told = false
          back()
        end }
      end
      for register = 0x5a, 0x5b do config(0, register, 0) end
      walks.assert(steps_on(m, {
        step("PAM", function() config(0, 0x5a, 0x31) end, function() config(0, 0x5a, 0) end),
        step("PAM, write only", function() config(0, 0x5b, 0x20) end,
          function() config(0, 0x5b, 0) end),
        step("PM base", function() config(0x0b, 0x40, 0xb001) end,
          function() config(0x0b, 0x40, 0x601) end),
      }))
    end)

    it("making and closing a machine beside another", function()
      local m = running(accel)
      local step = construction("second", { board = "micro", accel = accel, memory = "16M" })
      step.state = function() return open_machines() .. state_of(m) end
      walks.assert { step }
    end)

    it("the guest ejects", function()
      local m, told = running(accel), false
      add_memory(m)
      m:on("device-unplug-guest-error", function() told = true end)
      m:on("error", function() told = true end)
      local function request()
        plug(m, 1)
        m:device_del "dimm1"
      end
      local function eject() machines.eject(m) end
      request()
      walks.assert(steps_on(m, { { name = "eject", run = eject, undo = function()
        if m:object "dimm1" then
          lunik.sleep(0)
          assert(told, "an ejection has failed without a report")
          eject()
        end
        assert(not m:object "dimm1")
        told = false
        request()
      end } }))
    end)
  end

  it("a device in Lua comes and goes", function()
    local m = running(accel)
    local function add() m:device_add("spec-places", { id = "places1" }) end
    local function del() m:device_del "places1" end
    walks.assert(steps_on(m, {
      { name = "device_add", names = { "places" }, run = add, undo = del, go_on = add },
      { name = "device_del", names = { "places1" }, run = del, undo = add },
    }))
  end)

  it("regions", function()
    local m = running(accel)
    add_memory(m)
    walks.assert(steps_on(m, region_steps(m)))
  end)

  it("signals interrupt calls, which go on", function()
    local m = running(accel)
    local path = os.tmpname()
    local list = backend_steps(m)
    list[#list + 1] = adding(m, "chardev-file", { id = "c", path = path })
    if not terminal.missing() then list[#list + 1] = adding(m, "chardev-pty", { id = "c" }) end
    if accel == "none" then -- a guest's console would be in the way
      list[#list + 1] = { name = "output", run = function()
        m:outb(0x3f8, 65)
        lunik.sleep(0)
      end }
    end
    walks.assert(steps_on(m, list), { interrupt = true })
    walks.assert({ construction("pc", { accel = accel, memory = "16M",
      kernel = small.image "small.elf" }) }, { interrupt = true })
    os.remove(path)
  end)

  it("looking", function()
    local m = running(accel)
    walks.assert(steps_on(m, looking_steps(m)))
  end)

  it("dirty pages", function()
    local m = running(accel)
    add_memory(m)
    walks.assert(steps_on(m, dirty_steps(m)))
  end)

  if accel == "kvm" then
    it("dirty pages in rings", function()
      local m = running(accel, { dirty_ring = 65536 })
      add_memory(m)
      walks.assert(steps_on(m, dirty_steps(m, true)))
    end)
  end

  it("events that are lost are reported", function()
    local m, seen = running(accel), {}
    m:on("error", function(ev) seen[#seen + 1] = ev.message end)
    faults.arm { at = 1, stay = true }
    m:emit("one", { text = "text" })
    m:emit("two", {})
    faults.disarm()
    lunik.sleep(0)
    assert.same({ "out of memory: 2 events were lost" }, seen)
  end)

  if accel == "kvm" then
    it("a reset that KVM refuses a part of has failed", function()
      local m = lunik.machine { memory = "16M" }
      local n, ok = 0
      m:reset()
      repeat
        n = n + 1
        faults.arm { at = n, only = "ioctl" }
        ok = pcall(m.reset, m)
        local _, failed, trace = faults.disarm()
        assert(not (ok and failed), "not noticed:\n" .. walks.trace_text(trace or {}))
      until ok
      assert.is_true(n > 10)
    end)
  end

  it("life", function()
    local m = running(accel, { cpus = walks.full and 2 or 1 })
    walks.assert(steps_on(m, life_steps(m)))
  end)
end)
