-- Iothreads from Lua: their threads come and go with the objects.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local raised = machines.raised

-- The name of a thread of this process, or nil.
local function thread_name(tid)
  local file = io.open(("/proc/self/task/%d/comm"):format(tid))
  if not file then return nil end
  local name = file:read "l"
  file:close()
  return name
end

local function wait_for_end(tid)
  machines.wait_until(function() return not thread_name(tid) end, "the thread has not ended")
end

lunik.device {
  name = "on-iothread",
  doc = "A device that uses an iothread.",
  properties = { { name = "thread", link = "iothread", required = true } },
  hotplug = true,
}

describe("an iothread", function()
  after_each(machines.close_all)

  it("is a thread of the process", function()
    local m = machines.none()
    local first = m:object_add("iothread", { id = "io0" })
    local second = m:object_add("iothread", { id = "io1" })
    assert.equal("lunik-io", thread_name(first.thread_id))
    assert.equal("lunik-io", thread_name(second.thread_id))
    assert.not_equal(first.thread_id, second.thread_id)
  end)

  it("ends with its object, also in a running machine", function()
    local m = machines.none()
    m:start()
    local tid = m:object_add("iothread", { id = "io0" }).thread_id
    m:object_del "io0"
    wait_for_end(tid)
    assert.is_nil(m:object "io0")
  end)

  it("ends with its machine", function()
    local m = machines.none()
    local tid = m:object_add("iothread", { id = "io0" }).thread_id
    m:close()
    wait_for_end(tid)
  end)

  it("stays while a device uses it", function()
    local m = machines.none()
    local io = m:object_add("iothread", { id = "io0" })
    m:device_add("on-iothread", { id = "card", thread = "io0" })
    local err = raised(function() m:object_del "io0" end)
    assert.equal("busy", err.code)
    assert.matches("'io0'", err.message)
    assert.equal("lunik-io", thread_name(io.thread_id))
    m:device_del "card"
    m:object_del "io0"
  end)

  it("goes if the transaction that made it is taken back", function()
    local m, tid = machines.none(), nil
    assert.is_false(pcall(m.transaction, m, function()
      tid = m:object_add("iothread", { id = "io0" }).thread_id
      error "no"
    end))
    assert.is_nil(m:object "io0")
    wait_for_end(tid)
  end)

  it("has no other properties, and its number can't be set", function()
    local m = machines.none()
    local err = raised(function() m:object_add("iothread", { id = "io0", poll_max_ns = 1 }) end)
    assert.equal("not-found", err.code)
    assert.matches("poll", err.message)
    err = raised(function() m:object_add("iothread", { id = "io0", thread_id = 1 }) end)
    assert.matches("thread.id", err.message)
    assert.is_nil(m:object "io0")
  end)

  it("is what a device with such a link wants", function()
    local m = machines.none()
    m:object_add("memory-backend-ram", { id = "ram1", size = "1M" })
    local err = raised(function() m:device_add("on-iothread", { id = "card", thread = "ram1" }) end)
    assert.matches("thread: 'ram1'", err.message)
  end)
end)
