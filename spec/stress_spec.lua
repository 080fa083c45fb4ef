-- Everything at once on KVM: DIMMs come and go while four vCPUs write memory and call into devices
-- and Lua, regions change under them, registers are read, the machine is paused, resumed and reset.
-- CYCLES=5000 makes it long, SEED=n repeats a run.
-- Runs alone: it keeps every CPU busy.
local command = require "spec.support.command"
local growth = require "spec.support.growth"
local lunik = require "lunik"
local process = require "spec.support.process"
local small = require "spec.support.small_guest"

local TIMEOUT = small.TIMEOUT
local CYCLES = tonumber(os.getenv "CYCLES") or os.getenv "LUNIK_QUICK" and 20 or 60
local RESETS = math.max(CYCLES // 20, 4)
local SEED = tonumber(os.getenv "SEED") or 1

local SLOTS = 6
local PORT, DEVICE = 0x510, 0xd0000000 -- what the load on the other processors talks to
local LOAD = ("ap-io 0x%x 0x%x 2; ap-touch 0x3000000 300"):format(PORT, DEVICE)

-- ---- parts -------------------------------------------------------------------------------------

local backends = {
  { "memory-backend-ram", {} },
  { "memory-backend-memfd", { share = true } },
  { "memory-backend-file", { share = true, mem_path = command.memory_folder } },
  { "memory-backend-ram", { prealloc = true, prealloc_threads = 2 } },
}

local function add_backend(m, id)
  local kind = backends[math.random(#backends)]
  local props = { id = id, size = math.random(1, 4) << 21 }
  for name, value in pairs(kind[2]) do props[name] = value end
  m:object_add(kind[1], props)
end

local function plug(m, id)
  add_backend(m, id .. "-mem")
  m:device_add("pc-dimm", { id = id, memdev = id .. "-mem" })
end

-- A port that counts and a device whose kind changes: m, counts, and what changes it.
local function add_devices(m)
  local load = { reads = 0, writes = 0 }
  m.io.root:add(m:region {
    kind = "io", name = "counter", size = 1, read = function()
      load.reads = load.reads + 1
      return load.reads & 0xff
    end,
  }, PORT)
  local function device(name)
    return m:region {
      kind = "io", name = name, size = 0x1000, write = function() load.writes = load.writes + 1 end,
    }
  end
  m:object_add("memory-backend-ram", { id = "shared", size = "4K" })
  load.faces = { device "one", device "two", m:region { kind = "ram", memdev = "shared" } }
  function load.show(face)
    local root = m.memory.root
    m:transaction(function()
      if load.face then root:del(load.face) end
      load.face = face
      if face then root:add(face, DEVICE) end
    end)
  end
  return load
end

local function new(cmdline)
  local m = small.machine {
    name = "stress", cpus = 4, maxmem = "2G", slots = SLOTS, cmdline = cmdline or "",
  }
  m:on("error", function(ev) error(ev.message) end)
  return m, add_devices(m)
end

-- One of the things that a script may do at any time.
local disturbances = {
  function(m)
    for i = 0, 3 do assert(m:cpu(i):regs().rip) end
  end,
  function(_, load) load.show(load.faces[math.random(#load.faces + 1)]) end, -- none at times
  function(m)
    m:pause()
    m:resume()
  end,
  function(m)
    m:pause()
    local rip = m:cpu(3):reg "rip"
    assert(m:cpu(3):reg "rip" == rip, "a paused vCPU runs")
    m:resume()
  end,
  function(m) assert(#m:mtree { flat = true } > 0) end,
  function() lunik.sleep(0) end,
  function(m) m:write(0x2800000, ("x"):rep(math.random(1, 70000))) end,
}

local function disturb(m, load)
  for _ = 1, math.random(0, 2) do disturbances[math.random(#disturbances)](m, load) end
end

-- ---- specs -------------------------------------------------------------------------------------

describe("under load", function()
  if small.unavailable() then
    return it("needs KVM", function() pending(small.unavailable()) end)
  end

  local m, load

  before_each(function() math.randomseed(SEED) end)

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  -- Plugs some DIMMs and unplugs them; all of them have to be taken and given back.
  local function cycle(ost)
    local ids = {}
    for i = 1, math.random(SLOTS) do ids[i] = "d" .. i end
    for _, id in ipairs(ids) do
      plug(m, id)
      disturb(m, load)
    end
    for _ = 1, #ids do
      local ev = ost:wait { timeout = TIMEOUT }
      assert.same({ 1, 0 }, { ev.source, ev.status }, ev.device)
    end
    disturb(m, load)
    local removals = {}
    for i, id in ipairs(ids) do
      removals[i] = m:device_del(id)
      disturb(m, load)
    end
    for i, id in ipairs(ids) do
      removals[i]:wait { timeout = TIMEOUT }
      m:object_del(id .. "-mem")
    end
    while ost:poll() do end
    load.show(nil) -- which may be memory, with a slot of its own
  end

  it(("DIMMs come and go %d times"):format(CYCLES), function()
    m, load = new()
    small.start(m)
    for line in LOAD:gmatch "[^;]+" do small.run(m, line) end
    local ost <close> = m:watch "acpi-ost"
    local objects = #m:objects()
    growth.none(CYCLES, function() cycle(ost) end)
    assert.equal(objects, #m:objects())
    assert.is_true(load.reads > CYCLES and load.writes > 0)
    assert.equal("running", m.state)
    local text = small.run(m, "ap-stop")
    local rounds = 0
    for n in text:gmatch "cpus: cpu %d wrote (%d+) rounds" do
      assert.is_true(tonumber(n) > 0)
      rounds = rounds + 1
    end
    assert.equal(3, rounds, text)
    assert.equal("", (small.run(m, "slots")))
    assert.not_matches("exception", m:console():text())
  end)

  -- A reset may come at any moment: before the guest has seen a DIMM, while it tests it, while it
  -- is asked for it.
  it(("resets come in between %d times"):format(RESETS), function()
    m, load = new(('cmd="%s"'):format(LOAD))
    small.start(m)
    local before
    for i = 1, RESETS do
      local ids = { "a", "b" }
      for _, id in ipairs(ids) do plug(m, id) end
      lunik.sleep(math.random(0, 20) / 1000)
      disturb(m, load)
      local removal = i % 2 == 0 and m:device_del "a"
      if i % 3 == 0 then m:pause() end
      m:console():read()
      m:reset()
      if m.state == "paused" then m:resume() end
      small.ready(m)
      m:console():expect("ok ap%-touch", { timeout = TIMEOUT })
      if removal then removal:wait { timeout = TIMEOUT } end
      for _, id in ipairs(ids) do
        if m:object(id) then m:device_del(id):wait { timeout = TIMEOUT } end
        m:object_del(id .. "-mem")
      end
      load.show(nil)
      if i == 2 then before = process.holds() end
    end
    assert.is_nil(process.left_behind(before, 24))
    assert.same({}, m:memory_devices())
    assert.equal("running", m.state)
    assert.is_true(load.reads > 0)
  end)

  -- A vCPU that waited for another one's vCPU would wait for ever.
  it("machines pause and reset each other", function()
    local list = {}
    for i = 1, 2 do
      list[i] = new()
      small.start(list[i])
    end
    for i, machine in ipairs(list) do
      local other = list[3 - i]
      machine.io.root:add(machine:region {
        kind = "io", size = 1, read = function()
          if other.state == "running" then other:pause() end
          return 0
        end,
      }, 0x500)
      machine:console():write "inloop 0x500 100000000\n"
    end
    local paused = 0
    local deadline = lunik.now() + 2 * TIMEOUT
    while paused < 40 do
      assert(lunik.now() < deadline, "they block each other")
      lunik.sleep(0.001)
      for _, machine in ipairs(list) do
        if machine.state == "paused" then
          paused = paused + 1
          machine:resume()
        end
      end
    end
    for _, machine in ipairs(list) do machine:close() end
  end)

  it("a vCPU's handler can't start its machine again", function()
    m = new()
    small.start(m)
    local err
    m.io.root:add(m:region {
      kind = "io", size = 1, read = function()
        m:shutdown(7)
        err = select(2, pcall(m.start, m))
        return 0
      end,
    }, 0x500)
    m:console():write "in 0x500\n"
    assert.equal(7, m:wait("shutdown", { timeout = TIMEOUT }).code)
    assert.equal("state", err.code)
    assert.matches("can't be started again from a vCPU's callback: it is shutdown", err.message, 1,
      true)
    small.start(m)
  end)

  it("several machines do it at once, and go", function()
    local before
    for round = 1, 3 do
      local list = {}
      for i = 1, 3 do list[i] = { new(('cmd="%s"'):format(LOAD)) } end
      local tasks = {}
      for i, it in ipairs(list) do
        tasks[i] = lunik.spawn(function()
          local machine, its_load = table.unpack(it)
          machine:start()
          machine:console():expect("ok ap%-touch", { timeout = TIMEOUT })
          for n = 1, 3 do
            plug(machine, "d" .. n)
            machine:wait("acpi-ost", { source = 1, status = 0, timeout = TIMEOUT })
            disturb(machine, its_load)
            machine:device_del("d" .. n):wait { timeout = TIMEOUT }
          end
          machine:close()
        end)
      end
      for _, task in ipairs(tasks) do task:wait { timeout = 3 * TIMEOUT } end
      if round == 1 then before = process.holds() end
    end
    assert.is_nil(process.left_behind(before, 24))
  end)
end)
