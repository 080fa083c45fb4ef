-- m:record(): which flights there are, which steps belong to them, how they end, and what is kept.
local core = require "lunik.core"
local lunik = require "lunik"
local event = require "lunik.event"
local guest = require "lunik.guest"
local machines = require "spec.support.machines"

-- A machine that has not been started.
local function pc(slots)
  return lunik.machine { board = "pc", accel = "none", memory = "64M", maxmem = "32G",
    slots = slots or 4 }
end

local function backend(m, id, size)
  m:object_add("memory-backend-ram", { id = id, size = size or "128M", reserve = "off" })
end

local function plug(m, name)
  backend(m, "mem" .. name)
  return m:device_add("pc-dimm", { id = "dimm" .. name, memdev = "mem" .. name })
end

-- Returns the kinds of a flight's steps, those in `leave_out` left out.
local function kinds(flight, leave_out)
  local list = {}
  for _, step in ipairs(flight.steps) do
    if not leave_out[step.kind] then list[#list + 1] = step.kind end
  end
  return list
end

local function count(flight, kind)
  local n = 0
  for _, step in ipairs(flight.steps) do n = n + (step.kind == kind and 1 or 0) end
  return n
end

local function find(flight, kind)
  for _, step in ipairs(flight.steps) do
    if step.kind == kind then return step end
  end
end

local function line() return debug.getinfo(2, "l").currentline end

describe("m:record", function()
  local m, rec

  after_each(machines.close_all)

  local function start(options, guest_options)
    m = pc(options and options.slots)
    m:start()
    guest.attach(m, guest_options)
    lunik.sleep(0.001)
    rec = m:record(options and options.record)
  end

  it("follows a plug from the call to the guest's answer", function()
    start()
    backend(m, "mem1")
    local at = line() + 1
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    local flight = rec:last()
    assert.equal("under way", flight.outcome)
    assert.is_nil(flight.stop)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    assert.equal(flight, rec:last())
    assert.are.same({ "plug", "dimm1", "pc-dimm", "accepted" },
      { flight.kind, flight.device, flight.driver, flight.outcome })
    assert.equal("plug of dimm1 (pc-dimm)", flight.title)
    assert.matches("record_spec%.lua:" .. at .. "$", flight.where)
    assert.equal(m.name, flight.machine)
    assert.are.same({ "device_add", "pre_plug", "place", "realize", "plug", "map", "section",
      "shown", "gpe", "gsi", "event", "gsi", "ost", "event" }, kinds(flight, { access = true }))
    assert.is_true(count(flight, "access") > 10)
    assert.are.same({ slot = 0, source = 1, status = 0 }, find(flight, "ost").fields)
    assert.equal(find(flight, "ost").time, flight.stop)
    assert.equal(flight.stop - flight.start, flight.duration)
  end)

  it("says of each step when, how long, where, and what it is a part of", function()
    start()
    plug(m, 1)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    local before, by_serial = 0, {}
    for _, step in ipairs(rec:last().steps) do
      assert.is_true(step.serial > before and step.time >= rec:last().start)
      assert.equal("loop", step.thread)
      assert.not_matches("[%c]", step.text)
      assert.is_true(#step.text > 0)
      local parent = by_serial[step.parent]
      assert.equal(parent and parent.depth + 1 or 0, step.depth)
      if parent and parent.duration then
        local stop = step.time + (step.duration or 0)
        assert.is_true(step.time >= parent.time and stop <= parent.time + parent.duration)
      end
      before, by_serial[step.serial] = step.serial, step
    end
    local map = find(rec:last(), "map")
    assert.matches("^device_add dimm1 %(pc%-dimm%), by script .-record_spec.lua:%d+$", map.cause)
    assert.is_true(map.duration > 0)
  end)

  it("follows an unplug to the ejection", function()
    start()
    plug(m, 1)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    m:device_del("dimm1"):wait { timeout = 30 }
    local flight = rec:flight "dimm1"
    assert.are.same({ "unplug", "ejected" }, { flight.kind, flight.outcome })
    assert.are.same({ "device_del", "unplug_request", "shown", "gpe", "gsi", "event", "gsi", "ost",
      "event", "eject", "map", "section", "unplug", "unrealize", "event" },
      kinds(flight, { access = true }))
    assert.equal("plug", rec:flight("dimm1", "plug").kind)
    assert.equal(2, #rec:flights())
    assert.equal(flight, rec:last "unplug")
    assert.is_nil(rec:last "boot")
  end)

  it("ends with the refusal, which says why", function()
    start(nil, { refuse_insert = function(slot) return slot == 1 end, refuse_eject = true })
    plug(m, 1)
    plug(m, 2)
    m:wait("acpi-ost", { device = "dimm2", timeout = 30 })
    assert.equal("accepted", rec:flight("dimm1", "plug").outcome)
    local refused = rec:flight "dimm2"
    assert.are.same({ "refused", "the guest does not take it (_OST source 0x1, status 0x1)" },
      { refused.outcome, refused.why })
    local request = m:device_del "dimm1"
    local ok, err = pcall(request.wait, request, { timeout = 30 })
    assert.is_false(ok)
    assert.equal("refused", rec:last().outcome)
    assert.matches(rec:last().why, err.message, 1, true)
  end)

  it("ends with the step that failed, which says why", function()
    start()
    plug(m, 1)
    local ok, err = pcall(m.device_add, m, "pc-dimm", { id = "dimm2", memdev = "mem1" })
    assert.is_false(ok)
    local flight = rec:last()
    assert.are.same({ "failed", err.message, "dimm2" }, { flight.outcome, flight.why,
      flight.device })
    assert.equal(err.message, flight.steps[1].failed)
    assert.is_not_nil(flight.stop)
    ok, err = pcall(m.device_add, m, "pc-dim", { id = "dimm3" })
    assert.is_false(ok)
    assert.are.same({ "failed", err.message, 1 }, { rec:last().outcome, rec:last().why,
      #rec:last().steps })
    ok, err = pcall(m.device_del, m, "dimm9")
    assert.is_false(ok)
    assert.are.same({ "unplug", "failed", err.message }, { rec:last().kind, rec:last().outcome,
      rec:last().why })
  end)

  it("ends with the listener that refuses", function()
    start()
    local deny = false
    m:listen { name = "no", region_add = function() end, commit = function()
      if deny then return nil, "not today" end
    end }
    deny = true
    local ok = pcall(plug, m, 1)
    assert.is_false(ok)
    local flight = rec:last()
    assert.equal("failed", flight.outcome)
    assert.matches("not today", flight.why)
    local listener = find(flight, "listener")
    assert.are.same({ "no", 1, 0, false }, { listener.name, listener.fields.added,
      listener.fields.removed, listener.fields.undo })
    assert.matches("not today", listener.failed)
    assert.equal(2, count(flight, "listener"))
  end)

  it("has a flight for a start and for a reset", function()
    m = pc()
    rec = m:record()
    local at = line() + 1
    m:start()
    m:reset()
    local boot, reset = table.unpack(rec:flights())
    assert.are.same({ "boot", "done", "reset", "done" }, { boot.kind, boot.outcome, reset.kind,
      reset.outcome })
    assert.matches(":" .. at .. "$", boot.where)
    assert.matches(":" .. at + 1 .. "$", reset.where)
    assert.is_true(count(reset, "device_reset") > 3)
    m:outb(0xcf9, 2)
    m:outb(0xcf9, 6) -- as the guest would
    lunik.sleep(0)
    assert.equal(3, #rec:flights())
    assert.are.same({ "guest_reset", "reset" }, { rec:last().steps[1].kind, rec:last().kind })
    assert.equal("done", rec:last().outcome)
  end)

  it("is done with a device that needs no answer", function()
    m = pc()
    rec = m:record()
    plug(m, 1)
    assert.are.same({ "plug", "done" }, { rec:last().kind, rec:last().outcome })
    m:device_del "dimm1"
    assert.are.same({ "unplug", "done" }, { rec:last().kind, rec:last().outcome })
  end)

  it("keeps the steps of flights apart that are under way together", function()
    start()
    for i = 1, 3 do plug(m, i) end
    m:wait("acpi-ost", { device = "dimm3", timeout = 30 })
    for i = 1, 3 do m:device_del("dimm" .. i) end
    m:wait("device-deleted", { device = "dimm3", timeout = 30 })
    local flights = rec:flights()
    assert.equal(6, #flights)
    for i, flight in ipairs(flights) do
      local own = "dimm" .. (i - 1) % 3 + 1
      assert.equal(own, flight.device)
      assert.equal(i <= 3 and "accepted" or "ejected", flight.outcome)
      for _, step in ipairs(flight.steps) do
        assert.is_true(not (step.device or ""):find "^dimm" or step.device == own, step.text)
      end
      assert.equal(1, count(flight, "shown"))
      assert.equal(1, count(flight, "gpe"))
    end
  end)

  it("shows a commit in the flight of each device of a transaction", function()
    start({ slots = 200, record = { flights = 500, steps = 100000 } }, { pages = 1 })
    local at = line() + 1
    m:transaction(function() for i = 1, 200 do plug(m, i) end end)
    m:wait("acpi-ost", { device = "dimm200", timeout = 30 })
    local map
    for i, flight in ipairs(rec:flights()) do
      assert.equal("dimm" .. i, flight.device)
      assert.equal("accepted", flight.outcome)
      map = map or find(flight, "map")
      assert.equal(map, find(flight, "map"))
      assert.are.same({ 1, 1, 1, 1, 1 }, { count(flight, "map"), count(flight, "section"),
        count(flight, "shown"), count(flight, "gpe"), count(flight, "ost") })
      assert.equal("dimm" .. i, find(flight, "section").device)
    end
    assert.equal(200, #rec:flights())
    assert.matches(":" .. at .. "$", map.where)
    assert.are.same({ flights = 0, steps = 0 }, rec.dropped)
  end)

  it("ends the flights of a transaction that is undone", function()
    start()
    pcall(m.transaction, m, function()
      plug(m, 1)
      error "no"
    end)
    assert.are.same({ "failed", "its transaction was undone" }, { rec:last().outcome,
      rec:last().why })
    local deny = false
    m:listen { name = "no", commit = function() return not deny or "not today" end }
    deny = true
    pcall(m.transaction, m, function() plug(m, 2) end)
    assert.equal("failed", rec:last().outcome)
    assert.matches("not today", rec:last().why)
    deny = false
    plug(m, 3)
    assert.is_nil(rec:flight "dimm2".steps[1].parent ~= 0 or nil)
    assert.equal(1, count(rec:last(), "map"))
  end)

  it("includes the handlers that reacted", function()
    start()
    local at = line() + 1
    local function on_ost() end
    m:on("acpi-ost", on_ost)
    m:on("device-added", function() error "no" end)
    m:on("error", function() end)
    plug(m, 1)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    lunik.sleep(0)
    local handlers = {}
    for _, step in ipairs(rec:last().steps) do
      if step.kind == "handler" then handlers[#handlers + 1] = step end
    end
    assert.equal(2, #handlers)
    assert.matches("record_spec.lua:%d+: no$", handlers[1].failed)
    assert.are.same({ "acpi-ost", at }, { handlers[2].fields.event, handlers[2].fields.line })
    assert.matches("record_spec.lua$", handlers[2].name)
    assert.is_not_nil(handlers[2].duration)
    assert.is_true(handlers[2].time > rec:last().stop)
  end)

  it("keeps as much as it may and counts the rest", function()
    start { record = { flights = 2, steps = 40 } }
    for i = 1, 4 do
      plug(m, i)
      m:wait("acpi-ost", { device = "dimm" .. i, timeout = 30 })
    end
    local steps = 0
    assert.is_true(#rec:flights() <= 2)
    for _, flight in ipairs(rec:flights()) do steps = steps + #flight.steps end
    assert.is_true(steps <= 40)
    assert.is_true(rec.dropped.flights >= 2 and rec.dropped.steps > 0)
    assert.equal("dimm4", rec:last().device)
    for _, wrong in ipairs { 0, -1, 1 << 40 } do
      assert.has_error(function() m:record { steps = wrong } end)
      assert.has_error(function() m:record { flights = wrong } end)
    end
    assert.has_error(function() m:record { step = 1 } end)
    assert.has_error(function() m:record { accesses = "some" } end)
  end)

  it("ends, and what it has stays", function()
    start()
    plug(m, 1)
    rec:stop()
    rec:stop()
    assert.is_false(rec.recording)
    plug(m, 2)
    assert.equal(1, #rec:flights())
    do
      local other <close> = m:record()
      plug(m, 3)
      assert.equal("dimm3", other:last().device)
      rec = other
    end
    plug(m, 4)
    assert.equal(1, #rec:flights())
    local last <close> = m:record()
    m:device_del "dimm4"
    m:close()
    assert.equal("dimm4", last:last().device)
    assert.is_false(last.recording)
    assert.has_error(function() m:record() end)
  end)

  it("costs nothing while it is off", function()
    start()
    assert.is_not_nil(event.state(m).recorders)
    rec:stop()
    assert.is_nil(event.state(m).recorders)
    local before = #rec:flights()
    plug(m, 1)
    assert.equal(before, #rec:flights())
    assert.equal(0, rec.dropped.steps)
  end)

  it("skips what a guest only looks at, unless something comes of it", function()
    start()
    local ring = core.record(m, 1024, false)
    m:inb(0xa14)
    local first = ring:take()
    assert.same({ "access", 0 }, { first.kind, first.parent })
    m:inb(0xa14)
    assert.equal(first.serial + 1, ring:take(false).serial)
    m:inb(0xa14)
    m:inb(0xa14)
    assert.is_nil(ring:find(first.serial + 2)) -- has not been skipped
    assert.same({ [2] = true }, { ring:take(true) })
    assert.is_nil(ring:find(first.serial))
    assert.is_nil(ring:find(first.serial + 4))
    local found = ring:find(first.serial + 3)
    assert.same({ "access", first.serial + 3 }, { found.kind, found.serial })
    assert.same({ [2] = false }, { ring:take(true) })
    backend(m, "mem1")
    m:inb(0xa14)
    local entry, skipped = ring:take(true)
    assert.same({ "object_add", false }, { entry.kind, skipped })
  end)

  it("reports to those that follow, in order", function()
    start()
    local seen = {}
    local subscription = rec:follow(function(what, flight, step)
      if what ~= "step" or step.kind ~= "access" then
        seen[#seen + 1] = what .. " " .. (flight and flight.device or step.kind)
      end
    end)
    plug(m, 1)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    lunik.sleep(0)
    local text = table.concat(seen, ", ")
    assert.matches("^loose object_add, start dimm1, step dimm1", text)
    assert.matches("step dimm1, end dimm1", text)
    subscription:off()
    local n = #seen
    m:device_del "dimm1"
    lunik.sleep(0.01)
    assert.equal(n, #seen)
  end)

  it("records the guest's other accesses on request", function()
    start { record = { accesses = "all" } }
    m:outb(0x3f8, 65)
    plug(m, 1)
    m:outb(0x3f8, 65)
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    assert.is_true(rec:last().stop ~= nil)
  end)
end)
