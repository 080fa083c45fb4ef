-- CPU hotplug, one scenario at a time, with the scripted guest on a machine without vCPUs.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local guest_in_lua = require "lunik.guest"

local TIMEOUT = 20 -- seconds for what takes milliseconds on a quiet machine
local CYCLES = tonumber(os.getenv "CYCLES") or os.getenv "LUNIK_QUICK" and 50 or 500

local EVENTS = {
  "acpi-ost", "device-added", "device-deleted", "device-unplug-request",
  "device-unplug-guest-error",
}

describe("CPU hotplug", function()
  local m, guest, events, refuse

  -- Options: those of the machine; deaf: no guest yet; created: not started.
  local function new(options, how)
    how = how or {}
    local all = { accel = "none", memory = "64M", cpus = 1, maxcpus = 4, serial = "buffer" }
    for name, value in pairs(options or {}) do all[name] = value end
    m, refuse = lunik.machine(all), {}
    lunik.run "nowait" -- what the board has added
    events = m:watch(EVENTS)
    if not how.created then m:start() end
    if not how.deaf then
      guest = guest_in_lua.attach(m, {
        refuse_insert = function(_, kind) return kind == "CPU" and refuse.insert end,
        refuse_eject = function(_, kind) return kind == "CPU" and refuse.eject end,
      })
    end
  end

  after_each(function()
    if m then m:close() end
    m, guest = nil, nil
  end)

  -- The next events, in this order and no other between them: "name device[ source status]".
  local function expect(...)
    for i, want in ipairs { ... } do
      local ev = events:wait { timeout = TIMEOUT }
      local got = ("%s %s"):format(ev.name, ev.device)
      if ev.source then got = ("%s %d %d"):format(got, ev.source, ev.status) end
      assert.equal(want, got, ("event %d"):format(i))
    end
  end

  local function plugged(id) expect("device-added " .. id, ("acpi-ost %s 1 0"):format(id)) end

  local function unplugged(id)
    expect("device-unplug-request " .. id, ("acpi-ost %s 3 132"):format(id),
      "device-deleted " .. id)
  end

  -- The CPUs that the machine lists as plugged, as text.
  local function present()
    local list = {}
    for _, cpu in ipairs(m:hotpluggable_cpus()) do
      if cpu.present then list[#list + 1] = cpu.index end
    end
    return table.concat(list, " ")
  end

  local function online()
    local list = {}
    for cpu in pairs(guest.cpus.online) do list[#list + 1] = cpu end
    table.sort(list)
    return table.concat(list, " ")
  end

  -- The machine and its guest have these.
  local function check(want)
    assert.equal(want, present())
    assert.equal(want, online())
  end

  local function ready()
    while guest:is_busy() or not guest.booted do lunik.sleep(0.001) end
  end

  local function refused(code, words, ...)
    local err = machines.raised(m.device_add, m, ...)
    assert.equal(code, err.code, tostring(err))
    assert.truthy(err.message:find(words, 1, true), err.message)
  end

  it("takes a CPU and gives it back", function()
    new()
    local cpu = m:device_add("cpu", { id = "c", socket_id = 0, core_id = 2, thread_id = 0 })
    assert.is_true(cpu.hotplugged)
    assert.is_true(cpu.hotpluggable)
    plugged "c"
    check "0 2"
    assert.equal("c", m:hotpluggable_cpus()[3].id)
    assert.equal("/machine/c", m:hotpluggable_cpus()[3].path)
    local removal = m:device_del "c"
    assert.equal("requested", removal.state)
    removal:wait { timeout = TIMEOUT }
    unplugged "c"
    assert.is_false(cpu.alive)
    check "0"
  end)

  it("reports _OST with the slot type CPU", function()
    new()
    m:device_add("cpu", { id = "c" })
    events:wait { timeout = TIMEOUT }
    local ost = events:wait { timeout = TIMEOUT }
    assert.equal("CPU", ost.slot_type)
    assert.equal(1, ost.slot)
  end)

  it("lists every CPU that there can be, with its place", function()
    new { cpus = 3, maxcpus = 16, sockets = 2, dies = 2, cores = 2, threads = 2 }
    local list = m:hotpluggable_cpus()
    assert.equal(16, #list)
    assert.same({ socket_id = 1, die_id = 0, core_id = 1, thread_id = 1 }, list[12].props)
    assert.equal("cpu", list[12].type)
    assert.equal("0 1 2", present())
    local cpu = m:device_add("qemu64-x86_64-cpu",
      { id = "c", ["socket-id"] = 1, ["die-id"] = 0, ["core-id"] = 1, ["thread-id"] = 1 })
    assert.equal(11, cpu.index)
    assert.equal("qemu64-x86_64-cpu", m:hotpluggable_cpus()[12].type)
  end)

  it("chooses the first CPU that is not plugged, where no place is given", function()
    new { cpus = 2 }
    assert.equal(2, m:device_add("cpu", { id = "a" }).index)
    assert.equal(3, m:device_add("host-x86_64-cpu", { id = "b" }).index)
    refused("no-space", "cpu: all 4 CPUs of the machine are plugged", "cpu", { id = "c" })
  end)

  it("refuses places that there are not, with the machine as it was", function()
    new {
      cpus = 1, maxcpus = 8, sockets = 2, cores = 2, threads = 2,
      numa = {
        { cpus = { 0, 1, 2, 3 }, memory = "32M" }, { cpus = { 4, 5, 6, 7 }, memory = "32M" },
      },
    }
    local function place(socket, core, thread, node)
      return { id = "c", socket_id = socket, core_id = core, thread_id = thread, node_id = node }
    end
    refused("invalid", "Invalid CPU socket-id: 2 must be in range 0:1", "cpu", place(2, 0, 0))
    refused("invalid", "Invalid CPU core-id: 5 must be in range 0:1", "cpu", place(0, 5, 0))
    refused("invalid", "Invalid CPU thread-id: 2 must be in range 0:1", "cpu", place(0, 0, 2))
    refused("invalid", "CPU core-id is not set (want 0 to 1)", "cpu", place(1, nil, 0))
    refused("exists", "CPU[0] with APIC ID 0 exists", "cpu", place(0, 0, 0))
    refused("invalid", "node-id=0 must match the numa node of CPU 4", "cpu", place(1, 0, 0, 0))
    refused("invalid", "-2", "cpu", place(-2, 0, 0))
    assert.equal("0", present())
    assert.equal(1, m:device_add("cpu", place(1, 0, 0)).node_id)
    refused("exists", "'c'", "cpu", { id = "d", socket_id = 1, core_id = 0, thread_id = 0 })
    refused("exists", "'c' is taken", "cpu", place(1, 1, 0))
  end)

  it("keeps the first CPU, and wants to be allowed at all", function()
    new { cpus = 2 }
    local err = machines.raised(m.device_del, m, m:hotpluggable_cpus()[1].path)
    assert.equal("unsupported", err.code)
    assert.truthy(err.message:find("is the boot CPU", 1, true), err.message)
    m:device_del(m:hotpluggable_cpus()[2].path):wait { timeout = TIMEOUT }
    check "0"
    m:close()
    new { maxcpus = 1 }
    refused("unsupported", "want maxcpus greater than cpus", "cpu", { id = "c" })
    assert.equal("0", present())
  end)

  it("hears of a CPU that the guest refuses, which can go and come again", function()
    new()
    refuse.insert = true
    m:device_add("cpu", { id = "c" })
    expect("device-added c", "acpi-ost c 1 1")
    assert.equal("0", online())
    refuse.insert = false
    m:device_del("c"):wait { timeout = TIMEOUT }
    unplugged "c"
    m:device_add("cpu", { id = "c" })
    plugged "c"
    check "0 1"
  end)

  it("keeps a CPU that the guest does not give up, until it does", function()
    new()
    m:device_add("cpu", { id = "c" })
    plugged "c"
    refuse.eject = true
    local removal = m:device_del "c"
    expect("device-unplug-request c", "acpi-ost c 3 128", "device-unplug-guest-error c 3 128")
    assert.equal("refused", removal.state)
    check "0 1"
    refuse.eject = false
    m:device_del("c"):wait { timeout = TIMEOUT }
    unplugged "c"
    check "0"
  end)

  it("waits for a guest that comes late", function()
    new({}, { deaf = true })
    m:device_add("cpu", { id = "a" })
    m:device_add("cpu", { id = "b" })
    m:device_del "a"
    guest = guest_in_lua.attach(m, {})
    expect("device-added a", "device-added b", "device-unplug-request a")
    m:wait("device-deleted", { timeout = TIMEOUT })
    ready()
    check "0 2"
  end)

  it("is in the guest when the machine starts, where it was plugged before", function()
    new({ devices = { { "cpu", { id = "cold", core_id = 3 } } } }, { created = true })
    m:device_add("cpu", { id = "c", core_id = 1 })
    m:device_del "cold"
    m:device_add("cpu", { id = "d", core_id = 2 })
    assert.is_false(m:object("d").hotplugged)
    m:start()
    ready()
    check "0 1 2"
  end)

  it("is done by a reset while the guest owes an answer", function()
    new({ cpus = 2 }, { deaf = true })
    m:device_add("cpu", { id = "a" })
    m:device_add("cpu", { id = "b" })
    local removal = m:device_del "b"
    m:reset()
    assert.equal("ejected", removal.state)
    assert.equal("0 1 2", present())
    -- What firmware and a kernel find then.
    m:outb(0x70, 0x5f)
    assert.equal(2, m:inb(0x71))
    local flags = {}
    for cpu = 0, 3 do flags[cpu + 1] = m:acpi_table("APIC"):byte(49 + 8 * cpu) end
    assert.same({ 1, 1, 1, 2 }, flags)
    assert.truthy(m:read(0xe0000, 0x20000):find(m:acpi_table "APIC", 1, true))
  end)

  it("survives a reboot of the guest", function()
    new()
    m:device_add("cpu", { id = "a" })
    m:device_add("cpu", { id = "b" })
    expect("device-added a", "device-added b", "acpi-ost a 1 0", "acpi-ost b 1 0")
    guest:reboot()
    m:wait("reset", { timeout = TIMEOUT })
    ready()
    check "0 1 2"
  end)

  it("notifies the guest once of all CPUs of a transaction, or of none", function()
    new()
    ready()
    pcall(m.transaction, m, function()
      m:device_add("cpu", { id = "x" })
      error "no"
    end)
    assert.equal("0", present())
    m:transaction(function()
      m:device_add("cpu", { id = "a" })
      m:device_add("cpu", { id = "b" })
    end)
    expect("device-added a", "device-added b", "acpi-ost a 1 0", "acpi-ost b 1 0")
    check "0 1 2"
  end)

  it("takes all CPUs that there can be, and gives them back", function()
    new { maxcpus = 255 }
    for i = 1, 254 do m:device_add("cpu", { id = "c" .. i }) end
    lunik.sleep(0)
    ready()
    assert.equal(255, select(2, online():gsub("%d+", "")))
    local removals = {}
    for i = 1, 254 do removals[i] = m:device_del("c" .. i) end
    for i = 1, 254 do removals[i]:wait { timeout = TIMEOUT } end
    check "0"
  end)

  it(("goes on for %d times 4 CPUs"):format(CYCLES), function()
    new { maxcpus = 5 }
    for _ = 1, CYCLES do
      for i = 1, 4 do m:device_add("cpu", { id = "c" .. i }) end
      for i = 1, 4 do m:device_del("c" .. i):wait { timeout = TIMEOUT } end
    end
    ready()
    check "0"
  end)

  it("has no vCPU without KVM, and says so", function()
    new()
    m:device_add("cpu", { id = "c" })
    assert.same({}, m:cpus())
  end)
end)
