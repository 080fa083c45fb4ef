-- Rejected accesses: the error that the caller gets, observers, the log.
local lunik = require "lunik"
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local small_guest = require "spec.support.small_guest"

local BASE = 0x10000000

-- The accesses that fn() has rejected.
local function rejected(m, fn)
  local list = {}
  local watch <close> = m:on_rejected(function(access) list[#list + 1] = access end)
  fn()
  watch:off()
  return list
end

local function io(m, address, options)
  options.kind, options.size = "io", options.size or 16
  return m.memory.root:add(m:region(options), address)
end

describe("rejected accesses", function()
  after_each(machines.close_all)

  it("tell a decode error from a device's", function()
    local m = machines.none()
    local refuses = { [0] = { nil }, { nil, "device" }, { nil, "access" } }
    io(m, BASE, { name = "dev", valid = { max = 1 },
      read = function(offset)
        local answer = refuses[offset]
        if not answer then return offset end
        return answer[1], answer[2]
      end,
      write = function(offset)
        local answer = refuses[offset]
        return not answer, answer and answer[2]
      end })
    for offset, code in pairs { [0] = "device", "device", "access" } do
      local load = machines.raised(m.load, m, BASE + offset, 1)
      assert.are.equal(code, load.code)
      assert.matches(code == "device" and "a device there refuses it" or "nothing there accepts it",
        load.message, 1, true)
      assert.are.equal(code, machines.raised(m.store, m, BASE + offset, 1, 1).code)
      assert.are.equal(code, machines.raised(m.memory.get, m.memory, "u8", BASE + offset).code)
      assert.are.equal(code, machines.raised(m.fill, m, BASE + offset, 1, 1).code)
      assert.are.equal(code, machines.raised(m.hash, m, BASE + offset, 1).code)
    end
    assert.are.equal(3, m:load(BASE + 3, 1))
    m:store(BASE + 3, 1, 1)
    -- Of several parts a decode error counts more; all others are carried out.
    assert.are.equal("device", machines.raised(m.read, m, BASE + 1, 1).code)
    assert.are.equal("access", machines.raised(m.read, m, BASE, 4).code)
    assert.are.equal("access", machines.raised(m.read, m, BASE + 2, 20).code)
  end)

  it("are reported if a handler refuses in an unknown way", function()
    local m = machines.none()
    io(m, BASE, { read = function() return nil, "acess" end })
    local message
    m:on("error", function(ev) message = ev.message end)
    assert.are.equal("device", machines.raised(m.load, m, BASE, 4).code)
    lunik.run "nowait"
    assert.matches("why a read handler refuses: 'acess' is not a valid choice", message, 1, true)
  end)

  it("are decode errors where there is no function for the direction", function()
    local m = machines.none()
    local wrote
    io(m, BASE, { impl = { min = 4 }, write = function(...) wrote = { ... } end })
    io(m, BASE + 16, { read = function() return 1 end })
    assert.are.equal("access", machines.raised(m.load, m, BASE, 4).code)
    assert.are.equal("access", machines.raised(m.store, m, BASE + 16, 4, 1).code)
    -- A register that can't be read has nothing to merge a smaller write with.
    m:store(BASE + 5, 1, 0x7f)
    assert.are.same({ 4, 4, 0x7f00 }, wrote)
  end)

  it("are a peek handler's as well, and a narrow write is dropped then", function()
    local m = machines.none()
    local writes = 0
    io(m, BASE, {
      impl = { min = 4 }, read = function() error("read has side effects") end,
      peek = function() return nil, "access" end, write = function() writes = writes + 1 end,
    })
    assert.are.equal("access", machines.raised(m.store, m, BASE + 5, 1, 0x7f).code)
    assert.are.equal(0, writes)
    m:store(BASE + 4, 4, 0x7f)
    assert.are.equal(1, writes)
  end)

  it("are reported with all their details", function()
    local m = machines.none()
    local dev = io(m, BASE, { name = "dev", read = function() end })
    local list = rejected(m, function()
      m:inw(0x999)
      pcall(m.store, m, BASE + 4, 8, -2)
      pcall(m.load, m, BASE + 4, 4)
    end)
    assert.are.same({
      "read of port 0x999 (2 bytes): nothing is there",
      "write of 0xfffffffffffffffe to address 0x10000004 (dev, 8 bytes): not for writes",
      "read of address 0x10000004 (dev, 4 bytes): the device refuses it",
    }, { tostring(list[1]), list[2].text, list[3].text })
    local port, write, read = table.unpack(list)
    assert.are.equal(m, port.machine)
    assert.are.equal(m.io, port.space)
    assert.are.same({ "read", "unassigned", "access", 0x999, 2 },
      { port.action, port.why, port.code, port.address, port.size })
    assert.is_nil(port.region or port.offset or port.value or port.vcpu or port.by)
    assert.are.equal(m.memory, write.space)
    assert.are.equal(dev, write.region)
    assert.are.same({ "write", "readonly", "access", 4, -2 },
      { write.action, write.why, write.code, write.offset, write.value })
    assert.are.same({ "device", "device" }, { read.why, read.code })
    assert.are.same({ rejected = 2, unassigned = 0 }, m.memory.stats)
    assert.are.same({ rejected = 1, unassigned = 1 }, m.io.stats)
    assert.are.equal(2, dev.stats.rejected)
  end)

  it("name the access of which a device's own is a part", function()
    local m = machines.none()
    m.io.root:add(m:region { kind = "io", name = "dma", size = 4,
      write = function(_, _, value) pcall(m.load, m, value, 4) end }, 0x5000)
    local list = rejected(m, function() m:outl(0x5000, BASE) end)
    assert.are.equal(1, #list)
    assert.are.equal("read of address 0x10000000 (4 bytes): nothing is there, by write of "
      .. "0x10000000 to port 0x5000 (dma, 4 bytes)", list[1].text)
    assert.are.equal("dma", list[1].by.name)
  end)

  it("are reported by every machine, from its start, until the last listener is removed", function()
    local before, names = machines.none { name = "before" }, {}
    local all = lunik.on_rejected(function(access)
      names[#names + 1] = access.machine.name .. ":" .. access.why
    end)
    local own = before:on_rejected(function() names[#names + 1] = "own" end)
    lunik.machine { name = "after", accel = "none",
      board = { name = "b", build = function(m) m:inb(1) end } }
    before:inb(2)
    all:off()
    before:inb(3)
    own:off()
    before:inb(4)
    assert.are.same({ "after:unassigned", "own", "before:unassigned", "own" }, names)
    assert.are.equal(3, before.io.stats.unassigned)
  end)

  it("go on when a listener fails, changes the map, or is rejected itself", function()
    local m = machines.none()
    local dev = io(m, BASE, { name = "dev", read = function() end })
    local calls, errors = 0, 0
    m:on("error", function() errors = errors + 1 end)
    m:on_rejected(function(access)
      calls = calls + 1
      pcall(m.load, m, 0x20000000, 4)
      if access.region then m.memory.root:del(access.region) end
      error "no"
    end)
    assert.are.equal("device", machines.raised(m.load, m, BASE, 4).code)
    assert.are.equal("access", machines.raised(m.load, m, BASE, 4).code)
    lunik.run "nowait"
    assert.are.same({ 2, 2 }, { calls, errors })
    assert.is_nil(dev.parent)
    assert.are.same({ rejected = 4, unassigned = 3 }, m.memory.stats)
    m:on_rejected(function() m:close() end)
    assert.are.equal("access", machines.raised(m.load, m, BASE, 4).code)
    assert.are_not.equal("closed", m.state)
  end)

  it("need functions", function()
    local m = machines.none()
    assert.are.equal("invalid", machines.raised(m.on_rejected, m, 1).code)
    assert.are.equal("invalid", machines.raised(lunik.on_rejected).code)
    assert.are.equal("invalid", machines.raised(lunik.log_rejected, { limit = -1 }).code)
    assert.matches("did you mean 'limit'",
      machines.raised(lunik.log_rejected, { limt = 1 }).message)
    m:close()
    assert.are.equal("gone", machines.raised(m.on_rejected, m, print).code)
  end)
end)

describe("the log of rejected accesses", function()
  after_each(machines.close_all)

  it("has so many lines and counts the others", function()
    local m, lines = machines.none(), {}
    local log <close> = lunik.log_rejected {
      limit = 2, write = function(line) lines[#lines + 1] = line end,
    }
    for port = 1, 5 do m:inb(port) end
    assert.are.same({
      "machine 'spec': rejected: read of port 0x1 (1 bytes): nothing is there",
      "machine 'spec': rejected: read of port 0x2 (1 bytes): nothing is there",
      "rejected: more than 2 in a second: the next are not shown",
    }, lines)
    local soon = lunik.now() + 1
    while lunik.now() < soon do lunik.sleep(0.1) end
    m:inb(6)
    assert.are.equal("rejected: 3 more were not shown", lines[4])
    assert.matches("port 0x6 ", lines[5], 1, true)
    log:off()
    m:inb(7)
    assert.are.equal(5, #lines)
  end)

  local SCRIPT = "require 'lunik'.machine { board = 'micro', accel = 'none' }:inb(0x999)"
  local LINE = "machine 'micro': rejected: read of port 0x999 (1 bytes): nothing is there\n"

  it("is an option of the command", function()
    local run = command.run
    assert.are.same({ "", "lunik: " .. LINE, 0 },
      { run(('%s -d rejected -e "%s"'):format(command.lunik, SCRIPT)) })
    assert.are.same({ "", "lunik: " .. LINE, 0 },
      { run(('%s -drejected -e "%s"'):format(command.lunik, SCRIPT)) })
    assert.are.same({ "", "", 0 }, { run(('%s -e "%s"'):format(command.lunik, SCRIPT)) })
    local _, err = run(command.lunik .. " -d rejected -i", SCRIPT .. "\n")
    assert.equal("lunik: " .. LINE, err)
    local _, code
    _, err, code = run(command.lunik .. " -d rejected,rejecte -e 0")
    assert.are.equal(2, code)
    assert.matches("-d: 'rejecte' can't be logged (want rejected)", err, 1, true)
  end)
end)

local missing = small_guest.unavailable()
describe("a guest's rejected accesses", function()
  after_each(machines.close_all)

  it("name its vCPU, and can't flood the log", function()
    if missing then return pending(missing) end
    local m, lines = small_guest.machine(), {}
    m.io.root:add(m:region { kind = "io", name = "sulky", size = 4, read = function() end }, 0x5000)
    small_guest.start(m)
    local list = rejected(m, function()
      small_guest.run(m, "in 0x999 2")
      small_guest.run(m, "in 0x5000 4")
      small_guest.run(m, "out 0x5000 7 4")
      small_guest.run(m, "mmioread 0xd0000000 1")
    end)
    local texts = {}
    for i, access in ipairs(list) do
      assert.are.equal(0, access.vcpu)
      texts[i] = access.text
    end
    assert.are.same({
      "vCPU 0: read of port 0x999 (2 bytes): nothing is there",
      "vCPU 0: read of port 0x5000 (sulky, 4 bytes): the device refuses it",
      "vCPU 0: write of 0x7 to port 0x5000 (sulky, 4 bytes): not for writes",
      "vCPU 0: read of address 0xd0000000 (4 bytes): nothing is there",
    }, texts)
    local before = m.io.stats
    local log <close> = lunik.log_rejected { write = function(line) lines[#lines + 1] = line end }
    small_guest.run(m, "inloop 0x999 5000")
    log:off()
    assert.are.equal(before.unassigned + 5000, m.io.stats.unassigned)
    assert.is_true(#lines >= 20 and #lines < 4000)
  end)
end)
