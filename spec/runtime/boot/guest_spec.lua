-- The small guest on KVM: its start, its commands, and memory that comes and goes, seen from both
-- sides. One machine serves most examples; they use memory of their own and leave no DIMM behind.
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local TIMEOUT = small.TIMEOUT
local PAGE, GiB = 4096, 1 << 30

-- FNV-1a, 64 bits.
local function fnv(bytes)
  local h = 0xcbf29ce484222325
  for i = 1, #bytes do
    h = (h ~ bytes:byte(i)) * 0x100000001b3
  end
  return h
end

describe("the small guest", function()
  if small.unavailable() then
    return it("runs", function() pending(small.unavailable()) end)
  end

  local m, boot_text

  setup(function()
    m = small.machine { name = "shared", cpus = 4 }
    boot_text = small.start(m)
  end)

  teardown(function()
    if m then m:close() end
  end)

  local function run(line)
    return small.run(m, line)
  end

  -- The guest's complaint about a command.
  local function complaint(line)
    local ok, err = pcall(run, line)
    assert.is_false(ok)
    return err
  end

  local function plug(id, size) return machines.plug(m, id, { size = size }) end

  local function unplug(id)
    local handle = m:device_del(id)
    handle:wait { timeout = TIMEOUT }
    m:object_del(id .. "-mem")
    return handle
  end

  -- Everything the guest prints up to a text, in lines.
  local function transcript(last)
    local escaped = last:gsub("%p", "%%%0")
    return (m:console():expect("^(.-" .. escaped .. "[^\n]*\n)", { timeout = TIMEOUT })
      :gsub("\r", ""))
  end

  it("follows the ACPI tables to the hardware", function()
    assert.equal(table.concat({
      "guest: started by pvh, 127 MiB of RAM",
      "acpi: XSDT checksum ok",
      "acpi: FACP checksum ok",
      "acpi: APIC checksum ok",
      "acpi: SRAT checksum ok",
      "acpi: DSDT checksum ok",
      "acpi: 5 tables, 0 bad, 4 cpus, sci 9",
      "acpi: enabled",
      "hotplug: ready, 0 slots in use",
      "",
    }, "\n"), boot_text)
  end)

  it("answers commands", function()
    local text, answer = run "help"
    assert.matches("\ntouch ADDRESS PAGES [SEED]\n", text, 1, true)
    assert.equal("help", answer)
    assert.matches("error 'frobnicate' is unknown, try help", complaint "frobnicate", 1, true)
    assert.matches("error touch: want ADDRESS PAGES", complaint "touch 1", 1, true)
    assert.matches("error touch: '12x' is not a number", complaint "touch 1 12x", 1, true)
    m:store(0x2200000, 8, 0xbeef)
    assert.same({ "", "read 0xbeef" }, { run " ;; read  0x2200000 ; " })
  end)

  it("writes memory that the host sees", function()
    assert.equal("touch 0x2000000 16 pages", select(2, run "touch 0x2000000 16 0x1234"))
    for page = 0, 15 do
      local address = 0x2000000 + page * PAGE
      assert.equal(address ~ 0x1234, m:load(address, 8))
    end
    assert.equal("verify 0x2000000 16 pages", select(2, run "verify 0x2000000 16 0x1234"))
    m:store(0x2003000, 8, 0x77)
    assert.matches("error verify: 0x77 at 0x2003000 (want 0x2002234)",
      complaint "verify 0x2000000 16 0x1234", 1, true)
    run "fill 0x2000000 3000 0xa5"
    assert.equal(("\xa5"):rep(3000), m:read(0x2000000, 3000))
    run "write 0x2000100 0x1122334455667788 8"
    assert.equal(0x1122334455667788, m:load(0x2000100, 8))
    assert.equal("read 0x5566", select(2, run "read 0x2000102 2"))
  end)

  it("reads memory that the host wrote", function()
    local text = ("Lunik"):rep(321)
    m:write(0x2100000, text)
    assert.equal(("hash 0x%x"):format(fnv(text)), select(2, run("hash 0x2100000 " .. #text)))
  end)

  it("survives exceptions", function()
    assert.equal("ud exception 6", select(2, run "ud"))
    assert.matches("error read: exception 14 at 0x200000000", complaint "read 0x200000000", 1, true)
    assert.matches("error touch: exception 14 at 0x200000000", complaint "touch 0x200000000 1", 1,
      true)
  end)

  it("reaches ports and device memory", function()
    m:outb(0x70, 0x0f)
    m:outb(0x71, 0x5a)
    run "out 0x70 0x0f"
    assert.equal("in 0x5a", select(2, run "in 0x71"))
    local writes = 0
    local region <const> = m:region {
      kind = "io", name = "spec", size = 0x1000,
      read = function() return 7 end,
      write = function() writes = writes + 1 end,
    }
    m.memory.root:add(region, 0xd0000000)
    assert.equal("read 0x7", select(2, run "read 0xd0000010 4"))
    assert.matches("^mmiowrite 100 in %d+ us", (select(2, run "mmiowrite 0xd0000000 1 100")))
    m.memory.root:del(region)
    assert.equal(100, writes)
    assert.matches("^inloop 100 in %d+ us", (select(2, run "inloop 0x80 100")))
  end)

  it("sleeps by the timer interrupt", function()
    local before = m:clock()
    run "sleep 120"
    assert.is_true(m:clock() - before >= 120e6)
  end)

  it("brings four processors up, which write memory on their own", function()
    local text, answer = run "cpus"
    assert.equal("cpus: cpu 1 apic 1 online\ncpus: cpu 2 apic 2 online\ncpus: cpu 3 apic 3 online",
      text)
    assert.equal("cpus 4", answer)
    run "ap-touch 0x3000000 300"
    run "sleep 60"
    text = run "ap-stop"
    local rounds = {}
    for cpu, n in text:gmatch("cpus: cpu (%d) wrote (%d+) rounds") do
      rounds[tonumber(cpu)] = tonumber(n)
    end
    for cpu = 1, 3 do
      assert.is_true(rounds[cpu] > 0)
      local address = 0x3000000 + (cpu - 1) * 100 * PAGE
      assert.equal(address ~ rounds[cpu] - 1, m:load(address, 8))
    end
  end)

  describe("takes memory while it runs", function()
    it("and gives it back, as the transcript says", function()
      plug("dimm1", "128M")
      assert.equal("hotplug: slot 0 added 0x100000000 size 0x8000000 node 0\n"
        .. "hotplug: slot 0 tested 32768 pages ok\nhotplug: slot 0 accepted\n",
        transcript "hotplug: slot 0 accepted")
      assert.equal(0x100001000 ~ 0x5a5a000000000000, m:load(0x100001000, 8))
      assert.equal("slot 0 flags 0x1 base 0x100000000 size 0x8000000 node 0 mapped", (run "slots"))
      local handle = unplug("dimm1")
      assert.equal("ejected", handle.state)
      assert.equal("hotplug: slot 0 eject requested\nhotplug: slot 0 contents ok\n"
        .. "hotplug: slot 0 ejected\n", transcript "hotplug: slot 0 ejected")
      assert.matches("exception 14", complaint "read 0x100000000", 1, true)
    end)

    it("with the events that a script waits for", function()
      local events = {}
      local subscriptions = {}
      for _, name in ipairs { "device-added", "acpi-ost", "device-deleted" } do
        subscriptions[#subscriptions + 1] = m:on(name, function(ev)
          local answer = ev.source and (" %d %d"):format(ev.source, ev.status) or ""
          events[#events + 1] = name .. answer
        end)
      end
      plug("dimm1", "128M")
      local ost = m:wait("acpi-ost", { device = "dimm1", source = 1, timeout = TIMEOUT })
      assert.same({ 0, 0, "DIMM" }, { ost.status, ost.slot, ost.slot_type })
      unplug("dimm1")
      transcript "hotplug: slot 0 ejected"
      for _, subscription in ipairs(subscriptions) do subscription:off() end
      assert.same({ "device-added", "acpi-ost 1 0", "acpi-ost 3 132", "device-deleted" }, events)
    end)

    it("into every slot, and out in another order", function()
      for i = 0, 3 do
        plug("d" .. i, "128M")
        transcript(("hotplug: slot %d accepted"):format(i))
      end
      for _, i in ipairs { 2, 0, 3, 1 } do
        unplug("d" .. i)
        assert.matches("contents ok", transcript(("hotplug: slot %d ejected"):format(i)))
      end
      assert.equal("", (run "slots"))
    end)

    it("many times in a row, under load from other processors", function()
      run "ap-touch 0x3000000 300"
      for i = 1, 20 do
        plug("dimm1", "8M")
        local ost = m:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
        assert.same({ i, 0 }, { i, ost.status })
        unplug("dimm1")
      end
      run "ap-stop"
      assert.not_matches("failed", m:console():text())
    end)

    it("and finds it again after a reset", function()
      plug("dimm1", "128M")
      transcript "hotplug: slot 0 accepted"
      m:reset()
      assert.matches("hotplug: slot 0 present 0x100000000 size 0x8000000 node 0\n"
        .. "hotplug: slot 0 tested 32768 pages ok\nhotplug: ready, 1 slots in use\n",
        small.ready(m), 1, true)
      unplug("dimm1")
      transcript "hotplug: slot 0 ejected"
    end)
  end)

  for how, name in ipairs { "the keyboard controller", "port 0x92" } do
    it("resets by " .. name, function()
      m:console():write(("reset %d\n"):format(how))
      m:wait("reset", { timeout = TIMEOUT })
      m:console():expect("ok reset\r\n")
      assert.equal(boot_text, small.ready(m))
    end)
  end

  it("resets by port 0xcf9", function()
    m:console():write("reset\n")
    m:wait("reset", { timeout = TIMEOUT })
    m:console():expect("ok reset\r\n")
    assert.equal(boot_text, small.ready(m))
  end)

  it("powers off when the button is pressed", function()
    local ended
    m:once("shutdown", function(ev) ended = ev end)
    m:powerdown()
    m:console():expect("acpi: power button", { timeout = TIMEOUT })
    if not ended then m:wait("shutdown", { timeout = TIMEOUT }) end
    assert.same({ "guest-shutdown", 0 }, { ended.reason, ended.code })
    assert.equal("shutdown", m.state)
  end)
end)

describe("the small guest's options", function()
  if small.unavailable() then
    return it("work", function() pending(small.unavailable()) end)
  end

  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function booted(options)
    m = small.machine(options)
    local text = small.start(m)
    m:object_add("memory-backend-ram", { id = "mem", size = "128M" })
    return text
  end

  it("refuse-eject keeps the memory", function()
    booted { cmdline = "refuse-eject" }
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    m:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
    local handle = m:device_del("dimm")
    local ok, err = pcall(handle.wait, handle, { timeout = TIMEOUT })
    assert.is_false(ok)
    assert.matches("source 0x3, status 0x82", tostring(err), 1, true)
    assert.equal("refused", handle.state)
    m:console():expect("hotplug: slot 0 kept\r\n", { timeout = TIMEOUT })
    assert.equal("slot 0 flags 0x1 base 0x100000000 size 0x8000000 node 0 mapped",
      (small.run(m, "slots")))
  end)

  it("refuse-insert answers with a failure", function()
    booted { cmdline = "refuse-insert" }
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    local ost = m:wait("acpi-ost", { source = 1, timeout = TIMEOUT })
    assert.equal(1, ost.status)
    m:console():expect("hotplug: slot 0 refused", { timeout = TIMEOUT })
  end)

  it("full-test verifies every word", function()
    booted { cmdline = "full-test" }
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    m:console():expect("hotplug: slot 0 tested 16777216 words ok", { timeout = TIMEOUT })
  end)

  it("no-hotplug leaves the slots alone", function()
    assert.not_matches("hotplug", booted { cmdline = "no-hotplug" })
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    assert.equal("sleep 20", select(2, small.run(m, "sleep 20")))
    assert.not_matches("hotplug", m:console():text())
  end)

  it("looks at 256 slots, the last one too", function()
    booted { slots = 256, maxmem = "300G" }
    m:device_add("pc-dimm", { id = "dimm", memdev = "mem", slot = 255 })
    m:console():expect("hotplug: slot 255 accepted", { timeout = TIMEOUT })
  end)

  it("takes memory that was plugged before the start", function()
    m = small.machine {
      objects = { { "memory-backend-ram", { id = "mem", size = "256M" } } },
      devices = { { "pc-dimm", { id = "dimm", memdev = "mem" } } },
    }
    assert.matches("hotplug: slot 0 present 0x100000000 size 0x10000000 node 0\n"
      .. "hotplug: slot 0 tested 65536 pages ok\nhotplug: ready, 1 slots in use\n",
      small.start(m), 1, true)
  end)

  it("runs commands from the command line and ends with a code", function()
    m = small.machine { cmdline = 'nonsense cmd="in 0x60; exit 3"' }
    local text, ended = small.finish(m)
    assert.matches("options: 'nonsense' is unknown\n", text, 1, true)
    assert.matches("\nok in 0x%x+\nok exit 3\n$", text)
    assert.same({ "exit-device", 7 }, { ended.reason, ended.code })
  end)

  it("poweroff ends the run by S5", function()
    m = small.machine { cmdline = "cmd=poweroff" }
    local _, ended = small.finish(m)
    assert.equal("guest-shutdown", ended.reason)
  end)

  it("triple ends in a crash with a dump", function()
    m = small.machine { cmdline = "cmd=triple" }
    local _, ended = small.finish(m)
    assert.equal("shutdown", ended.reason)
    assert.equal("crashed", m.state)
    assert.matches("idt 0000000000000000 limit 0000\n", ended.dump, 1, true)
    assert.matches("\ncode 0f 0b ", ended.dump, 1, true)
  end)

  it("survives an instruction that the host can't emulate, with a script's help", function()
    local helped = 0
    m = small.machine { cmdline = 'cmd="int3; exit 2"' }
    m:on("vcpu-exit", function(ev)
      if ev.reason ~= "emulation-failure" or ev.insn:byte() ~= 0xcc then return end
      helped = helped + 1
      ev.vcpu:set_reg("rip", ev.rip + 1)
      ev.vcpu:inject_exception(3)
      return "resume"
    end)
    local text, ended = small.finish(m)
    assert.matches("\nok int3 exception 3\n", text, 1, true)
    assert.same({ "exit-device", 5 }, { ended.reason, ended.code })
    assert.is_true(helped <= 1)
  end)

  it("crash makes the guest panic", function()
    m = small.machine { cmdline = "cmd=crash" }
    m:start()
    m:console():expect("panic: exception 14 error 0x2 at 0x%x+ address 0x400000000000\r\n",
      { timeout = TIMEOUT })
  end)

  it("gets as much RAM as the machine has, above 4 GiB too", function()
    m = small.machine { memory = "5G", maxmem = "8G" }
    small.start(m)
    assert.equal(("map 5 ranges, 0x%x bytes of RAM"):format(5 * GiB - 0x60400),
      select(2, small.run(m, "map")))
    local last = 6 * GiB - PAGE
    small.run(m, ("touch 0x%x 1"):format(last))
    assert.equal(last, m:load(last, 8))
  end)
end)
