-- The host runs short: descriptors, disk, huge pages, standard streams, memory files that shrink.
local lunik = require "lunik"
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local process = require "spec.support.process"
local small = require "spec.support.small_guest"

-- Runs a script with the lunik command in a shell that has set its limits before; returns what it
-- wrote and its exit code. through: a command that starts it; option: one of the lunik command.
local function limited(limits, script, redirections, through, option)
  local file <close> = command.file('local lunik = require "lunik"\n' .. script, ".lua")
  local out, err, code = command.run(("%s; exec %s %s %s %s %s"):format(limits, through or "",
    command.lunik, option or "", file, redirections or ""))
  return out, err, code
end

-- More than the host can have, in bytes.
local function too_much()
  local file <close> = assert(io.open "/proc/meminfo")
  local memory, swap = file:read "a":match "MemTotal:%s*(%d+).*SwapTotal:%s*(%d+)"
  return 4096 * (tonumber(memory) + tonumber(swap))
end

-- Makes a control group for some memory; its folder, or nil.
local function control_group(bytes)
  for _, at in ipairs { { "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
    { "/sys/fs/cgroup", "memory.max" } } do
    local folder = ("%s/lunik-spec-%d"):format(at[1], math.random(1 << 30))
    if io.open(at[1] .. "/cgroup.procs") and os.execute("mkdir " .. folder .. " 2>/dev/null") then
      local file = io.open(folder .. "/" .. at[2], "w")
      if file and file:write(bytes) and file:close() then return folder end
      os.execute("rmdir " .. folder)
    end
  end
end

-- As many machines as there can be, then none, then one that runs.
local UNTIL_FULL = [[
  local process = require "spec.support.process"
  lunik.machine(%s):close()
  local before = process.holds()
  local list, ok, err = {}, true, nil
  while ok do
    ok, err = pcall(lunik.machine, %s)
    list[#list + 1] = ok and err or nil
  end
  print(#list, err.code, err.message)
  for _, m in ipairs(list) do m:close() end
  lunik.sleep(0.1) -- descriptors of memory are closed a little later
  assert(process.left_behind(before) == nil, process.left_behind(before))
  local m <close> = lunik.machine(%s)
  m:start()
  print(m.state)
]]

local function until_full(fds, options)
  local out, err, code = limited("ulimit -n " .. fds, UNTIL_FULL:format(options, options, options))
  assert.equal(0, code, out .. err)
  local count, kind, message = out:match "^(%d+)\t(%S+)\t([^\n]*)\nrunning\n"
  assert.is_truthy(count, out .. err)
  assert.equal("no-space", kind)
  assert.matches("too many open files", message, 1, true)
  return tonumber(count)
end

describe("a host without", function()
  after_each(machines.close_all)

  it("descriptors: for a start", function()
    if process.sanitized() then return pending "a sanitizer has some of its own" end
    for fds = 4, 9 do
      local _, err, code = limited("ulimit -n " .. fds, "lunik.machine { accel = 'none' }")
      assert.equal(1, code, err)
      assert.matches("^lunik: .*[tT]oo many open files\n$", err)
    end
  end)

  it("descriptors: machines until there are none left", function()
    local options = '{ accel = "none", board = "micro", memory = "16M", objects = '
      .. '{ { "memory-backend-memfd", { id = "ram", size = "16M" } } }, memdev = "ram" }'
    assert.is_true(until_full(64, options) > 8)
    if process.sanitized() then return end -- whose shadow of it all takes its time
    assert.is_true(until_full(1024, options) > 300)
  end)

  it("descriptors: the same with KVM", function()
    if small.unavailable() then return pending(small.unavailable()) end
    for fds = 64, 64 + 21 do -- a machine's: each of its opens is the first to fail
      assert.is_true(until_full(fds, '{ memory = "16M", serial = "buffer", cpus = 2 }') > 3)
    end
  end)

  -- A file that came to lie on one of their descriptors would get what was meant for them.
  it("standard streams: nothing else takes their place", function()
    for closed = 0, 7 do
      local log <close> = command.file ""
      local ram <close> = command.file(("\0"):rep(65536))
      local redirections = (closed & 1 ~= 0 and "<&- " or "") .. (closed & 2 ~= 0 and ">&- " or "")
        .. (closed & 4 ~= 0 and "2>&- " or "")
      local out, err, code = limited("true", ([[
        local m = lunik.machine { accel = "none", board = "micro", memory = "16M",
          serial = "stdio" }
        m:object_add("chardev-file", { id = "log", path = "%s" })
        m:device_add("serial16550", { id = "second", iobase = 0x2f8, irq = 3, chardev = "log" })
        m:object_add("memory-backend-file", { id = "file", mem_path = "%s", size = 65536,
          share = true })
        m.memory.root:add(m:region { kind = "ram", memdev = "file" }, 0x80000000)
        m:start()
        m:write(0x80000000, "guest")
        for _ = 1, 3 do
          m:outb(0x3f8, 65)
          m:outb(0x2f8, 66)
        end
        print "out"
        io.stderr:write "err"
        m:close()
        os.exit(7)
      ]]):format(log, ram), redirections)
      assert.equal(7, code, redirections .. err)
      assert.equal("BBB", command.read(log))
      assert.equal("guest" .. ("\0"):rep(65536 - 5), command.read(ram))
      if closed & 2 == 0 then
        assert.equal("AAA", (out:gsub("out\n", "", 1)))
      else
        assert.equal("", out)
      end
      assert.equal(closed & 4 == 0 and "err" or "", err)
    end
  end)

  it("a disk that takes more: output files", function()
    local m = machines.none { serial = "file:/dev/full" }
    local seen = m:watch "*"
    m:start()
    for _ = 1, 100 do m:outb(0x3f8, 65) end
    lunik.sleep(0.05)
    local told
    for ev in function() return seen:poll() end do
      told = told or ev.name:find "chardev" and ev
    end
    assert.is_truthy(told, "there is no report")
    assert.equal("running", m.state)
  end)

  it("room for larger files", function()
    local path <close> = command.file ""
    local out, err, code = limited("ulimit -f 8", ([[
      local m = lunik.machine { accel = "none", board = "micro", memory = "16M",
        serial = "file:%s" }
      m:start()
      for i = 1, 10000 do m:outb(0x3f8, 65) end
      lunik.sleep(0.05)
      print(select(2, pcall(m.object_add, m, "memory-backend-file", { id = "f", size = "16M",
        mem_path = %q })).code)
      print(select(2, pcall(m.object_add, m, "memory-backend-memfd", { id = "f", size = "16M" }))
        .message)
      print(m.state)
      m:close()
    ]]):format(path, command.memory_folder))
    assert.equal(0, code, err)
    assert.matches("^io\n[^\n]*f[^\n]*file too large\nrunning\n$", out)
  end)

  it("memory to preallocate", function()
    local function try(before)
      -- should it be tried after all, this process is the one to end
      local out, err, code = limited("echo 1000 >/proc/self/oom_score_adj; ulimit -t 20", ([[
        %s
        local m = lunik.machine { accel = "none", board = "micro", memory = "16M" }
        for _, type in ipairs { "ram", "memfd" } do
          m:object_add("memory-backend-" .. type, { id = type, size = "16M", prealloc = true })
        end
        print(pcall(m.object_add, m, "memory-backend-memfd", { id = "m", size = %d,
          prealloc = true }))
        print(#m:objects())
        m:object_add("memory-backend-memfd", { id = "m", size = %d })
      ]]):format(before, too_much(), too_much()))
      assert.equal(0, code, err)
      assert.matches("memory%-backend%-memfd: m: prealloc: needs %d+ bytes of memory, the host has "
        .. "%d+ left, including swap\n%d+\n$", out)
    end
    try ""
    if not process.sanitized() then try "lunik.sandbox {}" end
  end)

  -- The same in a control group with a limit: one process more than that, and it would be ended.
  it("memory to preallocate in its control group", function()
    if process.sanitized() then return pending "a sanitizer needs more" end
    local group = control_group(100 << 20)
    if not group then return pending "this user can't make a control group" end
    finally(function() assert(os.execute("rmdir " .. group)) end)
    for _, option in ipairs { "", "--sandbox=none" } do
      local out, err, code = limited(("echo $$ >%s/cgroup.procs"):format(group), [[
        local m = lunik.machine { accel = "none", board = "micro", memory = "16M" }
        local function add(type, size)
          return pcall(m.object_add, m, "memory-backend-" .. type, { id = type .. size,
            size = size, prealloc = true })
        end
        for _, type in ipairs { "ram", "memfd" } do
          assert(add(type, "30M"))
          print(select(2, add(type, "200M")))
        end
      ]], nil, nil, option)
      assert.equal(0, code, err)
      for _, type in ipairs { "ram", "memfd" } do
        assert.matches(type .. "200M: prealloc: needs 210124800 bytes of memory, this process's "
          .. "control group leaves it %d+, including swap\n", out)
      end
    end
  end)

  it("address space: memory, preallocated or not", function()
    if process.sanitized() then return pending "a sanitizer needs more" end
    local out, err, code = limited("ulimit -v 1000000", [[
      local m = lunik.machine { accel = "none", board = "micro", memory = "16M" }
      for _, prealloc in ipairs { false, true } do
        for _, type in ipairs { "ram", "memfd" } do
          print(select(2, pcall(m.object_add, m, "memory-backend-" .. type, { id = "m",
            size = "2G", prealloc = prealloc })))
        end
      end
      local list, ok, err = {}, true
      while ok do
        ok, err = pcall(m.object_add, m, "memory-backend-ram", { id = "m" .. #list,
          size = "16M", prealloc = true, prealloc_threads = 2 })
        list[#list + 1] = ok and err or nil
      end
      print(err)
      for _, object in ipairs(list) do m:object_del(object.id) end
      lunik.sleep(0.05)
      m:object_add("memory-backend-ram", { id = "m", size = "64M", prealloc = true })
      m:close()
      print "goes on"
    ]])
    assert.equal(0, code, out .. err)
    local full = "[^\n]*: m%d*: size: %d+ bytes are more than the host can map\n"
    assert.matches("^" .. full:rep(5) .. "goes on\n$", (out:gsub("prealloc: can't start a worker "
      .. "thread", "size: 1 bytes are more than the host can map")))
  end)

  it("huge pages", function()
    local m = machines.none()
    local held = process.holds()
    for _, prealloc in ipairs { false, true } do
      local err = machines.raised(m.object_add, m, "memory-backend-memfd",
        { id = "huge", size = "8T", hugetlb = true, prealloc = prealloc })
      assert.equal("no-memory", err.code)
      assert.matches("huge: the host has too few free huge pages", err.message, 1, true)
    end
    assert.is_nil(process.left_behind(held))
  end)
end)

describe("a file system of a megabyte", function()
  -- Runs a script with such a one mounted at /mnt, which is its own; returns what it wrote.
  local function on_full_disk(script)
    local out, err, code = limited("true", script, nil,
      "unshare -rm sh -c 'mount -t tmpfs -o size=1M tmpfs /mnt && exec \"$0\" \"$@\"'")
    assert.equal(0, code, out .. err)
    return out
  end

  local function unavailable()
    return os.execute "unshare -rm mount -t tmpfs tmpfs /mnt 2>/dev/null" == nil
      and "this user can't mount a tmpfs"
  end

  it("memory files are refused, or end where it ends", function()
    if unavailable() then return pending(unavailable()) end
    local out = on_full_disk [[
      local m = lunik.machine { accel = "none", board = "micro", memory = "16M" }
      local function add(id, props)
        props.id, props.size, props.mem_path = id, "4M", "/mnt"
        return pcall(m.object_add, m, "memory-backend-file", props)
      end
      print(select(2, add("a", { prealloc = true, share = true })))
      print(select(2, add("b", { prealloc = true, prealloc_threads = 2 })))
      assert(add("c", { share = true }))
      m:on("error", function(ev) print(ev.message) end)
      m.memory.root:add(m:region { kind = "ram", memdev = "c" }, 0x80000000)
      m:start()
      for at = 0, (4 << 20) - 1, 4096 do m:write(0x80000000 + at, "abc") end
      lunik.sleep(0)
      print(m.state, m:read(0x80000000, 3), m:read(0x80000000 + (4 << 20) - 4096, 3))
      m:resume()
      print(m.state)
      m:close()
    ]]
    local refused = "prealloc: needs 4194304 bytes of its file system, which has %d+ left\n"
    assert.matches("^[^\n]*a: " .. refused .. "[^\n]*b: " .. refused
      .. "c: a part of this memory is lost and reads as zeros[^\n]*\n"
      .. "paused\tabc\tabc\nrunning\n$", out)
  end)

  it("a guest that touches what is not there crashes, its neighbour goes on", function()
    if small.unavailable() then return pending(small.unavailable()) end
    if unavailable() then return pending(unavailable()) end
    local out = on_full_disk [[
      local small = require "spec.support.small_guest"
      local m <close> = small.machine { name = "one" }
      local other <close> = small.machine { name = "two" }
      small.start(m)
      small.start(other)
      m:object_add("memory-backend-file", { id = "file", mem_path = "/mnt", size = "4M",
        share = true })
      m.memory.root:add(m:region { kind = "ram", memdev = "file" }, 0x80000000)
      local crashed = m:watch "crashed"
      m:console():write "fill 0x80000000 0x400000 7\n"
      print(crashed:wait({ timeout = small.TIMEOUT }).message)
      print(m.state, (select(2, small.run(other, "time"))))
    ]]
    assert.matches("^run%-error: bad address in system call argument\ncrashed\t", out)
  end)

  it("output is lost, and that is reported", function()
    if unavailable() then return pending(unavailable()) end
    local out = on_full_disk [[
      local other = assert(io.open("/mnt/other", "w"))
      assert(other:write(("x"):rep(1000 << 10)))
      assert(other:close())
      local m = lunik.machine { accel = "none", board = "micro", memory = "16M",
        serial = "file:/mnt/log" }
      m:start()
      for _ = 1, 50000 do m:outb(0x3f8, 65) end
      local ev = m:wait("chardev-error", { timeout = 10 })
      print(ev.object, ev.message, m.state)
      m:close()
      local file <close> = io.open "/mnt/log"
      local text = file:read "a"
      print(text == ("A"):rep(#text), #text > 0)
    ]]
    assert.equal("serial-chardev\tno space left on device\trunning\ntrue\ttrue\n", out)
  end)
end)

describe("a memory file that is truncated", function()
  after_each(machines.close_all)

  local function truncated(m, size)
    local path = command.file(("x"):rep(size))
    m:object_add("memory-backend-file", { id = "file", mem_path = tostring(path), size = size,
      share = true })
    m.memory.root:add(m:region { kind = "ram", memdev = "file" }, 0x80000000)
    assert(io.open(tostring(path), "w")):close()
    return path
  end

  it("reads as zeros, and pauses the machine", function()
    local m = machines.none()
    local errors = m:watch "error"
    m:start()
    local path <close> = truncated(m, 8192)
    assert.equal(("\0"):rep(16), m:read(0x80000000, 16))
    m:write(0x80001000, "abc")
    assert.equal("abc", m:read(0x80001000, 3))
    local ev = errors:wait { timeout = 5 }
    assert.matches("file: a part of this memory is lost and reads as zeros", ev.message, 1, true)
    assert.equal("paused", m.state)
    m:resume()
    assert.equal("running", m.state)
    assert.equal(m:hash(0x80000010, 16, "xxh64"), m:hash(0x80000000, 16, "xxh64"))
    assert.is_truthy(path)
  end)

  it("crashes only the guest that uses it", function()
    if small.unavailable() then return pending(small.unavailable()) end
    local m, other = small.machine { name = "one" }, small.machine { name = "two" }
    small.start(m)
    small.start(other)
    local path <close> = truncated(m, 8192)
    local crashed = m:watch "crashed"
    m:console():write "hash 0x80000000 64\n"
    assert.equal("run-error", crashed:wait({ timeout = small.TIMEOUT }).reason)
    assert.matches("time", select(2, small.run(other, "time")))
    small.start(m)
    assert.is_truthy(path)
  end)
end)
