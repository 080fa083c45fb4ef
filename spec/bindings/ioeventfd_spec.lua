-- ioeventfds and coalesced writes as scripts use them: with and without KVM.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local BASE = 0x90000000

after_each(machines.close_all)

describe("an ioeventfd", function()
  local m, region, writes

  before_each(function()
    m = machines.none()
    writes = {}
    region = m:region {
      kind = "io", name = "doorbells", size = 0x100,
      write = function(offset, _, value) writes[#writes + 1] = ("%x=%x"):format(offset, value) end,
    }
    m.memory.root:add(region, BASE)
  end)

  it("calls its function from the loop, with the number of writes", function()
    local counts = {}
    local event = region:ioeventfd {
      offset = 4, size = 4, on = function(count) counts[#counts + 1] = count end,
    }
    m:store(BASE + 4, 4, 1)
    m:store(BASE + 4, 4, 2)
    assert.are.same({}, counts)
    lunik.run "nowait"
    assert.are.same({ 2 }, counts)
    m:store(BASE + 4, 2, 3)
    m:store(BASE + 8, 4, 4)
    lunik.run "nowait"
    assert.are.same({ 2 }, counts)
    assert.are.same({ "4=3", "8=4" }, writes)
    event:close()
    event:close()
    m:store(BASE + 4, 4, 5)
    lunik.run "nowait"
    assert.are.same({ 2 }, counts)
    assert.are.equal("4=5", writes[3])
    assert.are.equal("gone", machines.raised(function() return event.fd end).code)
  end)

  it("can't be closed by a listener's hook", function()
    local count, err = 0, nil
    local event = region:ioeventfd { offset = 0, on = function(n) count = count + n end }
    local listener = m:listen { begin = function() err = machines.raised(event.close, event) end }
    listener:remove()
    assert.are.equal("state", err.code)
    m:store(BASE, 4, 1)
    lunik.run "nowait"
    assert.are.equal(1, count)
    event:close()
  end)

  it("can be polled by luv", function()
    local found, uv = pcall(require, "luv")
    if not found then return pending("luv is not installed") end
    local event = region:ioeventfd { offset = 0, size = 4 }
    local poll, count = uv.new_poll(event.fd), 0
    poll:start("r", function(err)
      assert(not err, err)
      count = count + string.unpack("=I8", uv.fs_read(event.fd, 8, -1))
    end)
    m:store(BASE, 4, 1)
    m:store(BASE, 4, 2)
    uv.run "nowait"
    poll:close()
    uv.run "nowait"
    assert.are.equal(2, count)
    assert.are.same({}, writes)
  end)

  it("looks at sizes and values", function()
    local count = { any = 0, five = 0, six = 0 }
    local function counter(name) return function(n) count[name] = count[name] + n end end
    region:ioeventfd { offset = 0, on = counter "any" }
    region:ioeventfd { offset = 8, size = 2, match = 5, on = counter "five" }
    region:ioeventfd { offset = 8, size = 2, match = 6, on = counter "six" }
    for size = 0, 2 do
      m:store(BASE, 1 << size, 0)
    end
    for value = 4, 7 do
      m:store(BASE + 8, 2, value)
    end
    lunik.run "nowait"
    assert.are.same({ any = 3, five = 1, six = 1 }, count)
    assert.are.same({ "8=4", "8=7" }, writes)
  end)

  it("follows its region, and an aborted transaction leaves it alone", function()
    local count = 0
    local event = region:ioeventfd { offset = 4, size = 4, on = function(n) count = count + n end }
    local window = m:region { kind = "alias", size = 0x10, target = region }
    m.memory.root:add(window, BASE + 0x10000)
    region.offset = BASE + 0x1000
    m:store(BASE + 0x1004, 4, 1)
    m:store(BASE + 0x10004, 4, 1)
    assert.are.equal("access", machines.raised(m.store, m, BASE + 4, 4, 1).code)
    assert.has_error(function()
      m:transaction(function()
        event:close()
        region:ioeventfd { offset = 8, size = 4 }
        error "no"
      end)
    end)
    lunik.run "nowait"
    assert.are.equal(2, count)
    assert.are.same({}, writes)
    m:transaction(function()
      event:close()
      event:close()
      m:store(BASE + 0x1004, 4, 1)
    end)
    assert.are.equal("gone", machines.raised(function() return event.fd end).code)
    m:store(BASE + 0x1004, 4, 7)
    lunik.run "nowait"
    assert.are.equal(2, count)
    assert.are.same({ "4=7" }, writes)
  end)

  it("that an aborted transaction has taken back leaves the next one alone", function()
    local first
    assert.has_error(function()
      m:transaction(function()
        first = region:ioeventfd { offset = 8, size = 4 }
        error "no"
      end)
    end)
    local count = 0
    region:ioeventfd { offset = 8, size = 4, on = function(n) count = count + n end }
    first:close()
    m:store(BASE + 8, 4, 1)
    lunik.run "nowait"
    assert.are.equal(1, count)
  end)

  it("stays when its handle is collected", function()
    local count = 0
    region:ioeventfd { offset = 0, on = function(n) count = count + n end }
    machines.collect()
    m:store(BASE, 4, 1)
    lunik.run "nowait"
    assert.are.equal(1, count)
  end)

  it("may be closed by its function, and its machine too", function()
    local event, calls
    calls = 0
    event = region:ioeventfd { offset = 0, on = function() calls = calls + 1; event:close() end }
    m:store(BASE, 4, 1)
    lunik.run "nowait"
    m:store(BASE, 4, 2)
    lunik.run "nowait"
    assert.are.equal(1, calls)
    assert.are.same({ "0=2" }, writes)
    event = region:ioeventfd { offset = 4 }
    assert.is_true(event.fd > 2)
    assert.is_truthy(tostring(event):find "^ioeventfd %(fd %d+%)$")
    m:close()
    assert.are.equal("ioeventfd (closed)", tostring(event))
    assert.are.equal("gone", machines.raised(function() return event.fd end).code)
    event:close()
  end)

  it("reports an error in its function like any other handler's", function()
    local errors = m:watch "error"
    region:ioeventfd { offset = 0, on = function() error "broken" end }
    m:store(BASE, 4, 1)
    lunik.run "nowait"
    lunik.run "nowait"
    assert.is_truthy(errors:wait { timeout = 5 }.message:find("broken", 1, true))
  end)

  it("is refused where it makes no sense", function()
    region:ioeventfd { offset = 0, size = 4 }
    for text, options in pairs {
      ["takes some of its writes"] = { offset = 0 },
      ["beyond the region's end"] = { offset = 0xfe, size = 4 },
      ["'3' is not an access size"] = { offset = 0, size = 3 },
      ["needs a size"] = { offset = 8, match = 1 },
      ["did you mean 'match'"] = { offset = 0, macth = 1 },
      ["on"] = { offset = 0, on = 1 },
      ["match"] = { offset = 8, size = 1, match = 256 },
      ["offset"] = {},
    } do
      local err = machines.raised(region.ioeventfd, region, options)
      assert.is_truthy(err.message:find(text, 1, true), err.message)
    end
    local container = m:region { kind = "container", size = 16 }
    local err = machines.raised(container.ioeventfd, container, { offset = 0 })
    assert.is_truthy(err.message:find("it has no write callback", 1, true), err.message)
    assert.are.equal("invalid", machines.raised(region.coalesce, region, 0x100, 4).code)
  end)

  it("leaves coalesced writes as they are without KVM", function()
    region:coalesce()
    region:coalesce(0, 4)
    m:store(BASE, 4, 1)
    assert.are.same({ "0=1" }, writes)
    region:uncoalesce()
    region:uncoalesce()
    m:store(BASE, 4, 2)
    assert.are.same({ "0=1", "0=2" }, writes)
  end)
end)

if small.unavailable() then
  return describe("KVM", function()
    it("signals and coalesces", function() pending(small.unavailable()) end)
  end)
end

describe("with KVM", function()
  local m, region, writes, count

  before_each(function()
    m = small.machine { memory = "32M" }
    writes, count = 0, 0
  end)

  local function device(space, base, size)
    region = m:region {
      kind = "io", name = "dev", size = size, valid = { max = 8 },
      read = function() return writes end, write = function() writes = writes + 1 end,
    }
    space.root:add(region, base, { overlap = true, priority = 10 })
  end

  local function on(n) count = count + n end

  -- The exits of a kind that running a command in the guest takes.
  local function exits(kind, line)
    local before = m:cpu(0).stats[kind]
    small.run(m, line)
    return m:cpu(0).stats[kind] - before
  end

  it("memory writes signal without an exit, wherever the region goes", function()
    device(m.memory, BASE, 0x1000)
    region:ioeventfd { offset = 0x10, size = 4, on = on }
    small.start(m)
    assert.are.equal(0, exits("mmio", ("mmiowrite 0x%x 7 1000"):format(BASE + 0x10)))
    lunik.run "nowait"
    assert.are.same({ 1000, 0 }, { count, writes })
    region.offset = BASE + 0x2000
    assert.are.equal(0, exits("mmio", ("mmiowrite 0x%x 7 500"):format(BASE + 0x2010)))
    assert.are.equal(10, exits("mmio", ("mmiowrite 0x%x 7 10"):format(BASE + 0x10)))
    lunik.run "nowait"
    assert.are.same({ 1500, 0 }, { count, writes })
    assert.are.equal(10, exits("mmio", ("mmiowrite 0x%x 7 10"):format(BASE + 0x2014)))
    assert.are.equal(10, writes)
    region.enabled = false
    assert.are.equal(10, exits("mmio", ("mmiowrite 0x%x 7 10"):format(BASE + 0x2010)))
    lunik.run "nowait"
    assert.are.same({ 1500, 10 }, { count, writes })
  end)

  it("port writes signal, all of them or those of a value", function()
    device(m.io, 0x500, 8)
    region:ioeventfd { offset = 0, on = on }
    region:ioeventfd { offset = 4, size = 1, match = 3, on = on }
    small.start(m)
    assert.is_true(exits("io", "outloop 0x500 1 10000") < 5000)
    lunik.run "nowait"
    assert.are.same({ 10000, 0 }, { count, writes })
    assert.is_true(exits("io", "outloop 0x504 3 10000") < 5000)
    assert.is_true(exits("io", "outloop 0x504 4 100") >= 100)
    lunik.run "nowait"
    assert.are.same({ 20000, 100 }, { count, writes })
  end)

  -- Results of the guest's writes: signals, calls of the device, exits.
  local function outcome(kind, line)
    count, writes = 0, 0
    local taken = exits(kind, line)
    lunik.run "nowait"
    return { count, writes, taken }
  end

  local function at(address, times)
    return outcome("mmio", ("mmiowrite 0x%x 7 %d"):format(address, times or 3))
  end

  local SIGNALS, DEVICE, NOTHING = { 3, 0, 0 }, { 0, 3, 3 }, { 0, 0, 3 }

  it("memory writes signal by their size and value", function()
    device(m.memory, BASE, 0x1000)
    local sizes, value = { 1, 2, 4, 8 }, { 0x81, 0x8182, 0x81828384, 0x8182838485868788 }
    for i, size in ipairs(sizes) do
      region:ioeventfd { offset = i * 0x100, size = size, on = on }
      region:ioeventfd { offset = i * 0x100 + 0x80, size = size, match = value[i], on = on }
    end
    region:ioeventfd { offset = 0x800, on = on }
    small.start(m)
    local function write(offset, v, size)
      return outcome("mmio", ("write 0x%x 0x%x %d"):format(BASE + offset, v, size))
    end
    for i, wanted in ipairs(sizes) do
      assert.same({ 1, 0, 0 }, write(0x800, 5, wanted))
      assert.same({ 1, 0, 0 }, write(i * 0x100 + 0x80, value[i], wanted))
      assert.same({ 0, 1, 1 }, write(i * 0x100 + 0x80, value[i] ~ 0x80, wanted))
      for _, size in ipairs(sizes) do
        local result = write(i * 0x100, 5, size)
        if size == wanted then
          assert.same({ 1, 0, 0 }, result)
        else
          assert.same({ 0, result[3] }, { result[1], math.min(result[2], 1) }, size) -- may be split
        end
      end
    end
  end)

  it("port writes signal by their size and value", function()
    device(m.io, 0x500, 0x100)
    for i, size in ipairs { 1, 2, 4 } do
      region:ioeventfd { offset = i * 0x10, size = size, on = on }
      region:ioeventfd { offset = i * 0x10 + 8, size = size, match = 0x81, on = on }
    end
    small.start(m)
    -- The characters of the answer take exits as well.
    local function out(offset, v, size)
      local result = outcome("io", ("out 0x%x 0x%x %d"):format(0x500 + offset, v, size))
      return { result[1], math.min(result[2], 1) }
    end
    for i, wanted in ipairs { 1, 2, 4 } do
      assert.same({ 1, 0 }, out(i * 0x10 + 8, 0x81, wanted))
      assert.same({ 0, 1 }, out(i * 0x10 + 8, 0x82, wanted))
      for _, size in ipairs { 1, 2, 4 } do
        assert.same(size == wanted and { 1, 0 } or { 0, 1 }, out(i * 0x10, 5, size))
      end
    end
  end)

  it("signals follow through containers, aliases and what covers them", function()
    device(m.memory, BASE, 0x1000)
    region:ioeventfd { offset = 0x10, size = 4, on = on }
    small.start(m)
    assert.same(SIGNALS, at(BASE + 0x10))
    local cover = m:region { kind = "io", name = "cover", size = 4, write = function() end }
    m.memory.root:add(cover, BASE + 0x12, { priority = 20, overlap = true }) -- half of it
    assert.equal(0, at(BASE + 0x10)[1])
    cover.priority = 5
    assert.same(SIGNALS, at(BASE + 0x10))
    cover.priority = 20
    cover.enabled = false
    assert.same(SIGNALS, at(BASE + 0x10))

    local alias = m:region { kind = "alias", target = region, size = 0x100, offset = 8 }
    m.memory.root:add(alias, BASE + 0x8000)
    assert.same(SIGNALS, at(BASE + 0x8008))
    assert.same(SIGNALS, at(BASE + 0x10))
    alias.alias_offset = 0x10
    assert.same(DEVICE, at(BASE + 0x8008))
    assert.same(SIGNALS, at(BASE + 0x8000))
    m.memory.root:del(alias)
    assert.same(NOTHING, at(BASE + 0x8000))

    local container = m:region { kind = "container", name = "bus", size = 0x2000 }
    m:transaction(function()
      m.memory.root:del(region)
      container:add(region, 0x1000)
      m.memory.root:add(container, BASE + 0x10000)
    end)
    assert.same(NOTHING, at(BASE + 0x10))
    assert.same(SIGNALS, at(BASE + 0x11010))
    container.offset = BASE + 0x20000
    assert.same(NOTHING, at(BASE + 0x11010))
    assert.same(SIGNALS, at(BASE + 0x21010))
    container.enabled = false
    assert.same(NOTHING, at(BASE + 0x21010))
    container.enabled = true
    assert.same(SIGNALS, at(BASE + 0x21010))
    container:del(region)
    assert.same(NOTHING, at(BASE + 0x21010))
  end)

  it("an ioeventfd goes with the device that owns its region", function()
    lunik.device {
      name = "doorbell-device",
      mmio = { { base = BASE, size = 0x1000, write = function() writes = writes + 1 end } },
    }
    m:device_add("doorbell-device", { id = "bell" })
    m.memory:find(BASE).region:ioeventfd { offset = 0x10, size = 4, on = on }
    small.start(m)
    assert.same(SIGNALS, at(BASE + 0x10))
    m:device_del "bell"
    assert.same(NOTHING, at(BASE + 0x10))
    m:device_add("doorbell-device", { id = "bell" })
    assert.same(DEVICE, at(BASE + 0x10))
  end)

  it("an ioeventfd takes another's place in one transaction", function()
    device(m.memory, BASE, 0x1000)
    local event = region:ioeventfd { offset = 0x10, size = 8, on = on }
    small.start(m)
    local function replace(options)
      m:transaction(function()
        event:close()
        event = region:ioeventfd(options)
      end)
    end
    replace { offset = 0x10, size = 4, on = on }
    assert.same(SIGNALS, at(BASE + 0x10))
    replace { offset = 0x10, size = 4, match = 8, on = on }
    assert.same(DEVICE, at(BASE + 0x10))
    replace { offset = 0x10, size = 4, match = 7, on = on }
    assert.same(SIGNALS, at(BASE + 0x10))
    replace { offset = 0x10, size = 4, on = on }
    assert.same({ 1, 0, 0 }, outcome("mmio", ("write 0x%x 8 4"):format(BASE + 0x10)))
    replace { offset = 0x10, size = 4, on = function(n) count = count + 100 * n end }
    assert.same({ 300, 0, 0 }, at(BASE + 0x10))
  end)

  it("a region moves between memory and ports with its ioeventfd", function()
    device(m.memory, 0x500000, 8)
    local ports = m:region { kind = "alias", target = region, size = 4 }
    region:ioeventfd { offset = 0, size = 4, match = 7, on = on }
    m.io.root:add(ports, 0x5000)
    small.start(m)
    assert.same({ 1, 0 }, { table.unpack(outcome("io", "out 0x5000 7 4"), 1, 2) })
    m:transaction(function()
      m.memory.root:del(region)
      m.io.root:del(ports)
      m.memory.root:add(region, 0x5000, { overlap = true, priority = 10 })
    end)
    assert.same(SIGNALS, at(0x5000))
    assert.same({ 0, 0 }, { table.unpack(outcome("io", "out 0x5000 7 4"), 1, 2) })
  end)

  it("coalesced ranges may be larger than KVM's", function()
    local LOW = 0x10000000
    device(m.memory, LOW, 8 << 30)
    region:coalesce()
    small.start(m)
    assert.are.equal(0, exits("mmio", ("mmiowrite 0x%x 7 50"):format(LOW + 0x1000)))
    assert.are.equal(50, writes)
    assert.are.equal(5, exits("mmio", ("mmiowrite 0x%x 7 5"):format(LOW + (2 << 30))))
    assert.are.equal(55, writes)
  end)

  it("a closed ioeventfd gives its register back", function()
    device(m.memory, BASE, 0x1000)
    local event = region:ioeventfd { offset = 0, size = 4, on = on }
    small.start(m)
    event:close()
    assert.are.equal(10, exits("mmio", ("mmiowrite 0x%x 7 10"):format(BASE)))
    assert.are.equal(10, writes)
  end)

  it("coalesced writes arrive later, but before a read", function()
    device(m.memory, BASE, 0x1000)
    region:coalesce(0, 0x100)
    small.start(m)
    assert.are.equal(0, exits("mmio", ("mmiowrite 0x%x 7 100"):format(BASE)))
    assert.are.equal(100, writes) -- the guest's answer over the serial port was an exit
    assert.is_true(exits("mmio", ("mmiowrite 0x%x 7 10000"):format(BASE + 0xfc)) < 500)
    assert.are.equal(10100, region.stats.writes)
    assert.are.equal(10, exits("mmio", ("mmiowrite 0x%x 7 10"):format(BASE + 0x100)))
    local _, answer = small.run(m, ("mmioread 0x%x 1"):format(BASE))
    assert.are.equal(10110, tonumber(answer:match "0x%x+") or writes)
    region:uncoalesce()
    assert.are.equal(100, exits("mmio", ("mmiowrite 0x%x 7 100"):format(BASE)))
  end)

  -- Lets a guest make 100 coalesced writes to a device that keeps their number in RAM and refuses
  -- them, and then do nothing; waits until done(pc, device) says that they have been delivered.
  local function write_hundred(done)
    local code = "\xb8\0\xd0\x8e\xd8"           -- mov ax, 0xd000; mov ds, ax
      .. "\xb9\100\0" .. "\xa3\0\0" .. "\xe2\xfb" -- mov cx, 100; again: mov [0], ax; loop again
      .. "\x31\xc0\x8e\xd8" .. "\xff\6\0\x70"   -- xor ax, ax; mov ds, ax; inc word [0x7000]
      .. "\xeb\xfe"                              -- jmp $
    local pc <close> = lunik.machine { board = "pc", memory = "16M" }
    pc:object_add("memory-backend-ram", { id = "firmware", size = "64K" })
    pc.memory.root:add(pc:region { kind = "ram", name = "rom", memdev = "firmware" }, 0xffff0000)
    pc:write(0xffff0000, code)
    pc:write(0xfffffff0, "\xe9\x0d\0") -- jmp to the start
    local dev = pc:region {
      kind = "io", name = "dev", size = 4, write = function()
        writes = writes + 1
        pc:store(0x7100, 4, writes)
        return false, "access"
      end,
    }
    pc.memory.root:add(dev, 0xd0000, { overlap = true, priority = 10 })
    dev:coalesce()
    pc:start()
    for _ = 1, 2000 do
      if done(pc, dev) then break end
      lunik.sleep(0.005)
    end
    assert.are.equal("\100\0\0\0", pc:read(0x7100, 4))
    assert.are.equal(100, dev.stats.writes)
    assert.are.equal(0, pc:cpu(0).stats.mmio)
  end

  it("what coalesced writes have a device do to RAM is seen by who reads it", function()
    write_hundred(function(pc) return pc:read(0x7000, 2) ~= "\0\0" end)
  end)

  it("coalesced writes are counted when the statistics are read", function()
    local seen
    for _, look in ipairs {
      function(_, dev) return dev.stats.writes end,
      function(pc) return pc.memory.stats.rejected end,
    } do
      writes = 0
      write_hundred(function(...)
        seen = look(...)
        return seen == 100
      end)
      assert.are.equal(100, seen)
    end
  end)

  it("coalesced port writes take fewer exits", function()
    device(m.io, 0x500, 8)
    region:coalesce()
    small.start(m)
    assert.is_true(exits("io", "outloop 0x500 1 10000") < 5000)
    assert.are.equal(10000, writes)
  end)
end)
