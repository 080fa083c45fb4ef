-- Devices that finish what is in flight before a pause, reset, removal or close.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

local count, calls = 0, {}

-- A machine that runs, and a device of it whose functions note that they were called.
local function running(drain, options)
  count = count + 1
  local definition = {
    name = "test-drain-" .. count, drain = drain,
    undrain = function() calls[#calls + 1] = "undrain" end,
    run_state = function(_, on) calls[#calls + 1] = on and "run" or "stop" end,
    reset = function() calls[#calls + 1] = "reset" end,
  }
  lunik.device(definition)
  local m = machines.none(options)
  local o = m:device_add(definition.name, { id = "slow" })
  m:start()
  calls = {}
  return m, o
end

-- A drain function that a script ends by calling what it has left in held.done.
local function holding(held)
  return function(_, done)
    calls[#calls + 1] = "drain"
    if not held.hold then return done() end
    held.done = done
  end
end

-- A drain function that ends a little later.
local function later(_, done)
  calls[#calls + 1] = "drain"
  lunik.spawn(function()
    lunik.sleep(0.005)
    calls[#calls + 1] = "done"
    done()
    done() -- does nothing
  end)
end

describe("drain", function()
  it("is waited for in the main chunk", function()
    local m = running(later)
    m:pause()
    assert.are.equal("paused", m.state)
    assert.same({ "drain", "done", "stop" }, calls)
    m:resume()
    assert.same({ "drain", "done", "stop", "run", "undrain" }, calls)
    calls = {}
    m:reset()
    assert.same({ "drain", "done", "stop", "reset", "run", "undrain" }, calls)
  end)

  it("is waited for in coroutines, while others run", function()
    local m = running(later)
    local other = 0
    local ticking = lunik.spawn(function()
      for _ = 1, 3 do
        lunik.sleep(0.001)
        other = other + 1
      end
    end)
    lunik.spawn(function()
      m:pause()
      assert.are.equal("paused", m.state)
      m:resume()
      m:reset()
      m:close()
      assert.are.equal("closed", m.state)
    end):wait()
    ticking:wait()
    assert.are.equal(3, other)
  end)

  it("costs no wait where nothing is in flight", function()
    local m = running(function(_, done) done() end)
    m:on("ping", function()
      m:pause()
      calls[#calls + 1] = m.state
    end)
    m:emit("ping")
    m:wait("paused", { timeout = 5 })
    assert.same({ "stop", "paused" }, calls)
  end)

  it("is left to the loop in a handler", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 60 })
    held.hold = true
    local state
    m:once("ping", function()
      m:pause()
      state = m.state
    end)
    m:emit("ping")
    lunik.sleep(0)
    assert.are.equal("running", state)
    held.done()
    m:wait("paused", { timeout = 5 })
    assert.are.equal("paused", m.state)
  end)

  it("fails a pause when it takes too long, and the machine runs on", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 0.02 })
    held.hold = true
    local line = debug.getinfo(1, "l").currentline + 1
    local err = machines.raised(function() m:pause() end)
    assert.are.equal("timeout", err.code)
    assert.matches("drain_spec.lua:" .. line, err.where)
    assert.matches("machine 'spec' can't be paused: device 'slow' %(test%-drain%-%d+%) has not "
      .. "finished what is in flight within 0.02 s", err.message)
    assert.are.equal("running", m.state)
    assert.same({ "drain", "undrain" }, calls)
    held.hold = false
    held.done()
    m:pause()
    assert.are.equal("paused", m.state)
  end)

  it("does not keep a machine from being reset, shut down or closed", function()
    local held = {}
    local m, o = running(holding(held), { drain_timeout = 0.02 })
    local seen = {}
    m:on("error", function(ev) seen[#seen + 1] = ev.source .. ": " .. ev.device end)
    held.hold = true
    m:reset()
    m:shutdown()
    m:wait("error", { source = "shutdown", timeout = 5 })
    m:close()
    assert.same({ "reset: " .. o.path, "shutdown: " .. o.path, "close: " .. o.path }, seen)
    held.done()
  end)

  it("keeps a device that is to be removed until it has finished", function()
    local held = {}
    local m, o = running(holding(held), { drain_timeout = 60 })
    held.hold = true
    local removal = m:device_del("slow")
    assert.are.equal("draining", removal.state)
    assert.are.equal("draining", o.state)
    assert.are.equal("draining", m:device_del("slow").state)
    held.done()
    assert.are.equal("ejected", removal:wait { timeout = 5 })
    assert.is_false(o.alive)
  end)

  it("keeps it for good when it takes too long", function()
    local held = {}
    local m, o = running(holding(held), { drain_timeout = 0.01 })
    held.hold = true
    local removal = m:device_del("slow")
    local err = machines.raised(removal.wait, removal, { timeout = 5 })
    assert.are.equal("busy", err.code)
    assert.matches("has not finished what is in flight within 0.01 s", err.message)
    assert.are.equal("refused", o.state)
    assert.same({ "drain", "undrain" }, calls)
    held.done()
    held.hold = false
    assert.are.equal("ejected", m:device_del("slow").state)
  end)

  it("is taken back with a transaction", function()
    local m, o = running(function(_, done) calls[#calls + 1] = "drain" done() end)
    machines.raised(m.transaction, m, function()
      m:device_del("slow")
      error { code = "state", message = "no" }
    end)
    assert.is_true(o.alive)
    assert.same({ "drain", "undrain" }, calls)
  end)

  it("counts as finished when it raises an error", function()
    local m = running(function() error "broken" end)
    local seen = {}
    m:on("error", function(ev) seen[#seen + 1] = ev.message end)
    m:pause()
    lunik.sleep(0)
    assert.are.equal("paused", m.state)
    assert.matches("broken", seen[#seen])
  end)

  it("counts as finished when its done is lost", function()
    local lost
    local m = running(function(_, done) return lost or done() end, { drain_timeout = 60 })
    lost = true
    lunik.spawn(function()
      lunik.sleep(0.001)
      collectgarbage()
      collectgarbage()
    end)
    m:pause()
    assert.are.equal("paused", m.state)
  end)

  it("may end when the machine is closed", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 0.001 })
    m:on("error", function() end)
    held.hold = true
    m:close()
    held.done()
    assert.are.equal("closed", m.state)
  end)

  it("ends waits when the machine is closed meanwhile", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 60 })
    held.hold = true
    local pausing = lunik.spawn(function() m:pause() end)
    local closing = lunik.spawn(function() m:close() end)
    assert.are.equal("running", m.state)
    held.done()
    closing:wait { timeout = 5 }
    assert.are.equal("gone", machines.raised(pausing.wait, pausing).code)
    assert.are.equal("closed", m.state)
  end)

  it("carries out what comes together", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 60 })
    held.hold = true
    local tasks = {}
    for _, name in ipairs { "pause", "reset", "pause" } do
      tasks[#tasks + 1] = lunik.spawn(function() m[name](m) end)
    end
    assert.same({ "drain" }, calls)
    held.hold = false
    held.done()
    for _, task in ipairs(tasks) do task:wait { timeout = 5 } end
    assert.are.equal("paused", m.state)
  end)
end)

describe("m:drain()", function()
  it("holds devices until it is closed", function()
    local m = running(later)
    do
      local drain <close> = m:drain()
      assert.same({ "drain", "done" }, calls)
      assert.are.equal("running", m.state)
      assert.matches("drain of machine 'spec' %(held%)", tostring(drain))
    end
    assert.same({ "drain", "done", "undrain" }, calls)
  end)

  it("nests", function()
    local m = running(later)
    local first, second = m:drain(), m:drain()
    m:pause()
    first:close()
    first:close()
    m:resume()
    assert.same({ "drain", "done", "stop", "run" }, calls)
    second:close()
    assert.are.equal("undrain", calls[#calls])
    m:close()
    second:close()
  end)

  it("fails when a device takes too long", function()
    local held = {}
    local m = running(holding(held), { drain_timeout = 0.01 })
    held.hold = true
    assert.are.equal("timeout", machines.raised(m.drain, m).code)
    assert.same({ "drain", "undrain" }, calls)
    held.done()
  end)

  it("needs a place to wait", function()
    local m, err = running(later)
    m:once("ping", function() err = machines.raised(m.drain, m) end)
    m:emit("ping")
    lunik.sleep(0)
    assert.are.equal("state", err.code)
  end)

  it("is refused on a machine that is closed", function()
    local m = running(later)
    m:close()
    assert.are.equal("gone", machines.raised(m.drain, m).code)
  end)
end)

describe("drain_timeout", function()
  it("is a time", function()
    for _, wrong in ipairs { -1, "soon", {} } do
      local err = machines.raised(machines.none, { drain_timeout = wrong })
      assert.are.equal("invalid", err.code)
      assert.matches("machine: drain_timeout: ", err.message)
    end
  end)
end)
