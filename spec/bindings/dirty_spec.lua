-- Dirty pages and dirty rates as scripts see them, without a guest and with the small one.
local lunik = require "lunik"
local machines = require "spec.support.machines"
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

  it("are those of a region's part of its block", function()
    local all = m:dirty():start()
    local some
    do
      local part = m:region { kind = "ram", name = "part", memdev = "extra", ram_offset = "64K",
        size = "64K" }
      m.memory.root:add(part, 2 << 32)
      some = m:dirty { region = part }:start()
      m:write(1 << 32, "x")
      m:write((1 << 32) + 50 * PAGE, "x")
      m:write((2 << 32) + PAGE, "x")
      m.memory.root:del(part)
    end
    machines.collect()
    assert.equal(3, all:sync())
    assert.equal(1, some:count())
    assert.same(set("extra", 17), pages(some))
    assert.same({ { name = "extra", size = 64 << 10, pages = 1 } }, some:blocks())
    assert.equal(1, some:clear())
    assert.same(set("extra", 0, 50), pages(all))
    local next_page = all:pages()
    all:stop()
    assert.is_nil(next_page())
    some:stop()
  end)

  it("need not have been logged, or be there, at the end of a scope", function()
    local other = lunik.machine { board = "micro", accel = "none", memory = "2M" }
    do
      local never <close> = m:dirty()
      local late <close> = other:dirty():start()
      assert.is_false(never.active)
      assert.is_true(late.active)
      other:close()
    end
  end)

  it("are those written since the start", function()
    local d = m:dirty()
    m:write(1 << 32, "before")
    d:start()
    assert.equal(0, d:sync())
    m:write((1 << 32) + 3 * PAGE - 1, "ab")
    m:store((1 << 32) + 9 * PAGE, 8, 1)
    assert.equal(3, d:sync())
    assert.same(set("extra", 2, 3, 9), pages(d))
    d:clear()
    local map = m:map((1 << 32) + 0x20000)
    m:fill((1 << 32) + 30 * PAGE - 1, PAGE + 2, 1)
    map:write(8 * PAGE, "x")
    map:set("u64", 12 * PAGE - 4, 1)
    map:fill(16 * PAGE, 1, 1)
    map:view("u8", 20 * PAGE, 1)[1] = 1
    map:read(60 * PAGE, PAGE)
    m.memory:set("u32be", (1 << 32) + 50 * PAGE, 1)
    assert.same(set("extra", 29, 30, 31, 40, 43, 44, 48, 50, 52), pages(d))
    d:clear()
    m:write((1 << 32) + 2 * PAGE, ("x"):rep(2 * PAGE))
    m:write((1 << 32) + 9 * PAGE, "x")
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
    machines.collect()
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

  it("refuse arguments that make no sense, and stay as they are", function()
    local d = m:dirty():start()
    m:write(1 << 32, ("x"):rep(2 * PAGE))
    for want, args in pairs {
      ["clear: block: '5' is not a string"] = { d.clear, d, 5 },
      ["clear: block: there is no 'nothing'"] = { d.clear, d, "nothing" },
      ["clear: size: is missing"] = { d.clear, d, "extra", 0 },
      ["clear: offset: '-1' is negative"] = { d.clear, d, "extra", -1, PAGE },
      ["clear: size: '-4096' is negative"] = { d.clear, d, "extra", 0, -PAGE },
      ["clear: offset: '0.5' has a fraction"] = { d.clear, d, "extra", 0.5, 1 },
      ["is not a lunik.Dirty"] = { d.sync, {} },
      ["dirty: '5' is not a table"] = { m.dirty, m, 5 },
      ["region and object: want only one"] = { m.dirty, m, { region = r, object = "extra" } },
      ["dirty: region: 'r' is not a region"] = { m.dirty, m, { region = "r" } },
      ["dirty: object: there is no object 'no'"] = { m.dirty, m, { object = "no" } },
      ["dirty_rate: '5' is not a table"] = { m.dirty_rate, m, 5 },
      ["dirty_rate: mode: 'x' is not a valid"] = { m.dirty_rate, m, { mode = "x" } },
      ["dirty_rate: seconds: 'x' is not a time"] = { m.dirty_rate, m, { seconds = "x" } },
      ["nan' is not a time"] = { m.dirty_rate, m, { seconds = 0 / 0 } },
      ["inf' is not a time"] = { m.dirty_rate, m, { seconds = math.huge } },
      ["dirty_rate: sample_pages: '0' is out"] = { m.dirty_rate, m, { sample_pages = 0 } },
      ["dirty_rate: sample_pages: '-1' is neg"] = { m.dirty_rate, m, { sample_pages = -1 } },
      ["did you mean 'seconds'"] = { m.dirty_rate, m, { second = 1 } },
    } do
      local message = error_of(table.unpack(args)).message
      assert.is_truthy(message:find(want, 1, true), message)
    end
    assert.equal(2, d:count())
    assert.equal(0, d:clear("extra", 0, 0))
    assert.equal(0, d:clear("extra", math.maxinteger, math.maxinteger))
    assert.equal(0, d:clear("extra", "8E", "15E"))
    assert.equal(1, d:clear("extra", PAGE + 1, 1)) -- the page it is in
    assert.equal(1, d:clear(nil, 0, 1))
    assert.is_true(m:dirty_rate { seconds = 0.001 }.seconds > 0)
    local pages_of_it = d:pages()
    m:write(1 << 32, "x")
    d:stop()
    assert.is_nil(pages_of_it())
  end)

  it("are not those of another machine's region", function()
    local other <close> = lunik.machine {
      board = "micro", accel = "none", memory = "16M", serial = "none",
    }
    local d = other:dirty { region = r }
    assert.matches("'extra' belongs to another machine", error_of(d.start, d).message)
    assert.is_false(d.active)
  end)

  it("give a rate", function()
    m.memory.root:add(m:region { kind = "alias", size = MiB, target = r }, 2 << 32)
    local function rate(mode, first)
      local result
      local task = lunik.spawn(function()
        result = m:dirty_rate { seconds = 0.05, mode = mode }
      end)
      lunik.run "nowait"
      assert.equal("busy", error_of(m.dirty_rate, m).code)
      for page = first, 255 do
        m:store((1 << 32) + page * PAGE, 8, page + 1 + os.time() * 1000)
      end
      while not task.done do lunik.run "once" end
      local found = {}
      for _, block in ipairs(result.blocks) do
        if block.name == "extra" then found[#found + 1] = block end
      end
      assert.equal(1, #found) -- seen at two places
      return result, found[1]
    end
    local result, block = rate("dirty-bitmap", 0)
    assert.equal(256, block.pages)
    assert.near(1 / result.seconds, block.rate, 1e-9)
    assert.near(1 / result.seconds, result.rate, 1e-9)
    for page = 0, 255 do m:store((1 << 32) + page * PAGE, 8, 0) end
    result, block = rate("page-sampling", 0)
    assert.equal(64, block.sampled)
    assert.equal(64, block.changed)
    assert.near(1 / result.seconds, result.rate, 1e-9)
    for page = 0, 255 do m:store((1 << 32) + page * PAGE, 8, 0) end
    result, block = rate("page-sampling", 64)
    assert.is_true(block.changed >= 20 and block.changed <= 63) -- 48, give or take
    assert.near(block.changed / 64 / result.seconds, block.rate, 1e-9)
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

  -- Has the other vCPUs write that many pages from BASE + first pages on, again and again; returns
  -- once all of them have been written to.
  local function ap_touch(m, first, count)
    local last = BASE + (first + count - 1) * PAGE
    local before = m:load(last, 8)
    small.run(m, ("ap-touch 0x%x %d"):format(BASE + first * PAGE, count))
    machines.wait_until(function() return m:load(last, 8) ~= before end,
      "the other vCPU does not write")
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
          ap_touch(m, first, count)
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
    end)
  end

  local value = 0 -- a new one each time

  -- The rate while the guest writes to that many pages; measured again where it was too slow.
  local function rate_of(m, mode, count)
    for try = 1, 8 do
      local result
      local task = lunik.spawn(function()
        result = m:dirty_rate { seconds = 0.05 * 2 ^ try, mode = mode, sample_pages = 1 << 18 }
      end)
      lunik.run "nowait"
      value = value + 1
      small.run(m, ("touch 0x%x %d %d"):format(BASE, count, value))
      local in_time = not task.done
      while not task.done do lunik.run "once" end
      if in_time then return result end
    end
    error "the guest takes ages"
  end

  it("come at the rate at which it writes, by block, vCPU, and in total", function()
    local COUNT, OWN = 700, 60 -- OWN: pages that the guest needs for itself, at most
    local m = small.machine { name = "dirty-rate", cpus = 2, memory = "128M", dirty_ring = 65536 }
    finally(function() m:close() end)
    small.start(m)
    do
      local d <close> = m:dirty():start()
      small.run(m, ("ap-touch 0x%x 100"):format(BASE))
      for _ = 1, 2000 do
        if d:sync() >= 100 then break end
        lunik.sleep(0.005)
      end
      small.run(m, "ap-stop")
    end
    assert.is_true(m:cpu(1).stats.dirtied >= 100)
    local function check(count, rate, seconds)
      assert.is_true(count >= COUNT, count)
      assert.near(count * PAGE / MiB / seconds, rate, 1e-6)
    end
    for _, mode in ipairs { "dirty-bitmap", "dirty-ring", "page-sampling" } do
      local result, total = rate_of(m, mode, COUNT), 0
      for _, part in ipairs(result.vcpus or result.blocks) do total = total + part.rate end
      assert.near(total, result.rate, 1e-6)
      for _, block in ipairs(result.blocks) do
        if block.name == "pc.ram" then
          check(block.pages or block.changed, block.rate, result.seconds)
          assert.is_true((block.pages or block.changed) <= COUNT + OWN)
        end
      end
      assert.equal(mode == "dirty-ring", result.vcpus ~= nil)
      if result.vcpus then
        -- A host that emulates the guest's kernel reports its pages again and again.
        check(result.vcpus[1].pages, result.vcpus[1].rate, result.seconds)
        assert.same({ index = 1, pages = 0, rate = 0 }, result.vcpus[2]) -- earlier ones are past
      end
    end
  end)

  it("are all there when they are more than a ring holds", function()
    local m = small.machine { name = "dirty-ring-full", dirty_ring = 1024 }
    finally(function() m:close() end)
    small.start(m)
    local d, migration = m:dirty():start(), m:dirty { client = "migration" }:start()
    local before = m:cpu(0).stats
    small.run(m, ("touch 0x%x 5000"):format(BASE))
    assert.is_true(m:cpu(0).stats.other - before.other >= 4) -- exits because the ring was full
    assert.is_true(m:cpu(0).stats.dirtied - before.dirtied >= 4000)
    d:sync()
    assert.equal(range(0, 5000), (written(d)))
    assert.equal(range(0, 5000), (written(migration)))
  end)

  -- Four vCPUs write at once, each to pages of its own, what no other would: the page's address and
  -- the number of the round. A copy that follows the log has to end with everybody's last round.
  local COUNT, ROUNDS = 1500, 5

  local function pages_of(cpu)
    return BASE + cpu * COUNT * PAGE, BASE + ((cpu + 1) * COUNT - 1) * PAGE
  end

  -- How many rounds each but the first has done at least.
  local function rounds(m)
    local least = math.huge
    for cpu = 1, 3 do
      local _, last = pages_of(cpu)
      local word = m:load(last, 8)
      least = math.min(least, word == 0 and 0 or word ~ last)
    end
    return least
  end

  -- Copies what is dirty.
  local function follow(m, d, copy)
    d:sync()
    for block, offset, size in d:ranges() do
      if offset >= BASE then
        d:clear(block, offset, size)
        for at = offset, offset + size - PAGE, PAGE do copy[at] = m:load(at, 8) end
      end
    end
  end

  local function full_exits(m)
    local count = 0
    for cpu = 0, 3 do count = count + m:cpu(cpu).stats.other end
    return count
  end

  local logs = {
    bitmap = { dirty_log = "bitmap" },
    ["manual protection"] = { dirty_log = "manual" },
    ["rings that overflow"] = { dirty_ring = 1024 },
  }
  for name, how in pairs(logs) do
    it("are all there when four vCPUs write at once, by " .. name, function()
      local m = small.machine {
        name = "dirty-four", cpus = 4, dirty_log = how.dirty_log, dirty_ring = how.dirty_ring,
      }
      finally(function() m:close() end)
      small.start(m)
      local full = full_exits(m)
      local d, copy = m:dirty():start(), {}
      local writing = lunik.spawn(function()
        small.run(m, ("ap-touch 0x%x %d"):format(pages_of(1), 3 * COUNT))
        for round = 1, ROUNDS do small.run(m, ("touch 0x%x %d %d"):format(BASE, COUNT, round)) end
      end)
      local deadline = lunik.now() + 4 * small.TIMEOUT
      while not writing.done or rounds(m) < ROUNDS do
        assert(lunik.now() < deadline, "a vCPU does not get on")
        lunik.sleep(0.005)
        if rounds(m) > 0 then follow(m, d, copy) end -- not before there is more than rings hold
      end
      writing:wait()
      local text, last = small.run(m, "ap-stop"), { [0] = ROUNDS }
      for cpu, count in text:gmatch "cpu (%d) wrote (%d+) rounds" do
        last[tonumber(cpu)] = tonumber(count) - 1
      end
      follow(m, d, copy)
      for cpu = 0, 3 do
        local missing, from, to = 0, pages_of(cpu)
        for at = from, to, PAGE do
          if copy[at] ~= at ~ last[cpu] then missing = missing + 1 end
        end
        assert.equal(0, missing, "pages of vCPU " .. cpu)
      end
      assert.equal(how.dirty_ring ~= nil, full_exits(m) > full)
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
