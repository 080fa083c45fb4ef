-- Events, waits and coroutines.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

local function stopped(m, text)
  return ("machine '%s' has stopped (%s)"):format(m.name, text)
end

describe("handlers", function()
  it("get events in order, from the loop", function()
    local m = machines.none()
    local names = {}
    m:on("*", function(ev) names[#names + 1] = ev.name end)
    m:start()
    m:pause()
    m:resume()
    m:reset()
    m:shutdown(3)
    assert.are.same({}, names)
    lunik.run()
    local list = table.concat(names, " ")
    assert.is_truthy(list:find("started paused resumed reset shutdown", 1, true), list)
  end)

  it("get an event that says what it is", function()
    local m, texts = machines.none(), {}
    m:on("started", function(ev) texts[1] = tostring(ev) end)
    m:on("mine", function(ev) texts[2] = tostring(ev) end)
    m:start()
    m:emit("mine", { word = "a\nb", n = 1 })
    lunik.sleep(0)
    assert.are.same({ "machine 'spec': started",
      "machine 'spec': mine { n = 1, word = \"a\\nb\" }" }, texts)
    m:once("mine", function(ev) m:close() texts[3] = tostring(ev) end)
    m:emit("mine", {})
    lunik.sleep(0)
    assert.are.equal("machine 'spec': mine", texts[3])
  end)

  it("can show a crash as it is", function()
    local m, first = machines.none(), nil
    m:on("tick", function(e) first = e end)
    m:emit "tick"
    lunik.run "nowait"
    local ev = setmetatable({ name = "crashed", machine = m, message = "oh", dump = "a\nb\n" },
      getmetatable(first))
    assert.are.equal("machine 'spec': crashed { message = \"oh\" }\na\nb", tostring(ev))
  end)

  it("see the event's fields", function()
    local m = machines.none()
    local ev
    m:on("shutdown", function(e) ev = e end)
    m:start()
    m:shutdown(3)
    lunik.run()
    assert.are.equal("shutdown", ev.name)
    assert.are.equal(m, ev.machine)
    assert.are.equal("host-quit", ev.reason)
    assert.are.equal(3, ev.code)
    assert.are.equal("integer", math.type(ev.time))
    assert.is_nil(ev.vcpu)
  end)

  it("can end their subscription, and each other's", function()
    local m = machines.none()
    local calls = {}
    local second
    local first = m:on("tick", function() calls[#calls + 1] = "first"; second:off() end)
    second = m:on("tick", function() calls[#calls + 1] = "second" end)
    m:once("tick", function() calls[#calls + 1] = "once" end)
    m:emit "tick"
    m:emit "tick"
    lunik.run "nowait"
    assert.are.same({ "first", "once", "first" }, calls)
    first:off()
    first:off()
    m:emit "tick"
    lunik.run "nowait"
    assert.are.equal(3, #calls)
  end)

  it("carry a script's own events", function()
    local m = machines.none()
    local ev
    m:on("my-event", function(e) ev = e end)
    m:emit("my-event", { text = "hello", number = -5, flag = true, two_words = 1 })
    lunik.run "nowait"
    assert.are.same({ "hello", -5, true, 1 }, { ev.text, ev.number, ev.flag, ev.two_words })
  end)

  it("that close their machine leave the event to who waits for it", function()
    local m = machines.none()
    m:on("shutdown", function() m:close() end)
    m:start()
    m:shutdown(6)
    assert.are.equal(6, m:wait("shutdown", { timeout = 1 }).code)
    assert.are.equal("closed", m.state)
  end)

  it("may close their machine", function()
    local m = machines.none()
    m:on("shutdown", function() m:close() end)
    m:start()
    m:shutdown()
    lunik.run()
    assert.are.equal("closed", m.state)
  end)

  it("get the errors that other handlers raise", function()
    local m = machines.none()
    local errors, after = {}, false
    m:on("error", function(e) errors[#errors + 1] = e end)
    m:on("tick", function() error "broken handler" end)
    m:on("tick", function() after = true end)
    m:emit "tick"
    lunik.run "nowait"
    lunik.run "nowait"
    assert.is_true(after)
    assert.are.equal(1, #errors)
    assert.is_truthy(errors[1].message:find "broken handler")
    assert.are.equal("a handler of 'tick'", errors[1].source)
    assert.is_truthy(errors[1].traceback:find("events_spec", 1, true))
    assert.are.equal("running", m:start().state)
  end)

  it("have their errors printed when 'error' has no handler", function()
    local m = machines.none { name = "loud" }
    m:on("tick", function() error "broken handler" end)
    m:emit "tick"
    local text = machines.stderr(function() lunik.run "nowait" end)
    assert.is_truthy(text:find("machine 'loud': a handler of 'tick'", 1, true))
    assert.is_truthy(text:find("broken handler", 1, true))
    assert.is_truthy(text:find("stack traceback", 1, true))
  end)

  it("do not loop when an error handler raises", function()
    local m = machines.none()
    local count = 0
    m:on("error", function() count = count + 1; error "worse" end)
    m:on("tick", function() error "bad" end)
    m:emit "tick"
    local text = machines.stderr(function()
      for _ = 1, 5 do
        lunik.run "nowait"
      end
    end)
    assert.are.equal(1, count)
    assert.is_truthy(text:find "worse")
  end)

  it("can't wait", function()
    local m = machines.none()
    local err
    m:on("tick", function() err = machines.raised(lunik.sleep, 0) end)
    m:emit "tick"
    lunik.run "nowait"
    assert.are.equal("state", err.code)
    assert.are.equal("can't wait in an event handler; use lunik.spawn", err.message)
  end)

  it("can't wait when the script itself caused the access, nor in a transaction", function()
    local m = machines.none()
    local errors = {}
    m.io.root:add(m:region {
      kind = "io", size = 1, write = function() errors[1] = machines.raised(lunik.sleep, 0) end,
    }, 0x500)
    m:outb(0x500, 0)
    m:transaction(function()
      errors[2] = machines.raised(m.wait, m, "tick", { timeout = 1 })
      errors[3] = machines.raised(lunik.run)
    end)
    assert.are.equal("can't wait in a handler; use lunik.spawn", errors[1].message)
    assert.are.equal("can't wait inside a transaction; use lunik.spawn", errors[2].message)
    assert.are.equal("the loop can't be run inside a transaction", errors[3].message)
  end)

  it("can't wait in a coroutine either, where C code is in between", function()
    local m = machines.none()
    local function message(fn)
      local task = lunik.spawn(function()
        lunik.sleep(0)
        return machines.raised(fn).message
      end)
      return task:wait { timeout = 5 }
    end
    assert.are.equal("can't wait for the time to pass inside a transaction",
      message(function() m:transaction(lunik.sleep, 0) end))
    m.io.root:add(m:region { kind = "io", size = 1, write = function() error "never" end }, 0x500)
    assert.are.equal("can't wait for the time to pass in a function that C code calls, such as one "
      .. "given to table.sort or string.gsub",
      message(function() table.sort({ 1, 2 }, function() lunik.sleep(0) end) end))
  end)

  it("may start coroutines that wait", function()
    local m = machines.none()
    local done
    m:on("tick", function()
      lunik.spawn(function()
        lunik.sleep(0.001)
        done = true
      end)
    end)
    m:emit "tick"
    lunik.run()
    assert.is_true(done)
  end)
end)

describe("a wait in the main chunk", function()
  it("gets an event that was sent before it", function()
    local m = machines.none()
    m:start()
    assert.are.equal("started", m:wait("started", { timeout = 1 }).name)
  end)

  it("compares fields, a device's by handle too", function()
    local m = machines.none()
    local device = m:device_add("post-code", { id = "code" })
    m:emit("tick", { n = 1, device = "code" })
    m:emit("tick", { n = 2, device = "code" })
    local ev = m:wait("tick", { n = 2, device = device, timeout = 1 })
    assert.are.equal(2, ev.n)
  end)

  it("takes the first of several events", function()
    local m = machines.none()
    m:emit "b"
    m:emit "a"
    assert.are.equal("b", m:wait({ "a", "b" }, { timeout = 1 }).name)
  end)

  it("ends when the time is up", function()
    local m = machines.none()
    m:start()
    local before = lunik.now()
    local err = machines.raised(m.wait, m, "acpi-ost", { device = "dimm1", timeout = 0.02 })
    assert.are.equal("timeout", err.code)
    assert.are.equal("no 'acpi-ost' with device = dimm1 within 0.02 s", err.message)
    assert.is_true(lunik.now() - before >= 0.02)
  end)

  it("does not end before that", function()
    for i = 1, 100 do
      local seconds, before = (i % 3 + 1) / 1000, lunik.now()
      lunik.sleep(seconds)
      assert.is_true(lunik.now() - before >= seconds)
    end
  end)

  it("ends when the machine stops", function()
    local m = machines.none()
    m:start()
    lunik.spawn(function()
      lunik.sleep(0.005)
      m:shutdown()
    end)
    local err = machines.raised(m.wait, m, "acpi-ost", { timeout = 5 })
    assert.are.equal("state", err.code)
    assert.are.equal(stopped(m, "host-quit") .. " while waiting for 'acpi-ost'", err.message)
  end)

  it("ends at once when the machine has stopped before", function()
    local m = machines.none()
    m:start()
    m:shutdown()
    lunik.run()
    assert.are.equal("state", machines.raised(m.wait, m, "acpi-ost").code)
    m:start()
    m:emit "tick"
    assert.are.equal("tick", m:wait("tick", { timeout = 1 }).name)
  end)

  it("finds a shutdown that came while it waited for something else", function()
    local m = machines.none { serial = "buffer" }
    m:start()
    m:shutdown(4)
    machines.raised(m.wait, m, "acpi-ost", { timeout = 1 })
    assert.are.equal(4, m:wait("shutdown").code)
    assert.are.equal(4, m:wait({ "crashed", "shutdown" }).code)
  end)

  it("ends when the machine is closed", function()
    local m = machines.none()
    m:start()
    lunik.spawn(function()
      lunik.sleep(0.005)
      m:close()
    end)
    local err = machines.raised(m.wait, m, "acpi-ost", { timeout = 5 })
    assert.are.equal("gone", err.code)
    assert.are.equal("gone", machines.raised(m.wait, m, "acpi-ost").code)
  end)

  it("fails when nothing can ever end it", function()
    local m = machines.none()
    local err = machines.raised(m.wait, m, "acpi-ost")
    assert.are.equal("state", err.code)
    assert.is_truthy(err.message:find "no machine is running")
  end)

  it("fails when lunik.stop() is called", function()
    local m = machines.none()
    m:start()
    lunik.spawn(function()
      lunik.sleep(0.002)
      lunik.stop()
    end)
    local err = machines.raised(m.wait, m, "acpi-ost", { timeout = 5 })
    assert.is_truthy(err.message:find("lunik.stop() was called", 1, true))
  end)

  it("leaves nothing behind", function()
    local m = machines.none()
    m:start()
    for _ = 1, 3 do
      machines.raised(m.wait, m, "acpi-ost", { timeout = 0 })
    end
    local state = require("lunik.event").state(m)
    assert.are.equal(0, #state.handlers["acpi-ost"])
    machines.raised(m.wait, m, { "tick", "*" }, { a = 1, b = 2, timeout = 0 })
    assert.are.equal(0, #state.ends)
    assert.are.same({}, state.filtered)
    m:shutdown()
    assert.is_false(lunik.run())
  end)
end)

describe("m:watch", function()
  it("misses nothing between two waits", function()
    local m = machines.none()
    m:start()
    local watch <close> = m:watch("tick", { kind = "good" })
    m:emit("tick", { kind = "good", n = 1 })
    m:emit("tick", { kind = "bad", n = 2 })
    m:emit("tick", { kind = "good", n = 3 })
    m:emit "other"
    m:wait("other", { timeout = 1 })
    assert.are.equal(1, watch:wait().n)
    assert.are.equal(3, watch:poll().n)
    assert.is_nil(watch:poll())
    assert.are.equal("timeout", machines.raised(watch.wait, watch, { timeout = 0 }).code)
  end)

  it("keeps events in order while some are taken", function()
    local m = machines.none()
    local watch <close> = m:watch "tick"
    local taken, sent = 0, 0
    for round = 1, 20 do
      for _ = 1, round do
        sent = sent + 1
        m:emit("tick", { n = sent })
      end
      lunik.run "nowait"
      for _ = 1, round - round // 4 do
        taken = taken + 1
        assert.are.equal(taken, watch:poll().n)
      end
    end
    while taken < sent do
      taken = taken + 1
      assert.are.equal(taken, watch:wait { timeout = 0 }.n)
    end
    assert.is_nil(watch:poll())
  end)

  it("finds the events whose fields are as given, of whatever others are watched", function()
    local m = machines.none()
    local filters, watches = {}, {}
    for a = 0, 2 do
      for b = 0, 2 do
        local filter = { a = a > 0 and a or nil, b = b > 0 and b == 1 or nil, c = "x" }
        filters[#filters + 1] = filter
        watches[#watches + 1] = m:watch(b > 0 and "tick" or "*", filter)
      end
    end
    local events = { {}, { c = "x" }, { a = 1, c = "x" }, { a = 2, b = true, c = "x" },
      { a = 1, b = false, c = "x" }, { a = 1, b = true, c = "y" }, { b = true, c = "x", d = 1 } }
    for i, fields in ipairs(events) do
      fields.n = i
      m:emit("tick", fields)
    end
    lunik.run "nowait"
    for i, filter in ipairs(filters) do
      for _, fields in ipairs(events) do
        local matching = true
        for key, value in pairs(filter) do matching = matching and fields[key] == value end
        if matching then assert.are.equal(fields.n, watches[i]:poll().n) end
      end
      assert.is_nil(watches[i]:poll())
      watches[i]:off()
    end
    assert.are.same({}, require("lunik.event").state(m).filtered)
  end)

  it("wakes who waits in the order in which they began", function()
    local m = machines.none()
    local order = {}
    for i = 1, 20 do
      lunik.spawn(function()
        m:wait("tick", { [("abcd"):sub(i % 4 + 1, i % 4 + 1)] = 1 })
        order[i] = #order + 1
      end)
    end
    m:emit("tick", { a = 1, b = 1, c = 1, d = 1 })
    lunik.run "nowait"
    for i = 1, 20 do assert.are.equal(i, order[i]) end
  end)

  it("wants values that an event can have", function()
    local m = machines.none()
    local err = machines.raised(m.watch, m, "tick", { n = 0 / 0 })
    assert.are.equal("invalid", err.code)
    assert.is_truthy(err.message:find("n: '%-?nan' equals no value"), err.message)
  end)
end)

describe("a coroutine", function()
  it("runs up to its first wait at once and ends in the loop", function()
    local steps = {}
    local task = lunik.spawn(function(a, b)
      steps[#steps + 1] = a + b
      lunik.sleep(0.001)
      steps[#steps + 1] = "slept"
      return "result", nil, 3
    end, 1, 2)
    assert.are.same({ 3 }, steps)
    assert.is_false(task.done)
    assert.are.same({ n = 3, "result", nil, 3 }, table.pack(task:wait { timeout = 1 }))
    assert.are.same({ 3, "slept" }, steps)
    assert.is_true(task.ok)
  end)

  it("waits for events while others run", function()
    local m = machines.none()
    m:start()
    local order = {}
    lunik.spawn(function()
      local ev = m:wait("a", { timeout = 1 })
      order[#order + 1] = ev.name
      m:emit "b"
    end)
    lunik.spawn(function()
      local ev = m:wait("b", { timeout = 1 })
      order[#order + 1] = ev.name
      m:shutdown()
    end)
    m:emit "a"
    lunik.run()
    assert.are.same({ "a", "b" }, order)
  end)

  it("gets timeouts and the machine's end as errors", function()
    local m = machines.none()
    m:start()
    local timeout, ended
    lunik.spawn(function() timeout = machines.raised(m.wait, m, "x", { timeout = 0.001 }) end)
    lunik.spawn(function() ended = machines.raised(m.wait, m, "x") end)
    lunik.spawn(function()
      lunik.sleep(0.01)
      m:shutdown()
    end)
    lunik.run()
    assert.are.equal("timeout", timeout.code)
    assert.are.equal("state", ended.code)
  end)

  it("raises to who waits for it, else reports", function()
    local task = lunik.spawn(function()
      lunik.sleep(0.001)
      error "broken"
    end)
    assert.is_truthy(tostring(machines.raised(task.wait, task)):find "broken")
    local text = machines.stderr(function()
      lunik.spawn(function() error "unseen" end)
      lunik.run "nowait"
    end)
    assert.is_truthy(text:find "unseen")
    assert.is_truthy(text:find "stack traceback")
    local seen
    lunik.on_error(function(message, traceback, source) seen = { message, traceback, source } end)
    lunik.spawn(function() error "hooked" end)
    lunik.run "nowait"
    lunik.on_error(nil)
    assert.is_truthy(seen[1]:find "hooked")
    assert.are.equal("a coroutine", seen[3])
  end)

  it("can be cancelled", function()
    local closed
    local task = lunik.spawn(function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      lunik.sleep(100)
    end)
    task:cancel()
    assert.is_true(closed)
    assert.is_true(task.done)
    assert.is_false(lunik.run())
    assert.are.equal("state", machines.raised(task.wait, task).code)
  end)

  it("gives way with a plain yield", function()
    local order = {}
    lunik.spawn(function()
      order[#order + 1] = 1
      coroutine.yield()
      order[#order + 1] = 3
    end)
    order[#order + 1] = 2
    lunik.run()
    assert.are.same({ 1, 2, 3 }, order)
  end)

  it("can't run the loop or wait inside a transaction", function()
    local m = machines.none()
    local codes = {}
    lunik.spawn(function()
      codes[1] = machines.raised(lunik.run).code
      codes[2] = machines.raised(m.transaction, m, function() lunik.sleep(0) end).code
    end)
    assert.are.same({ "state", "state" }, codes)
    assert.are.equal("created", m.state)
  end)

  it("is not what a foreign coroutine is", function()
    local m = machines.none()
    m:start()
    local ev = coroutine.wrap(function() return m:wait("started", { timeout = 1 }) end)()
    assert.are.equal("started", ev.name)
  end)
end)

describe('lunik.run "once"', function()
  it("does not wait for another when something has happened already", function()
    local done, late
    lunik.spawn(function()
      lunik.sleep(0.001)
      done = true
    end)
    local other = lunik.spawn(function()
      lunik.sleep(10)
      late = true
    end)
    os.execute "sleep 0.05"
    while not done do lunik.run "once" end
    other:cancel()
    assert.is_nil(late)
  end)
end)

describe("lunik.defer", function()
  it("closes a machine that a handler must not close", function()
    local m = machines.none()
    local err
    m.io.root:add(m:region {
      kind = "io", size = 1, write = function()
        err = machines.raised(m.close, m)
        lunik.defer(function() m:close() end)
      end,
    }, 0x500)
    m:outb(0x500, 1)
    assert.are.equal("state", err.code)
    assert.are.equal("created", m.state)
    lunik.run()
    assert.are.equal("closed", m.state)
  end)
end)

describe("memory hotplug", function()
  it("reads straight in the main chunk", function()
    local m = machines.pc()
    m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
    local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    local ev = m:wait("acpi-ost", { device = "dimm1", timeout = 5 })
    assert.are.same({ 0, 1, 0, "DIMM" }, { ev.slot, ev.source, ev.status, ev.slot_type })
    assert.are.same({ {
      type = "dimm",
      data = {
        id = "dimm1", addr = dimm.addr, size = 128 << 20, slot = 0, node = 0,
        memdev = "/objects/mem1", hotplugged = true, hotpluggable = true,
      },
    } }, m:memory_devices())
    local removal = m:device_del(dimm)
    assert.are.equal("requested", removal.state)
    assert.are.equal("requested", dimm.state)
    assert.are.equal("ejected", removal:wait { timeout = 5 })
    assert.is_false(dimm.alive)
    assert.are.same({}, m:memory_devices())
    m:object_del "mem1"
  end)

  it("reads the same in a coroutine", function()
    local m = machines.pc()
    local task = lunik.spawn(function()
      m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
      m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
      m:wait("acpi-ost", { device = "dimm1", timeout = 5 })
      local deleted = m:watch("device-deleted", { device = "dimm1" })
      m:device_del "dimm1"
      return deleted:wait({ timeout = 5 }).path
    end)
    assert.are.equal("/machine/dimm1", task:wait { timeout = 10 })
  end)

  it("fails when the guest refuses", function()
    local m = machines.pc({}, { refuse_eject = true })
    m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    m:wait("acpi-ost", { device = "dimm1", timeout = 5 })
    local removal = m:device_del "dimm1"
    local err = machines.raised(removal.wait, removal, { timeout = 5 })
    assert.are.equal("busy", err.code)
    assert.are.equal("device 'dimm1': the guest keeps it (_OST source 0x3, status 0x80)",
      err.message)
    assert.are.same({ "refused", 3, 128 }, { removal.state, removal.source, removal.status })
    assert.is_true(m:object("dimm1").alive)
  end)

  it("times out when the guest does not answer", function()
    local m, guest = machines.pc()
    guest:detach()
    m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    local removal = m:device_del "dimm1"
    assert.are.equal("timeout", machines.raised(removal.wait, removal, { timeout = 0.01 }).code)
    assert.are.equal("requested", removal.state)
  end)
end)

describe("sleeping for no time", function()
  it("lets the loop do all other work", function()
    local rounds, stop = 0, false
    local task = lunik.spawn(function()
      while not stop and rounds < 10000 do
        lunik.sleep(0)
        rounds = rounds + 1
      end
    end)
    lunik.sleep(0.02)
    stop = true
    task:wait { timeout = 5 }
    assert.is_true(rounds > 0 and rounds < 10000, rounds .. " rounds")
  end)
end)

describe("lunik.on", function()
  it("gets the events of all machines, also of later ones, until off() is called", function()
    local seen = {}
    local subscription = lunik.on("x-ping", function(ev) table.insert(seen, ev.machine) end)
    for _ = 1, 2 do
      machines.none():emit("x-ping", {})
      lunik.run "nowait"
    end
    subscription:off()
    machines.none():emit("x-ping", {})
    lunik.run "nowait"
    assert.are.equal(2, #seen)
    assert.are_not.equal(seen[1], seen[2])
    assert.has_error(function() lunik.on("device-addded", print) end)
  end)
end)
