-- Waits for events that have come already, during another wait.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

describe("a wait for an event that came before it", function()
  local m

  before_each(function()
    m = lunik.machine { name = "spec", board = "micro", accel = "none", memory = "16M",
      serial = "buffer" }
  end)
  after_each(function() m:close() end)

  local function print_out(text)
    for c in text:gmatch "." do m:outb(0x3f8, c:byte()) end
  end

  local function raised(fn, ...)
    local err = machines.raised(fn, ...)
    return err.code .. ": " .. err.message
  end

  it("keeps few of the events that came before what was done last", function()
    m:start()
    for i = 1, 500 do
      m:emit("x-old", { n = i })
      lunik.run "nowait"
      m:pause()
      m:start()
    end
    local log, count = require("lunik.core").shared.recent[m], 0
    for i = log.first, log.last do count = count + (log[i] and 1 or 0) end
    assert.is_true(log.last >= 500 and count < 200, count)
    assert.is_nil(log[log.first - 1])
  end)

  it("finds one that came during a wait for the console", function()
    m:start()
    lunik.spawn(function()
      m:emit("x-ost", { device = "d1" })
      lunik.sleep(0.01)
      print_out "accepted"
    end)
    m:console():expect("accepted", { timeout = 5 })
    lunik.sleep(0.01)
    assert.equal("d1", m:wait("x-ost", { device = "d1", timeout = 1 }).device)
  end)

  it("finds it also in a coroutine that has done nothing to the machine", function()
    local found
    lunik.spawn(function()
      m:console():expect("accepted", { timeout = 5 })
      found = m:wait("x-ost", { timeout = 1 })
    end)
    m:emit("x-ost", {})
    lunik.sleep(0.01)
    print_out "accepted"
    lunik.sleep(0.02)
    assert.equal("x-ost", found.name)
  end)

  it("finds each once, whatever the order", function()
    m:start()
    for i = 1, 3 do m:emit("x-ost", { n = i }) end
    assert.equal(3, m:wait("x-ost", { n = 3, timeout = 1 }).n)
    assert.equal(1, m:wait("x-ost", { timeout = 1 }).n)
    assert.equal(2, m:wait("x-ost", { timeout = 1 }).n)
    assert.truthy(raised(m.wait, m, "x-ost", { timeout = 0.01 }):find "^timeout: ")
    assert.equal("started", m:wait({ "x-other", "started" }, { timeout = 1 }).name)
  end)

  it("does not take one from before what the script did last", function()
    local actions = {
      function() m:reset() end, function() m:pause() end, function() m:resume() end,
      function() m:device_add("serial16550", { id = "s1", iobase = 0x2f8, irq = 3 }) end,
      function() m:console():write "x" end, function() m:powerdown() end,
    }
    m:start()
    for _, act in ipairs(actions) do
      m:emit("x-ost", {})
      lunik.sleep(0.001)
      pcall(act)
      assert.truthy(raised(m.wait, m, "x-ost", { timeout = 0.01 }):find "^timeout: ")
    end
  end)

  it("does not take one of an earlier run", function()
    m:start()
    m:shutdown()
    m:wait "shutdown"
    m:emit("x-ost", {})
    lunik.spawn(function() m:start() end)
    lunik.sleep(0.01)
    assert.truthy(raised(m.wait, m, "x-ost", { timeout = 0.01 }):find "^timeout: ")
    assert.truthy(raised(m.wait, m, "shutdown", { timeout = 0.01 }):find "^timeout: ")
  end)

  it("does not take what came before a coroutine's first wait", function()
    m:emit("x-ost", {})
    lunik.sleep(0.001)
    local task = lunik.spawn(function() return pcall(m.wait, m, "x-ost", { timeout = 0.01 }) end)
    local ok, err = task:wait()
    assert.is_false(ok)
    assert.truthy(err.message:find("no 'x%-ost' within 0.01 s; one came [%d.e-]+ s before "
      .. "this wait began: m:watch%(%), made before what causes it, keeps it$"), err.message)
  end)

  it("keeps the last thousand events", function()
    m:start()
    m:wait "started"
    for i = 1, 1500 do m:emit("x-ost", { n = i }) end
    lunik.sleep(0.001)
    local first = m:wait("x-ost", { timeout = 1 }).n
    assert.equal(501, first)
    assert.equal(1500, m:wait("x-ost", { n = 1500, timeout = 1 }).n)
  end)
end)
