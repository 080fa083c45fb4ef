-- CPU hotplug on KVM, with a guest that starts the CPUs that come by INIT and SIPI, and gives them
-- up.
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local process = require "spec.support.process"
local small = require "spec.support.small_guest"

local why = small.unavailable()
if why then
  return describe("CPU hotplug with a guest", function()
    it("needs KVM", function() pending(why) end)
  end)
end

local CYCLES = tonumber(os.getenv "CYCLES") or os.getenv "LUNIK_QUICK" and 20 or 500
local CPUS = 4
local WAIT = { timeout = small.TIMEOUT }

describe("CPU hotplug with a guest", function()
  local m, answers

  after_each(machines.close_all)

  local function start(options)
    local all = { cpus = 1, maxcpus = CPUS + 1 }
    for name, value in pairs(options or {}) do all[name] = value end
    m = small.machine(all)
    small.start(m)
    answers = m:watch { "acpi-ost", "crashed", "error" }
  end

  -- The guest's answer about a CPU: "device source status".
  local function answer()
    local ev = answers:wait(WAIT)
    return ev.name == "acpi-ost" and ("%s %d %d"):format(ev.device, ev.source, ev.status)
      or tostring(ev)
  end

  local function plug(id, options)
    local props = { id = id }
    for name, value in pairs(options or {}) do props[name] = value end
    m:device_add("cpu", props)
    assert.equal(id .. " 1 0", answer())
  end

  local function unplug(id)
    m:device_del(id):wait(WAIT)
    assert.equal(id .. " 3 132", answer())
  end

  local function indices()
    local list = {}
    for i, cpu in ipairs(m:cpus()) do list[i] = cpu.index end
    return list
  end

  for _, irqchip in ipairs { "kernel", "split" } do
    it("starts a CPU that comes, with irqchip " .. irqchip, function()
      start { irqchip = irqchip }
      plug "a"
      plug("b", { core_id = 3 })
      assert.same({ 0, 1, 3 }, indices())
      assert.matches("cpus: cpu 1 apic 1 online.*cpus: cpu 2 apic 3 online", m:console():read())
      assert.equal("cpus 3", select(2, small.run(m, "cpus")))
      assert.equal("ap-touch 2 cpus", select(2, small.run(m, "ap-touch 0x2000000 512")))
      small.run(m, "sleep 50")
      local lines = small.run(m, "ap-stop")
      for cpu = 1, 2 do
        assert.is_true(tonumber(lines:match(("cpu %d wrote (%%d+) rounds"):format(cpu))) > 0, lines)
      end
      unplug "a"
      assert.same({ 0, 3 }, indices())
      unplug "b"
      assert.equal("cpus 1", select(2, small.run(m, "cpus")))
    end)
  end

  it("gives a CPU back that works", function()
    start()
    plug "a"
    small.run(m, "ap-touch 0x2000000 512")
    unplug "a"
    plug "a"
    assert.equal("cpus 2", select(2, small.run(m, "cpus")))
  end)

  it("leaves a CPU to a guest that keeps it", function()
    start { cmdline = "refuse-eject" }
    plug "a"
    local request = m:device_del "a"
    assert.equal("a 3 130", answer())
    assert.equal("refused", request.state)
    assert.same({ 0, 1 }, indices())
    assert.equal("cpus 2", select(2, small.run(m, "cpus")))
  end)

  it("has the CPUs that stay after a reset of the machine", function()
    start()
    plug "a"
    plug "b"
    m:reset()
    small.ready(m)
    assert.equal("cpus 3", select(2, small.run(m, "cpus")))
    unplug "a"
    assert.equal("cpus 2", select(2, small.run(m, "cpus")))
  end)

  it("pauses and resumes with CPUs that came", function()
    start()
    plug "a"
    m:pause()
    m:device_add("cpu", { id = "b" })
    m:resume()
    assert.equal("b 1 0", answer())
    assert.equal("cpus 3", select(2, small.run(m, "cpus")))
  end)

  it(("goes on for %d times %d CPUs"):format(CYCLES, CPUS), function()
    start()
    local held
    for round = 1, CYCLES do
      for i = 1, CPUS do m:device_add("cpu", { id = "c" .. i }) end
      local came = {} -- in any order: the guest goes on from where it was
      for i = 1, CPUS do came[i] = answer() end
      table.sort(came)
      assert.same({ "c1 1 0", "c2 1 0", "c3 1 0", "c4 1 0" }, came)
      assert.equal(CPUS + 1, #m:cpus())
      for i = 1, CPUS do unplug("c" .. i) end
      m:console():read()
      if round == 1 then held = process.holds() end
    end
    assert.same({ 0 }, indices())
    assert.equal("cpus 1", select(2, small.run(m, "cpus")))
    -- KVM keeps a vCPU as long as the machine: its descriptor is kept for the next of its index.
    local now = process.holds()
    assert.same({ held.fds, held.threads }, { now.fds, now.threads })
  end)

  it("fails where KVM can't make a vCPU, with the machine as it was", function()
    local out, err, code = command.script(([[
      local small = require "spec.support.small_guest"
      local m = small.machine { cpus = 1, maxcpus = 2 }
      small.start(m)
      local files = {}
      repeat
        local file = io.open "/dev/null"
        table.insert(files, file)
      until not file
      local ok, why = pcall(m.device_add, m, "cpu", { id = "a" })
      print(ok, why.code)
      for _, file in ipairs(files) do file:close() end
      print(#m:cpus(), m.state, m:object "a" == nil)
      m:device_add("cpu", { id = "a" })
      print(m:wait("acpi-ost", { timeout = %d }).status, select(2, small.run(m, "cpus")))
      m:close()
    ]]):format(small.TIMEOUT), "ulimit -n 100;")
    assert.equal(0, code, err)
    assert.equal("false\tno-space\n1\trunning\ttrue\n0\tcpus 2\n", out)
  end)
end)
