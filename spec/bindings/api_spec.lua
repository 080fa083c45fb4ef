-- The Lua API on machines without vCPUs: machines, regions, spaces, ports, lines, timers.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

describe("the module", function()
  it("gives the same core when it is loaded again", function()
    local core = require "lunik.core"
    package.loaded["lunik.core"] = nil
    assert.are.equal(core, require "lunik.core")
  end)

  it("can be loaded again while machines live", function()
    local m = machines.none()
    local seen
    m:on("started", function(ev) seen = ev.name end)
    local kept = {}
    for name, module in pairs(package.loaded) do
      if name:match "^lunik" then
        kept[name] = module
        package.loaded[name] = nil
      end
    end
    local again = require "lunik"
    m:start()
    again.run "nowait"
    assert.are.equal("started", seen)
    assert.are.equal(m, again.machines()[1])
    for name, module in pairs(kept) do
      package.loaded[name] = module
    end
  end)

  it("reads sizes", function()
    assert.are.equal(512 << 20, lunik.size "512M")
    assert.are.equal(4096, lunik.size(4096))
  end)

  it("describes types", function()
    local t = lunik.type "pc-dimm"
    assert.is_true(t.device)
    assert.is_true(t.hotplug)
    local props = {}
    for _, p in ipairs(t.props) do
      props[p.name] = p
      assert.is_string(p.doc)
    end
    assert.are.equal("link", props.memdev.kind)
    assert.are.equal("memory-backend", props.memdev.link)
    assert.is_true(props.memdev.required)
    assert.are.equal(-1, props.slot.default)
  end)

  it("lists boards", function()
    local boards = table.concat(lunik.boards(), " ")
    assert.is_truthy(boards:find("micro", 1, true))
    assert.is_truthy(boards:find("pc", 1, true))
  end)
end)

describe("a machine", function()
  it("goes through its states", function()
    local m = machines.none()
    assert.are.equal("created", m.state)
    assert.are.equal(m, m:start())
    assert.are.equal("running", m.state)
    m:pause()
    assert.are.equal("paused", m.state)
    m:resume()
    assert.are.equal("running", m.state)
    m:reset()
    assert.are.equal("running", m.state)
    m:shutdown(7)
    assert.are.equal("shutdown", m.state)
    assert.are.equal(7, m.exit_code)
    m:start()
    assert.are.equal("running", m.state)
    assert.are.equal(0, m.exit_code)
    m:close()
    assert.are.equal("closed", m.state)
    m:close()
  end)

  it("is closed at the end of a <close> variable's scope", function()
    local outside
    do
      local m <close> = machines.none()
      outside = m
    end
    assert.are.equal("closed", outside.state)
    assert.are.same({}, lunik.machines())
  end)

  it("is built from objects, board, devices in this order", function()
    local steps = {}
    local board = {
      name = "steps",
      options = { colour = "red", count = 3, size = "4K", on = false,
        mode = { choices = { "a", "b" } } },
      build = function(m, opt)
        steps[1] = m:object "early" ~= nil
        steps[2] = m:object "late" == nil
        steps.opt = opt
      end,
      finish = function(m, opt)
        steps[3] = m:object "late" ~= nil
        steps.kernel = opt.kernel
      end,
    }
    local m = lunik.machine {
      board = board, accel = "none", size = "8K", mode = "b",
      objects = { { "memory-backend-ram", { id = "early", size = "1M" } } },
      devices = { { "post-code", { id = "late" } } },
    }
    assert.are.same({ true, true, true }, { steps[1], steps[2], steps[3] })
    assert.are.equal("steps", m.name)
    assert.are.equal("red", steps.opt.colour)
    assert.are.equal(3, steps.opt.count)
    assert.are.equal(8192, steps.opt.size)
    assert.are.equal(false, steps.opt.on)
    assert.are.equal("b", steps.opt.mode)
    assert.are.equal(128 << 20, steps.opt.memory)
  end)

  it("is closed when its board fails, and the error comes through", function()
    local err = machines.raised(lunik.machine, {
      accel = "none",
      board = { build = function() error(lunik.error("busy", "nothing works"), 0) end },
    })
    assert.are.equal("busy", err.code)
    assert.are.same({}, lunik.machines())
    err = machines.raised(lunik.machine, {
      accel = "none", board = { build = function(m) m.nothing() end },
    })
    assert.is_truthy(tostring(err):find("api_spec", 1, true))
    assert.are.same({}, lunik.machines())
  end)

  it("takes several at once", function()
    local a, b = machines.none { name = "a" }, machines.none { name = "b" }
    a:write(0x1000, "from a")
    b:write(0x1000, "from b")
    assert.are.equal("from a", a:read(0x1000, 6))
    assert.are.equal("from b", b:read(0x1000, 6))
    assert.are.same({ a, b }, lunik.machines())
  end)

  it("knows its NUMA nodes", function()
    local m = lunik.machine {
      board = "micro", accel = "none", cpus = 2,
      objects = { { "memory-backend-ram", { id = "n1", size = "8M" } } },
      numa = { { cpus = { 0 }, memory = "16M", distances = { 10, 21 } },
        { cpus = { 1 }, memdev = "n1", distances = { 21, 10 } } },
    }
    local nodes = {}
    for _, range in ipairs(m:fwmap()) do
      if range.type == "ram" then
        nodes[range.node] = (nodes[range.node] or 0) + range.size
      end
    end
    assert.are.equal(8 << 20, nodes[1])
  end)
end)

describe("ports and memory", function()
  local m
  before_each(function() m = machines.none() end)

  it("read and write RAM", function()
    m:write(0x2000, "hello\0world")
    assert.are.equal("hello\0world", m:read(0x2000, 11))
    m:store(0x3000, 8, -2)
    assert.are.equal(-2, m:load(0x3000, 8))
    assert.are.equal(0xfe, m.memory:load(0x3000, 1))
    assert.are.equal("", m:read(0x2000, 0))
  end)

  it("fail where nothing is", function()
    assert.are.equal("access", machines.raised(m.read, m, 1 << 40, 4).code)
    assert.are.equal("access", machines.raised(m.write, m, 1 << 40, "x").code)
    assert.are.equal("access", machines.raised(m.load, m, 1 << 40, 4).code)
    assert.are.equal("access", machines.raised(m.store, m, 1 << 40, 4, 0).code)
    assert.is_nil(m.memory:find(1 << 40))
  end)

  it("read all ones from a port without a device", function()
    assert.are.same({ 0xff, "access" }, { m:inb(0x999) })
    assert.are.same({ 0xffffffff, "access" }, { m:inl(0x999) })
    assert.are.same({ "access" }, { m:outw(0x999, 0x1234) })
  end)

  it("find what is there", function()
    local found = m.memory:find(0x1234)
    assert.are.equal("ram", found.region.kind)
    assert.are.equal(0x1234, found.offset - (found.address - 0x1234) + 0)
  end)
end)

describe("a region", function()
  local m
  before_each(function() m = machines.none() end)

  it("calls Lua for its accesses", function()
    local log = {}
    local region = m:region {
      kind = "io", name = "mine", size = 8,
      read = function(offset, size)
        log[#log + 1] = ("r%d/%d"):format(offset, size)
        return 0xa0 + offset
      end,
      write = function(offset, size, value)
        log[#log + 1] = ("w%d/%d=%x"):format(offset, size, value)
      end,
    }
    m.io.root:add(region, 0x500)
    assert.are.equal(0xa3, m:inb(0x503))
    m:outw(0x504, 0xbeef)
    assert.are.same({ "r3/1", "w4/2=beef" }, log)
    assert.are.equal(1, region.stats.reads)
    assert.are.equal(1, region.stats.writes)
    m.io.root:del(region)
    assert.are.same({ 0xff, "access" }, { m:inb(0x503) })
  end)

  it("refuses what its functions refuse", function()
    m.io.root:add(m:region {
      kind = "io", size = 4, read = function() end, write = function() return false end,
    }, 0x500)
    assert.are.same({ 0xff, "device" }, { m:inb(0x500) })
    assert.are.same({ "device" }, { m:outb(0x500, 1) })
  end)

  it("stays mapped with its functions without its handle", function()
    local inner = m:region { kind = "container", size = 0x100 }
    inner:add(m:region { kind = "io", size = 4, read = function() return 7 end }, 0x10)
    m.io.root:add(inner, 0x500)
    inner = nil -- luacheck: ignore 311
    machines.collect()
    assert.are.equal(7, m:inb(0x510))
  end)

  it("keeps an alias's target and its functions", function()
    local target = m:region { kind = "io", size = 0x10, read = function(offset) return offset end }
    m.io.root:add(m:region { kind = "alias", target = target, offset = 8, size = 4 }, 0x500)
    target = nil -- luacheck: ignore 311
    machines.collect()
    assert.are.equal(9, m:inb(0x501))
  end)

  it("has fields that can be set", function()
    local region = m:region { kind = "io", size = 4, read = function() return 1 end }
    m.io.root:add(region, 0x500, { priority = 3 })
    assert.are.same({ "io", 4, 0x500, 3, true }, { region.kind, region.size, region.offset,
      region.priority, region.enabled })
    assert.are.equal(m.io.root, region.parent)
    region.enabled = false
    assert.are.equal(0xff, (m:inb(0x500)))
    region.enabled = true
    region.offset = 0x600
    assert.are.equal(1, (m:inb(0x600)))
    region.size = 1
    assert.are.equal(0xff, (m:inb(0x601)))
    region.priority = -1
    assert.are.equal(-1, region.priority)
  end)

  it("shows a backend's RAM", function()
    local backend = m:object_add("memory-backend-ram", { id = "extra", size = "2M" })
    local region = m:region { kind = "ram", memdev = backend }
    assert.are.equal(2 << 20, region.size)
    m.memory.root:add(region, "4G")
    m:store(4 << 30, 4, 0x12345678)
    assert.are.equal(0x12345678, m:load(4 << 30, 4))
    assert.are.equal(region, m.memory:find(4 << 30).region)
  end)

  it("changes together in a transaction, or not at all", function()
    local a = m:region { kind = "io", size = 1, read = function() return 1 end }
    local b = m:region { kind = "io", size = 1, read = function() return 2 end }
    local result = m:transaction(function(x)
      m.io.root:add(a, 0x500)
      m.io.root:add(b, 0x501)
      return x * 2
    end, 21)
    assert.are.equal(42, result)
    assert.are.equal(2, (m:inb(0x501)))
    local err = machines.raised(m.transaction, m, function()
      m.io.root:del(a)
      error("changed my mind", 0)
    end)
    assert.are.equal("changed my mind", err)
    assert.are.equal(1, (m:inb(0x500)))
  end)

  it("lets its handler use other regions, and stops endless recursion", function()
    m.io.root:add(m:region { kind = "io", size = 1, read = function() return 5 end }, 0x500)
    m.io.root:add(m:region {
      kind = "io", size = 1, read = function() return m:inb(0x500) + 1 end,
    }, 0x501)
    assert.are.equal(6, (m:inb(0x501)))
    local depth = 0
    m.io.root:add(m:region {
      kind = "io", size = 1, read = function()
        depth = depth + 1
        return m:inb(0x502)
      end,
    }, 0x502)
    assert.are.equal(0xff, (m:inb(0x502)))
    assert.is_true(depth >= 1 and depth < 1000)
  end)
end)

describe("interrupt lines", function()
  it("are driven by sources and watched", function()
    local m = machines.none()
    local seen = {}
    local watch = m:on_irq(function(gsi, level) seen[#seen + 1] = { gsi, level } end)
    local a, b = m:irq(5), m:irq(5)
    a:set(true)
    b:set(true)
    a:set(false)
    assert.is_true(m:irq_level(5))
    b:set(false)
    assert.is_false(m:irq_level(5))
    assert.are.same({ { 5, true }, { 5, false } }, seen)
    assert.are.equal(1, m:irq_count(5))
    watch:off()
    a:pulse()
    assert.are.equal(2, m:irq_count(5))
    assert.are.equal(2, #seen)
    a:set(true)
    a:close()
    assert.is_false(m:irq_level(5))
    assert.are.equal("gone", machines.raised(a.set, a, true).code)
  end)

  it("stay high when a handle is forgotten", function()
    local m = machines.none()
    m:irq(6):set(true)
    machines.collect()
    assert.is_true(m:irq_level(6))
  end)
end)

describe("the clock", function()
  it("moves by hand and fires timers", function()
    local m = machines.none { clock = "manual" }
    m:start()
    local fired = {}
    local timer = m:timer(function() fired[#fired + 1] = m:clock() end)
    local start = m:clock()
    timer:set(1000)
    m:advance(999)
    assert.are.same({}, fired)
    m:advance(1)
    assert.are.same({ start + 1000 }, fired)
    timer:set(10)
    timer:cancel()
    m:advance(100)
    assert.are.equal(1, #fired)
  end)

  it("fires a timer without its handle", function()
    local m = machines.none { clock = "manual" }
    m:start()
    local fired
    m:timer(function() fired = true end):set(5)
    machines.collect()
    m:advance(5)
    assert.is_true(fired)
  end)
end)

describe("resets", function()
  it("are not started by what their reset calls", function()
    local m = machines.none()
    local codes = {}
    m:on_reset(function() codes[#codes + 1] = machines.raised(m.start, m).code end)
    m:start()
    m:reset()
    assert.are.same({ "state", "state" }, codes)
    assert.are.equal("running", m.state)
  end)

  it("call on_reset after the devices", function()
    local m = machines.none()
    local count = 0
    local subscription = m:on_reset(function() count = count + 1 end)
    m:start()
    assert.are.equal(1, count)
    m:reset()
    assert.are.equal(2, count)
    subscription:off()
    m:reset()
    assert.are.equal(2, count)
  end)

  it("put ROMs back", function()
    local m = machines.none()
    m:rom_add("table", 0x4000, "pristine")
    assert.are.equal("pristine", m:read(0x4000, 8))
    m:write(0x4000, "scribble")
    m:start()
    assert.are.equal("pristine", m:read(0x4000, 8))
  end)
end)

describe("the console", function()
  local function print_to(m, text)
    for i = 1, #text do
      m:outb(0x3f8, text:byte(i))
    end
  end

  it("keeps text for expect and read", function()
    local m = machines.none { serial = "buffer" }
    m:start()
    local console = m:console()
    print_to(m, "boot ok\nslot 3 added\nrest")
    assert.are.equal("3", console:expect "slot (%d+) added")
    assert.are.equal("\nrest", console:peek())
    assert.are.equal("\nrest", console:read())
    assert.are.equal("", console:read())
    assert.are.equal("boot ok\nslot 3 added\nrest", console:text())
    print_to(m, "a.b")
    assert.are.equal("a.b", console:expect("a.b", { plain = true }))
  end)

  it("says what is wrong with a pattern, however late it is found", function()
    local m = machines.none { serial = "buffer" }
    for pattern, what in pairs { ["("] = "it has a '('", ["ab["] = "it has a '['" } do
      for byte in ("ab"):gmatch "." do m:outb(0x3f8, byte:byte()) end
      local err = machines.raised(m:console().expect, m:console(), pattern, { timeout = 1 })
      assert.are.equal("invalid", err.code)
      assert.matches(("expect: '%s' is not a pattern: %s"):format(pattern, what), err.message, 1,
        true)
    end
    m:console():expect("ab", { plain = true })
  end)

  it("waits for text, from a coroutine and from the main chunk", function()
    local m = machines.none { serial = "buffer" }
    m:start()
    local got
    lunik.spawn(function() got = m:console():expect "coroutine" end)
    lunik.spawn(function()
      lunik.sleep(0.01)
      print_to(m, "for the coroutine")
      lunik.sleep(0.01)
      print_to(m, ", for main")
    end)
    assert.are.equal("main", m:console():expect("main", { timeout = 5 }))
    assert.are.equal("coroutine", got)
  end)

  it("quotes the output that came instead when the time is up", function()
    local m = machines.none { serial = "buffer" }
    m:start()
    print_to(m, "panic: no root")
    local err = machines.raised(function() m:console():expect("login:", { timeout = 0.01 }) end)
    assert.are.equal("timeout", err.code)
    assert.is_truthy(err.message:find("panic: no root", 1, true))
  end)

  it("hands text to a function", function()
    local text = ""
    local m = machines.none { serial = function(bytes) text = text .. bytes end }
    m:start()
    print_to(m, "hello")
    lunik.run "nowait"
    assert.are.equal("hello", text)
    assert.are.equal("ell", m:console():expect "ell")
  end)

  it("types into the serial port", function()
    local m = machines.none { serial = "buffer" }
    m:start()
    m:console():write "x"
    assert.are.equal(("x"):byte(), (m:inb(0x3f8)))
  end)
end)

describe("luv", function()
  local found, uv = pcall(require, "luv")
  it("drives the loop", function()
    if not found then
      return pending("luv is not installed")
    end
    lunik.use_luv(uv)
    local m = machines.none()
    local order = {}
    m:on("started", function() order[#order + 1] = "started" end)
    local timer = uv.new_timer()
    timer:start(20, 0, function()
      order[#order + 1] = "luv"
      timer:close()
      m:shutdown()
    end)
    m:start()
    m:wait("shutdown", { timeout = 5 })
    assert.are.same({ "started", "luv" }, order)
    local slept
    lunik.spawn(function()
      lunik.sleep(0.01)
      slept = true
    end)
    uv.run()
    assert.is_true(slept)
  end)

  it("does not go on waiting after what was waited for", function()
    if not found then
      return pending("luv is not installed")
    end
    lunik.use_luv(uv)
    local m = machines.none()
    m:start()
    local late = false
    local timers = { uv.new_timer(), uv.new_timer() }
    timers[1]:start(2000, 0, function() late = true end)
    for i = 1, 3 do
      local watch <close> = m:watch "asked"
      timers[2]:start(5, 0, function() m:emit("asked", { number = i }) end)
      assert.equal(i, watch:wait({ timeout = 20 }).number)
    end
    lunik.defer(lunik.stop)
    lunik.run()
    assert.is_false(late)
    for _, timer in ipairs(timers) do timer:close() end
    uv.run "nowait"
  end)
end)
