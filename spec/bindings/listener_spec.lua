-- Listeners of the memory map, written in Lua.
local lunik = require "lunik"
local machines = require "spec.support.machines"

describe("m:listen", function()
  local m, window

  before_each(function()
    m = machines.none()
    window = m:region { kind = "container", name = "window", size = "1M" }
    m.memory.root:add(window, "1G")
  end)

  after_each(machines.close_all)

  local function io(name, size)
    return m:region {
      kind = "io", name = name, size = size or 0x1000, read = function() return 0 end,
    }
  end

  -- Adds a listener of memory that appends its calls to log, as "name+section@address".
  local function recorder(log, name, options)
    local function section(mark)
      return function(s) log[#log + 1] = ("%s%s%s@%x"):format(name, mark, s.name, s.address) end
    end
    local all = {
      name = name, space = m.memory,
      begin = function() log[#log + 1] = name .. "begin" end,
      commit = function() log[#log + 1] = name .. "commit" end,
      region_add = section "+", region_del = section "-", region_nop = section "=",
    }
    for key, value in pairs(options or {}) do
      all[key] = value or nil
    end
    return m:listen(all)
  end

  -- Returns the calls since the last time.
  local function take(log)
    local text = table.concat(log, " ")
    for i = #log, 1, -1 do
      log[i] = nil
    end
    return text
  end

  it("gives a new listener all sections, and removes them when the listener is removed", function()
    window:add(io "a", 0)
    local log = {}
    local listener = recorder(log, "")
    local replay = take(log)
    assert.matches("^begin .*%+a@40000000.* commit$", replay)
    local _, adds = replay:gsub("%+", "")
    listener:remove()
    local unwound = take(log)
    local _, dels = unwound:gsub("%-a?", "")
    assert.matches("^begin .*%-a@40000000.* commit$", unwound)
    assert.are.equal(adds, dels)
    assert.is_false(listener.active)
    listener:remove()
    window:add(io "b", 0x1000)
    assert.are.equal("", take(log))
  end)

  it("calls in the documented order", function()
    local log = {}
    recorder(log, "2", { priority = 2 })
    recorder(log, "1", { priority = 1 })
    take(log)
    local a, b = io "a", io "b"
    m:transaction(function()
      window:add(a, 0)
      window:add(b, 0x1000)
    end)
    assert.are.equal("1begin 2begin 1+a@40000000 2+a@40000000 1+b@40001000 2+b@40001000 "
      .. "1commit 2commit", take(log))
    m:transaction(function()
      window:del(a)
      b.offset = 0x8000
    end)
    assert.are.equal("1begin 2begin 2-a@40000000 1-a@40000000 2-b@40001000 1-b@40001000 "
      .. "1+b@40008000 2+b@40008000 1commit 2commit", take(log))
    b.size = 0x2000
    b.size = 0x2000
    assert.are.equal("1begin 2begin 2-b@40008000 1-b@40008000 1+b@40008000 2+b@40008000 "
      .. "1commit 2commit", take(log))
  end)

  it("calls those of one priority in the order of registration", function()
    local log = {}
    recorder(log, "a")
    recorder(log, "b")
    take(log)
    local r = io "r"
    window:add(r, 0)
    window:del(r)
    assert.are.equal("abegin bbegin a+r@40000000 b+r@40000000 acommit bcommit "
      .. "abegin bbegin b-r@40000000 a-r@40000000 acommit bcommit", take(log))
  end)

  it("takes back what those before one that refuses have heard", function()
    local log, refuse = {}, false
    local function note(mark)
      return function(s) log[#log + 1] = mark .. s.name end
    end
    recorder(log, "", { eventfd_add = note "e+", eventfd_del = note "e-",
      coalesced_add = note "c+", coalesced_del = note "c-" })
    m:listen { name = "picky", priority = 1, commit = function() return not refuse end }
    local old, new = io "old", io "new"
    window:add(old, 0)
    for i, r in ipairs { old, new } do
      r:coalesce(16 * i, 16)
      r:ioeventfd { offset = 4, size = 4, match = i, on = function() end }
    end
    take(log)
    refuse = true
    machines.raised(m.transaction, m, function()
      window:del(old)
      window:add(new, 0)
    end)
    assert.are.equal("begin e-old c-old -old@40000000 +new@40000000 e+new c+new commit "
      .. "begin e-new c-new -new@40000000 +old@40000000 e+old c+old commit", take(log))
  end)

  it("describes a section", function()
    m:object_add("memory-backend-memfd", { id = "mem", size = "4M" })
    local seen
    local ram = m:region {
      kind = "ram", name = "ram", memdev = "mem", ram_offset = "1M", size = "2M",
    }
    local alias = m:region {
      kind = "alias", name = "low", target = ram, offset = "64K", size = "64K", readonly = true,
    }
    m:listen {
      space = m.memory,
      region_add = function(s) if s.name == "ram" then seen = s end end,
    }
    window:add(alias, "64K")
    assert.are.equal(ram, seen.region)
    assert.are.equal(m.memory, seen.space)
    assert.are.equal("ram", seen.kind)
    assert.are.equal("mem", seen.owner.id)
    assert.are.equal(64 << 10, seen.offset)
    assert.are.equal((1 << 30) + (64 << 10), seen.address)
    assert.are.equal(64 << 10, seen.size)
    assert.is_true(seen.readonly)
    assert.is_true(seen.romd)
    assert.are.equal("number", type(seen.fd))
    assert.are.equal((1 << 20) + (64 << 10), seen.fd_offset)
    assert.is_false(seen.nonvolatile)
    assert.are.equal(0, seen.log_mask)
    assert.are.same(seen, m.memory:find(seen.address))
  end)

  it("says where in a file memory is that can be mapped", function()
    m:object_add("memory-backend-memfd", { id = "mem", size = "4M" })
    local seen = {}
    m:listen { space = m.memory, region_add = function(s) seen[s.name] = s end }
    window:add(m:region { kind = "ram", name = "whole", memdev = "mem", size = "64K" }, 0)
    window:add(m:region { kind = "ram", name = "part", fd = seen.whole.fd, fd_offset = "1M",
      size = "64K" }, "64K")
    assert.are.equal(0, seen.whole.fd_offset)
    assert.are.equal(1 << 20, seen.part.fd_offset)
    local flash = m:region { kind = "rom-device", name = "flash", memdev = "mem", size = "64K",
      write = function() end }
    window:add(flash, "128K")
    assert.are.equal("number", type(seen.flash.fd))
    flash.romd = false
    assert.is_nil(seen.flash.fd)
  end)

  it("says of sections how they are read, whether they last, and who logs them", function()
    local seen = {}
    m:object_add("memory-backend-ram", { id = "mem", size = "4K" })
    local flash = m:region { kind = "rom-device", name = "flash", memdev = "mem",
      write = function() end }
    local ram = m:region { kind = "ram", name = "nvdimm", memdev = "mem", nonvolatile = true }
    m:listen { space = m.memory, region_add = function(s) seen[s.name] = s end }
    window:add(flash, 0)
    assert.is_true(seen.flash.romd)
    flash.romd = false
    assert.is_false(seen.flash.romd)
    local dirty = m:dirty { client = "display" }
    dirty:start()
    window:add(ram, 0x1000)
    assert.is_true(seen.nvdimm.nonvolatile)
    assert.is_false(seen.flash.nonvolatile)
    assert.are.equal(2, seen.nvdimm.log_mask)
    dirty:stop()
  end)

  it("follows one space, or all spaces", function()
    local one, all = {}, {}
    m:listen { space = m.io, region_add = function(s) one[#one + 1] = s.space.name end }
    m:listen { region_add = function(s) all[s.space.name] = true end }
    window:add(io "a", 0)
    m.io.root:add(io("p", 1), 0x1234)
    for _, name in ipairs(one) do
      assert.are.equal("I/O", name)
    end
    assert.are.same({ memory = true, ["I/O"] = true }, all)
  end)

  it("lets commit refuse, by raising and by returning", function()
    local log = {}
    local why
    recorder(log, "", { commit = function()
      if why then return why() end
    end })
    take(log)
    local before = m:mtree() .. m:mtree { flat = true }
    for name, refuse in pairs {
      raised = function() error("raised", 0) end,
      object = function() error(lunik.error("no-space", "object"), 0) end,
      returned = function() return "returned" end,
      ["returned object"] = function() return lunik.error("no-space", "returned object") end,
      pair = function() return nil, "pair" end,
      refused = function() return false end,
    } do
      why = refuse
      local err = machines.raised(m.transaction, m, function()
        m:object_add("memory-backend-ram", { id = "mem", size = "2M" })
        window:add(m:region { kind = "ram", name = "a", memdev = "mem" }, 0, { overlap = true })
      end)
      assert.are.equal("listener '': " .. name, err.message)
      assert.are.equal(name:match "object" and "no-space" or "script", err.code)
      assert.are.equal("begin +a@40000000 begin -a@40000000", take(log))
      assert.are.equal(before, m:mtree() .. m:mtree { flat = true })
      assert.is_nil(m:object "mem")
    end
    for _, fine in ipairs { function() return true end, function() return 1 end } do
      why = fine
      local a = io "a"
      window:add(a, 0)
      window:del(a)
    end
  end)

  it("reports once that all memory is logged, by any number of clients", function()
    local log = {}
    m:listen {
      log_global_start = function() log[#log + 1] = "start" end,
      log_global_stop = function() log[#log + 1] = "stop" end,
    }
    local first, second = m:dirty(), m:dirty { client = "migration" }
    first:start()
    second:start()
    first:stop()
    assert.are.same({ "start" }, log)
    second:stop()
    assert.are.same({ "start", "stop" }, log)
  end)

  it("ends logging for a listener that is refused", function()
    local dirty <close> = m:dirty():start() -- luacheck: ignore 211
    local log = {}
    machines.raised(m.listen, m, {
      log_global_start = function() log[#log + 1] = "start" end,
      log_global_stop = function() log[#log + 1] = "stop" end,
      commit = function() return "no" end,
    })
    assert.are.same({ "start", "stop" }, log)
  end)

  it("refuses a listener that refuses what there is", function()
    local options = { name = "picky", commit = function() return "no" end }
    local err = machines.raised(m.listen, m, options)
    assert.are.equal("listener 'picky': no", err.message)
    window:add(io "a", 0)
  end)

  it("reports what other hooks raise", function()
    local messages = {}
    m:on("error", function(ev) messages[#messages + 1] = ev.message end)
    local loud = m:listen {
      space = m.memory, region_del = function() error("oops", 0) end,
    }
    local a = io "a"
    window:add(a, 0)
    window:del(a)
    lunik.sleep(0.01)
    assert.are.same({ "oops" }, messages)
    machines.stderr(function() loud:remove() end)
    assert.is_nil(m.memory:find(1 << 30))
  end)

  it("keeps a hook from changing the memory map", function()
    local errors, a = {}, io "a"
    m:listen { space = m.memory, region_add = function(s)
      if s.name ~= "a" then return end
      for _, change in ipairs {
        function() window:add(io "b", 0x8000) end,
        function() a.enabled = false end,
        function() window:del(a) end,
        function() a.size = 1 end,
        function() m:listen {} end,
      } do
        errors[#errors + 1] = machines.raised(change).message
      end
    end }
    window:add(a, 0)
    assert.are.equal(5, #errors)
    for _, message in ipairs(errors) do
      assert.matches("^memory: the topology can't be changed by a listener", message)
    end
    assert.are.equal(a, m.memory:find(1 << 30).region)
  end)

  it("can't change the topology after it has cleared dirty pages either", function()
    local dirty <close> = m:dirty():start()
    local cleared, err
    m:listen { region_add = function(s)
      if s.name == "a" then
        cleared = dirty:clear()
        err = machines.raised(window.add, window, io "b", 0x8000)
      end
    end }
    m:write(0, "x")
    window:add(io "a", 0)
    assert.are.equal(1, cleared)
    assert.are.equal("state", err.code)
  end)

  it("keeps a hook from opening a transaction: an error would take nothing back", function()
    local errors, called = {}, false
    local function try()
      errors[#errors + 1] = machines.raised(m.transaction, m, function() called = true end)
    end
    m:listen { commit = try }
    window:add(io "a", 0)
    assert.are.equal(2, #errors)
    for _, err in ipairs(errors) do
      assert.are.equal("state", err.code)
      assert.matches("a listener of the memory map can't open a transaction", err.message)
    end
    assert.is_false(called)
  end)

  it("says so when a hook writes a register that the memory map follows", function()
    local pc = machines.pc()
    local messages, shows = {}, pc.memory:find(0xf0000)
    pc:on("error", function(ev) messages[#messages + 1] = ev.message end)
    local function write_pam(value)
      pc:outl(0xcf8, 0x80000058)
      pc:outb(0xcfd, value)
    end
    local listener = pc:listen { begin = function() write_pam(0) end }
    lunik.sleep(0.01)
    assert.matches("can't follow the guest's registers: .* by a listener", messages[1])
    assert.are.equal("paused", pc.state)
    assert.are.same(shows, pc.memory:find(0xf0000))
    listener:remove()
    write_pam(0)
    assert.is_nil(pc.memory:find(0xf0000))
  end)

  it("delays a reset and a pause that a hook requests", function()
    local pc = machines.pc()
    pc:outl(0xcf8, 0x80000058)
    pc:outb(0xcfd, 0)
    assert.is_nil(pc.memory:find(0xf0000))
    local state, shown
    pc:listen { begin = function()
      pc:reset()
      pc:pause()
      state, shown = pc.state, pc.memory:find(0xf0000)
    end }
    assert.are.equal("running", state)
    assert.is_nil(shown)
    pc:wait("reset", { timeout = 5 })
    lunik.sleep(0.01)
    assert.are.equal("pc.ram", pc.memory:find(0xf0000).name)
    assert.are.equal("paused", pc.state)
  end)

  it("does not call listeners that hooks have removed", function()
    local log, listeners = {}, {}
    for i = 1, 3 do
      listeners[i] = recorder(log, tostring(i), {
        priority = i, region_add = function(s)
          log[#log + 1] = i .. "+" .. s.name
          if i == 2 and s.name == "a" then
            listeners[2]:remove()
            listeners[3]:remove()
            listeners[2], listeners[3] = nil, nil
            collectgarbage()
          end
        end,
      })
    end
    take(log)
    window:add(io "a", 0)
    assert.are.equal("1begin 2begin 3begin 1+a 2+a 1commit", take(log))
    window:add(io "b", 0x1000)
    assert.are.equal("1begin 1+b 1commit", take(log))
    m:listen {}
    window:add(io "c", 0x2000)
    assert.are.equal("1begin 1+c 1commit", take(log))
  end)

  it("lives on without its handle, until its machine is closed", function()
    local log = {}
    recorder(log, "")
    machines.collect()
    take(log)
    window:add(io "a", 0)
    assert.are.equal("begin +a@40000000 commit", take(log))
    local listener = recorder(log, "x")
    take(log)
    m:close()
    assert.are.equal("", take(log))
    assert.is_false(listener.active)
    listener:remove()
  end)

  it("releases its functions when it is removed", function()
    local weak = setmetatable({ {} }, { __mode = "v" })
    do
      local held = weak[1]
      m:listen { begin = function() return held end }:remove()
    end
    machines.collect()
    assert.is_nil(weak[1])
  end)

  it("gets ioeventfds and coalesced ranges", function()
    local log, a = {}, io "a"
    local function note(name)
      return function(s, ...) log[#log + 1] = table.concat({ name, s.name, ... }, " ") end
    end
    m:listen {
      space = m.memory,
      coalesced_add = note "add", coalesced_del = note "del",
      eventfd_add = function(s, data, fd)
        log[#log + 1] = ("eventfd %x %d %d %s"):format(s.address, s.size, data, math.type(fd))
      end,
    }
    window:add(a, 0)
    a:coalesce(16, 16)
    a:ioeventfd { offset = 4, size = 4, match = 7, on = function() end }
    window:del(a)
    local range = ("a %d 16"):format((1 << 30) + 16)
    assert.are.same({ "add " .. range, "eventfd 40000004 4 7 integer", "del " .. range }, log)
  end)

  it("gets existing ioeventfds and coalesced ranges when it is added, and their removal", function()
    local log, a = {}, io "a"
    local function note(mark)
      return function(s) log[#log + 1] = mark .. s.name end
    end
    window:add(a, 0)
    a:coalesce(16, 16)
    a:ioeventfd { offset = 4, size = 4, on = function() end }
    local late = m:listen { space = m.memory,
      eventfd_add = function(s, data, fd)
        log[#log + 1] = data == nil and math.type(fd) == "integer" and "e+" .. s.name
      end,
      eventfd_del = note "e-",
      coalesced_add = note "c+", coalesced_del = note "c-" }
    assert.are.equal("e+a c+a", take(log))
    late:remove()
    assert.are.equal("e-a c-a", take(log))
  end)

  it("says what is wrong with its options", function()
    for options, text in pairs {
      [{ region_ad = print }] = "region_add",
      [{ commit = 1 }] = "listen: commit: '1' is not a function",
      [{ space = 1 }] = "listen: space: '1' is not one of machine",
      [{ space = machines.none { name = "other" }.memory }] = "is not one of machine 'spec'",
      [{ priority = "x" }] = "listen: priority",
    } do
      assert.matches(text, machines.raised(m.listen, m, options).message, 1, true)
    end
  end)
end)
