-- Dirty pages and dirty rates as scripts see them, without a guest and with the small one.
local lunik = require "lunik"
local small = require "spec.support.small_guest"

local PAGE, MiB = 4096, 1 << 20

-- The dirty pages as { ["block:page"] = true }.
local function pages(d)
  local set = {}
  for block, offset in d:pages() do
    set[("%s:%d"):format(block, offset // PAGE)] = true
  end
  return set
end

local function set(block, ...)
  local out = {}
  for _, page in ipairs { ... } do
    out[("%s:%d"):format(block, page)] = true
  end
  return out
end

describe("dirty pages without a guest", function()
  local m, r

  before_each(function()
    m = lunik.machine { board = "micro", accel = "none", memory = "16M", serial = "none" }
    m:object_add("memory-backend-ram", { id = "extra", size = "1M" })
    r = m:region { kind = "ram", name = "extra", memdev = "extra" }
    m.memory.root:add(r, 1 << 32)
  end)

  after_each(function() m:close() end)

  local function error_of(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
  end

  it("are those written since the start", function()
    local d = m:dirty()
    m:write(1 << 32, "before")
    d:start()
    assert.equal(0, d:sync())
    m:write((1 << 32) + 3 * PAGE - 1, "ab")
    m:store((1 << 32) + 9 * PAGE, 8, 1)
    assert.equal(3, d:sync())
    assert.same(set("extra", 2, 3, 9), pages(d))
    local ranges = {}
    for block, offset, size in d:ranges() do
      ranges[#ranges + 1] = { block, offset // PAGE, size // PAGE }
    end
    assert.same({ { "extra", 2, 2 }, { "extra", 9, 1 } }, ranges)
    d:stop()
  end)

  it("are cleared in part, by block, or all", function()
    local d = m:dirty():start()
    m:write(1 << 32, ("x"):rep(10 * PAGE))
    m:write(0x100000, "x")
    assert.equal(2, d:clear("extra", 3 * PAGE, "8K"))
    assert.equal(0, d:clear("extra", 3 * PAGE, 2 * PAGE))
    assert.equal(9, d:count())
    assert.equal(8, d:clear "extra")
    assert.equal(1, d:clear())
    assert.equal(0, d:sync())
    assert.equal("not-found", error_of(d.clear, d, "nothing").code)
  end)

  it("may be cleared while they are iterated over", function()
    local d = m:dirty():start()
    m:write(1 << 32, ("x"):rep(200 * PAGE))
    local seen = 0
    for block, offset in d:pages() do
      assert.equal(1, d:clear(block, offset, PAGE))
      seen = seen + 1
    end
    assert.equal(200, seen)
    assert.equal(0, d:count())
  end)

  it("are each client's own", function()
    local user, display = m:dirty():start(), m:dirty { client = "display", region = r }:start()
    m:write(1 << 32, "x")
    m:write(0x200000, "x")
    assert.equal(2, user:sync())
    assert.equal(1, display:sync())
    assert.equal(2, user:clear())
    assert.equal(1, display:sync())
    display:stop()
    assert.is_false(display.active)
    assert.equal("state", error_of(display.sync, display).code)
    assert.equal("display", display.client)
  end)

  it("stay when their memory goes, until they are cleared", function()
    local all, block = m:dirty():start(), m:dirty { client = "display", object = "extra" }:start()
    m:write(1 << 32, "x")
    r.offset = 2 << 32
    m:write((2 << 32) + PAGE, "x")
    m.memory.root:del(r)
    assert.equal(2, all:sync())
    assert.equal(2, block:sync())
    assert.same(set("extra", 0, 1), pages(all))
    all:clear()
    assert.equal(2, block:clear())
    assert.equal(0, all:sync())
    m.memory.root:add(r, 3 << 32)
    m:write((3 << 32) + 2 * PAGE, "x")
    assert.same(set("extra", 2), pages(all))
    assert.same(set("extra", 2), pages(block))
  end)

  it("are logged for regions that come later", function()
    local d = m:dirty():start()
    m:object_add("memory-backend-ram", { id = "later", size = "1M" })
    m.memory.root:add(m:region { kind = "ram", name = "later", memdev = "later" }, 5 << 32)
    m:write((5 << 32) + 7 * PAGE, "x")
    assert.same(set("later", 7), pages(d))
    assert.same({ name = "later", size = MiB, pages = 1 }, d:blocks()[#d:blocks()])
  end)

  it("end with a variable to be closed, not with a handle that is collected", function()
    m:dirty { client = "display" }:start()
    collectgarbage()
    collectgarbage()
    do
      local d <close> = m:dirty():start()
      assert.is_true(d.active)
    end
    local d = m:dirty { client = "display" }
    assert.is_false(d.active)
    m:write(1 << 32, "x")
    d:start()
    assert.equal(1, d:sync()) -- the forgotten one still logs for this client
  end)

  it("need a client, and memory", function()
    assert.matches("dirty: client: 'me' is not", error_of(m.dirty, m, { client = "me" }).message)
    assert.matches("'clint'.*did you mean 'client'", error_of(m.dirty, m, { clint = 1 }).message)
    local io = m:region { kind = "io", name = "io", size = 16, read = function() return 0 end }
    assert.matches("dirty: region: 'io' has no RAM", error_of(m.dirty, m, { region = io }).message)
    m:object_add("chardev-null", { id = "null" })
    assert.matches("dirty: object: 'null' has no memory",
      error_of(m.dirty, m, { object = "null" }).message)
    local d = m:dirty()
    assert.matches("stop: nothing is logged", error_of(d.stop, d).message)
    d:start()
    assert.matches("started already", error_of(d.start, d).message)
    m:close()
    assert.is_false(d.active)
    assert.equal("gone", error_of(d.sync, d).code)
  end)

  it("give a rate", function()
    local function rate(mode)
      local result
      local task = lunik.spawn(function()
        result = m:dirty_rate { seconds = 0.05, mode = mode }
      end)
      lunik.run "nowait"
      assert.equal("busy", error_of(m.dirty_rate, m).code)
      for page = 0, 255 do m:store((1 << 32) + page * PAGE, 8, page + 1 + os.time() * 1000) end
      while not task.done do lunik.run "once" end
      for _, block in ipairs(result.blocks) do
        if block.name == "extra" then return result, block end
      end
    end
    local result, block = rate "dirty-bitmap"
    assert.equal(256, block.pages)
    assert.near(1 / result.seconds, block.rate, 1e-9)
    assert.near(1 / result.seconds, result.rate, 1e-9)
    for page = 0, 255 do m:store((1 << 32) + page * PAGE, 8, 0) end
    result, block = rate "page-sampling"
    assert.equal(64, block.sampled)
    assert.equal(64, block.changed)
    assert.near(1 / result.seconds, result.rate, 1e-9)
    assert.equal("unsupported", error_of(m.dirty_rate, m, { mode = "dirty-ring" }).code)
    assert.equal("invalid", error_of(m.dirty_rate, m, { seconds = 0 }).code)
  end)
end)

describe("dirty pages of a guest", function()
  if small.unavailable() then
    return it("are exactly those it wrote", function() pending(small.unavailable()) end)
  end

  local BASE = 0x4000000 -- far from the guest's own data

  -- The dirty pages at or above BASE, without those the guest needs for itself.
  local function written(d)
    local list, name = {}, nil
    for block, offset in d:pages() do
      if offset >= BASE then
        name = name or block
        list[#list + 1] = (offset - BASE) // PAGE
      end
    end
    return table.concat(list, " "), name
  end

  local function range(first, count)
    local list = {}
    for page = first, first + count - 1 do list[#list + 1] = page end
    return table.concat(list, " ")
  end

  local backends = {
    bitmap = { dirty_log = "bitmap" },
    ["manual protection"] = { dirty_log = "manual" },
    ["dirty rings"] = { dirty_ring = 65536 },
  }
  for name, how in pairs(backends) do
    it("are exactly those it wrote, by " .. name, function()
      local m = small.machine {
        name = "dirty", cpus = 2, dirty_log = how.dirty_log, dirty_ring = how.dirty_ring,
      }
      finally(function() m:close() end)
      small.start(m)
      small.run(m, ("touch 0x%x 64"):format(BASE))
      local user, migration = m:dirty():start(), m:dirty { client = "migration" }
      user:sync()
      assert.equal("", (written(user)))
      for round = 0, 7 do
        local first, count = round * 37 % 100, 1 + round * 29 % 70
        if round % 3 == 2 then -- the second vCPU, again and again until it is told to stop
          small.run(m, ("ap-touch 0x%x %d"):format(BASE + first * PAGE, count))
          lunik.sleep(0.02)
          user:sync()
          assert.equal(range(first, count), (written(user)))
          small.run(m, "ap-stop")
        else
          small.run(m, ("touch 0x%x %d"):format(BASE + first * PAGE, count))
        end
        user:sync()
        local got, block = written(user)
        assert.equal(range(first, count), got, "round " .. round)
        assert.is_true(user:clear(block, BASE, 256 * PAGE) == count)
        assert.equal("", (written(user)))
        user:sync()
        assert.equal("", (written(user)))
        if round == 3 then migration:start() end
      end
      migration:sync()
      -- rounds 4 to 7, which the user has seen already
      local expected = {}
      for round = 4, 7 do
        local first, count = round * 37 % 100, 1 + round * 29 % 70
        for page = first, first + count - 1 do expected[page] = true end
      end
      local list = {}
      for page = 0, 255 do
        if expected[page] then list[#list + 1] = page end
      end
      assert.equal(table.concat(list, " "), (written(migration)))

      local rate = m:dirty_rate { seconds = 0.1, mode = how.dirty_ring and "dirty-ring"
        or "dirty-bitmap" }
      assert.is_true(rate.rate >= 0 and rate.seconds >= 0.1)
      assert.equal(how.dirty_ring and 2, rate.vcpus and #rate.vcpus)
    end)
  end

  it("survive the DIMM they are in", function()
    local m = small.machine { name = "dirty-dimm" }
    finally(function() m:close() end)
    small.start(m)
    local d = m:dirty():start()
    m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    m:wait("acpi-ost", { device = "dimm1", timeout = small.TIMEOUT })
    local at = m:object("dimm1").addr
    d:sync()
    d:clear()
    small.run(m, ("touch 0x%x 5"):format(at + 10 * PAGE))
    m:device_del("dimm1"):wait { timeout = small.TIMEOUT }
    d:sync()
    local found = {}
    for block, offset in d:pages() do
      if block == "mem1" then found[#found + 1] = offset // PAGE end
    end
    assert.equal("10 11 12 13 14", table.concat(found, " "))
  end)

  it("have no rings of odd sizes", function()
    local ok, err = pcall(lunik.machine, { board = "micro", dirty_ring = 5000 })
    assert.is_false(ok)
    assert.matches("dirty%-ring: '5000' is not a number of entries", err.message)
    ok, err = pcall(lunik.machine, { board = "micro", dirty_log = "magic" })
    assert.is_false(ok)
    assert.matches("dirty_log: 'magic' is not", err.message)
  end)
end)
