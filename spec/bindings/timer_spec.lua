-- Timers on a machine's clock: when they fire, in which order, and when they don't.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local raised = machines.raised

-- A machine whose clock moves by m:advance() alone, running.
local function running()
  local m = machines.none { clock = "manual" }
  m:start()
  return m
end

describe("a timer", function()
  after_each(machines.close_all)

  it("fires once, at the time it was set to", function()
    local m, fired = running(), {}
    m:timer(function() table.insert(fired, m:clock()) end):set(1000)
    m:advance(999)
    assert.same({}, fired)
    m:advance(1)
    assert.same({ 1000 }, fired)
    m:advance(5000)
    assert.same({ 1000 }, fired)
  end)

  it("is idle until it is set", function()
    local m, fired = running(), 0
    m:timer(function() fired = fired + 1 end)
    m:advance(1000000)
    assert.equal(0, fired)
  end)

  it("repeats if its function sets it again", function()
    local m, fired, timer = running(), {}, nil
    timer = m:timer(function()
      table.insert(fired, m:clock())
      timer:set(100)
    end)
    timer:set(100)
    m:advance(350)
    assert.same({ 100, 200, 300 }, fired)
    timer:cancel()
    m:advance(1000)
    assert.equal(3, #fired)
  end)

  it("fires at the later of two settings, once", function()
    local m, fired = running(), {}
    local timer = m:timer(function() table.insert(fired, m:clock()) end)
    timer:set(100)
    timer:set(300)
    m:advance(1000)
    assert.same({ 300 }, fired)
  end)

  it("does not fire once it is cancelled, and can be set again", function()
    local m, fired = running(), {}
    local timer = m:timer(function() table.insert(fired, m:clock()) end)
    timer:cancel()
    timer:set(100)
    timer:cancel()
    timer:cancel()
    m:advance(200)
    assert.same({}, fired)
    timer:set(100)
    m:advance(200)
    assert.same({ 300 }, fired)
  end)

  it("cancelled by one that fires before it does not fire", function()
    local m, fired = running(), {}
    local second = m:timer(function() table.insert(fired, "second") end)
    m:timer(function()
      table.insert(fired, "first")
      second:cancel()
    end):set(10)
    second:set(20)
    m:advance(100)
    assert.same({ "first" }, fired)
  end)

  it("fires in the order of the times, whatever the order of setting", function()
    local m, fired = running(), {}
    for _, at in ipairs { 30, 10, 40, 20 } do
      m:timer(function() table.insert(fired, at) end):set(at)
    end
    m:advance(100)
    assert.same({ 10, 20, 30, 40 }, fired)
  end)

  it("waits while the machine is paused", function()
    local m, fired = running(), 0
    m:timer(function() fired = fired + 1 end):set(100)
    m:pause()
    lunik.run "nowait"
    assert.equal(0, fired)
    m:resume()
    m:advance(100)
    assert.equal(1, fired)
  end)

  it("fires though no variable holds it", function()
    local m, fired = running(), 0
    m:timer(function() fired = fired + 1 end):set(100)
    machines.collect()
    m:advance(100)
    assert.equal(1, fired)
  end)

  it("is collected with its function while it is not set", function()
    local m, weak = running(), setmetatable({}, { __mode = "v" })
    local function make()
      local kept = {}
      weak[1] = kept
      m:timer(function() return kept end):set(100)
    end
    make()
    m:advance(100)
    machines.collect()
    assert.is_nil(weak[1])
  end)

  it("whose function raises an error does not keep others from firing", function()
    local m, fired = running(), 0
    m:timer(function() error "on purpose" end):set(10)
    m:timer(function() fired = fired + 1 end):set(20)
    local text = machines.stderr(function() pcall(m.advance, m, 100) end)
    m:advance(100)
    assert.equal(1, fired)
    assert.is_string(text)
  end)

  it("on the host's clock fires while the loop runs", function()
    local m, fired = machines.none(), 0
    m:start()
    m:timer(function()
      fired = fired + 1
      lunik.stop()
    end):set(1000000)
    pcall(lunik.run)
    assert.equal(1, fired)
  end)

  it("refuses what is not a time", function()
    local m, fired = running(), 0
    local timer = m:timer(function() fired = fired + 1 end)
    timer:set(100)
    for _, ns in ipairs { -1, 0.5, "soon", {} } do
      assert.equal("invalid", raised(timer.set, timer, ns).code)
    end
    m:advance(100)
    assert.equal(1, fired) -- the earlier setting stands
  end)

  it("of a closed machine is refused, and does not fire", function()
    local m, fired = running(), 0
    local timer = m:timer(function() fired = fired + 1 end)
    timer:set(100)
    m:close()
    assert.is_truthy(raised(timer.set, timer, 100).code)
    assert.equal(0, fired)
  end)
end)
