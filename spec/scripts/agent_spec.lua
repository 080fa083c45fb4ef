-- The agent of Linux guests, as a process of this host.
local agent_process = require "spec.support.agent_process"
local command = require "spec.support.command"
local testing = require "lunik.testing"
local lunik = require "lunik"

local function sha256sum(path)
  local out = command.run("sha256sum " .. path)
  return out:match "^%x+"
end

local function code_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err.code, err.message, err.errno
end

local function random_file(path, size)
  assert.equal(0, select(3, command.run(("head -c %d /dev/urandom >%s"):format(size, path))))
end

describe("the agent", function()
  local process, agent, folder

  before_each(function()
    folder = testing.directory()
    process = agent_process.start()
    agent = process.agent
  end)

  after_each(function()
    assert.same({ 0, 0 }, { process:close() })
  end)

  it("says who it is", function()
    local about = agent:ready()
    assert.same({ 1, "syscall" }, { about.version, about.call })
    assert.is_true(about.pid > 1)
  end)

  -- ---- files ------------------------------------------------------------------------------------

  it("writes and reads any bytes at any offset", function()
    local path, all = folder .. "/bytes", {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    local bytes = table.concat(all):rep(100)
    local file <close> = agent:open(path, { "rdwr", "create", "trunc" })
    file:pwrite(0, bytes)
    file:pwrite(30000, "end")
    file:fsync()
    assert.equal(bytes .. ("\0"):rep(30000 - #bytes) .. "end", command.read(path))
    assert.equal(bytes, file:pread(0, #bytes))
    assert.equal("end", file:pread(30000, 100))
    assert.equal("", file:pread(40000, 1))
    assert.equal(30003, (file:size()))
  end)

  it("reads a stream from where it stands", function()
    command.write(folder .. "/text", "abcdef")
    local file <close> = agent:open(folder .. "/text")
    assert.equal("abc", file:pread(nil, 3))
    assert.equal("def", file:pread(nil, 9))
    assert.equal("", file:pread(nil, 9))
  end)

  it("reads around the page cache", function()
    local path = folder .. "/direct"
    random_file(path, 1 << 20)
    local ok, file = pcall(agent.open, agent, path, { "rdwr", "direct" })
    if not ok then return pending("no O_DIRECT here: " .. file.message) end
    local _ <close> = file
    assert.equal(sha256sum(path), (file:sha256()))
    file:pwrite(4096, ("x"):rep(8192))
    assert.equal(("x"):rep(8192), command.read(path):sub(4097, 12288))
  end)

  it("computes the SHA-256 of files as sha256sum does", function()
    for _, size in ipairs { 0, 1, 55, 56, 63, 64, 65, 119, 120, 8192, 262143, 262144, 262145,
      1234567 } do
      local path = ("%s/%d"):format(folder, size)
      random_file(path, size)
      assert.same({ sha256sum(path), size }, { agent:sha256(path) })
    end
    local whole = command.read(folder .. "/1234567")
    command.write(folder .. "/part", whole:sub(1001, 501000))
    assert.same({ sha256sum(folder .. "/part"), 500000 },
      { agent:sha256(folder .. "/1234567", 1000, 500000) })
  end)

  it("fills a file with a pattern and finds where it differs", function()
    local path = folder .. "/pattern"
    local file <close> = agent:open(path, { "rdwr", "create" })
    file:fill(8, "1M", 7)
    assert.is_true(file:verify(8, "1M", 7))
    assert.same({ false, 8 }, { file:verify(8, "1M", 8) })
    file:pwrite(300001, "\0\1")
    assert.same({ false, 300000 }, { file:verify(8, "1M", 7) })
    file:fill(8, "1M", 7)
    assert.same({ false, (1 << 20) + 8 }, { file:verify(8, "2M", 7) })
    -- splitmix64 of the first word of the file
    file:fill(0, 8, 0)
    assert.equal(("<I8"):pack(0xe220a8397b1dcdaf), file:pread(0, 8))
  end)

  it("truncates, allocates, makes holes and zeroes", function()
    local path = folder .. "/range"
    local file <close> = agent:open(path, { "rdwr", "create" })
    file:allocate(0, "64K")
    assert.equal(65536, (file:size()))
    file:pwrite(0, ("y"):rep(65536))
    file:discard(4096, 8192)
    file:zero(16384, 4096)
    local want = ("y"):rep(4096) .. ("\0"):rep(8192) .. ("y"):rep(4096) .. ("\0"):rep(4096)
    assert.equal(want, file:pread(0, #want))
    file:truncate(10)
    assert.equal(("y"):rep(10), command.read(path))
  end)

  it("makes, lists, renames and removes", function()
    agent:mkdir(folder .. "/sub")
    for i = 1, 900 do command.write(("%s/sub/file-with-a-name-%d"):format(folder, i), "") end
    agent:symlink(folder .. "/link", "sub/file-with-a-name-1")
    agent:rename(folder .. "/sub/file-with-a-name-2", folder .. "/two words")
    assert.same({ "link", "sub/", "two words" }, agent:list(folder))
    assert.equal(899, #agent:list(folder .. "/sub"))
    assert.equal("sub/file-with-a-name-1", agent:readlink(folder .. "/link"))
    assert.equal("link", agent:stat(folder .. "/link").kind)
    agent:remove(folder .. "/two words")
    assert.is_nil(agent:stat(folder .. "/two words"))
    agent:mkdir(folder .. "/empty")
    agent:remove(folder .. "/empty")
    assert.same({ "not-found", "ENOENT" }, (function()
      local code, _, errno = code_of(agent.remove, agent, folder .. "/empty")
      return { code, errno }
    end)())
  end)

  it("describes files", function()
    command.write(folder .. "/five", "12345")
    assert.equal(0, select(3, command.run("chmod 640 " .. folder .. "/five")))
    local found = agent:stat(folder .. "/five")
    assert.same({ "file", 416, 5, 1 }, { found.kind, found.mode, found.size, found.links })
    found = agent:stat "/dev/null"
    assert.same({ "char", 1, 3 }, { found.kind, found.major, found.minor })
    assert.equal("dir", agent:stat("/").kind)
  end)

  it("makes device nodes", function()
    if not command.root() then return pending "not root" end
    local ok, err = pcall(agent.mknod, agent, folder .. "/node", "block", 259, 70000)
    if not ok then return pending("no device nodes here: " .. err.message) end
    local found = agent:stat(folder .. "/node")
    assert.same({ "block", 259, 70000 }, { found.kind, found.major, found.minor })
  end)

  it("reads and writes small files", function()
    local path = folder .. "/small"
    assert.same({ "not-found", "agent: write: " .. path .. ": ENOENT", "ENOENT" },
      { code_of(agent.write, agent, path, "x") })
    agent:write(path, "one\n", "create")
    agent:write(path, "two\0\n", "append")
    assert.equal("one\ntwo\0\n", agent:read(path))
    agent:write(path, "ONE")
    assert.equal("ONE\ntwo\0\n", command.read(path))
    assert.equal(command.read "/proc/version", agent:read "/proc/version")
    assert.same({ "no-space" }, { (code_of(agent.read, agent, "/dev/zero")) })
  end)

  -- ---- networks ---------------------------------------------------------------------------------

  it("connects, listens and exchanges any bytes by TCP", function()
    local listener <close> = agent:listen()
    local near <close> = agent:tcp("127.0.0.1", listener.port)
    local far <close> = listener:accept()
    assert.equal("127.0.0.1", far.address)
    local bytes = ("\0\1@%*\n\255"):rep(5000)
    near:send(bytes)
    near:shutdown()
    local got = {}
    repeat got[#got + 1] = far:receive(8000) until got[#got] == ""
    assert.equal(bytes, table.concat(got))
  end)

  it("sends and receives datagrams", function()
    local one <close> = agent:udp()
    local two <close> = agent:udp()
    one:send("hello", { address = "127.0.0.1", port = two.port })
    assert.same({ "hello", "127.0.0.1", one.port }, { two:receive() })
  end)

  it("says what did not come in time", function()
    local listener <close> = agent:listen()
    local code, message = code_of(listener.accept, listener, { timeout = 0.01 })
    assert.equal("timeout", code)
    assert.equal(("agent: no connection to port %d within 0.01 s"):format(listener.port), message)
    local near <close> = agent:tcp("127.0.0.1", listener.port)
    code, message = code_of(near.receive, near, 10, { timeout = 0.01 })
    assert.equal("timeout", code)
    assert.matches("no data from 127.0.0.1:%d+ within 0.01 s", message)
    local port = listener.port
    listener:close()
    assert.equal("ECONNREFUSED", select(3, code_of(agent.tcp, agent, "127.0.0.1", port)))
  end)

  it("describes interfaces, and pings", function()
    local lo = agent:network "lo"
    assert.same({ "127.0.0.1", "255.0.0.0", true }, { lo.address, lo.mask, lo.up })
    assert.equal("not-found", (code_of(agent.network, agent, "none0")))
    local ok, result = pcall(agent.ping, agent, "127.0.0.1", { count = 3 })
    if not ok and result.code == "denied" then return pending "no echo requests here" end
    assert.same({ sent = 3, received = 3 }, result)
  end)

  it("refuses addresses that are none", function()
    for _, address in ipairs { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4x", "a.b.c.d",
      "1..2.3", "0001.2.3.4" } do
      assert.equal("invalid", (code_of(agent.tcp, agent, address, 1)), address)
    end
    assert.equal("invalid", (code_of(agent.tcp, agent, "127.0.0.1", 65536)))
    for _, address in ipairs { "10.0.0.1", "10.0.0.1/33", "10.0.0.1/x" } do
      assert.equal("invalid", (code_of(agent.network, agent, "lo", { address = address })))
    end
  end)

  -- ---- memory, processors, log ------------------------------------------------------------------

  it("fills and checks memory", function()
    local memory <close> = agent:allocate "3M"
    memory:fill(5)
    assert.is_true(memory:verify(5))
    assert.same({ false, 0 }, { memory:verify(6) })
    local file <close> = agent:open(folder .. "/same", { "rdwr", "create" })
    file:fill(0, "3M", 5)
    assert.equal(sha256sum(folder .. "/same"), memory:sha256())
    memory:free()
    assert.equal("gone", (code_of(memory.verify, memory, 5)))
  end)

  it("works on a CPU", function()
    local cpus = agent:cpus()
    assert.is_true(cpus[0] or cpus[1])
    for n, online in pairs(cpus) do
      local ok, done = pcall(agent.work, agent, n, 1000)
      if online and ok then
        assert.same({ n, agent:work(nil, 1000).sum }, { done.cpu, done.sum })
      end
    end
    assert.equal(0xe220a8397b1dcdaf, agent:work(nil, 1).sum)
    assert.equal("invalid", (code_of(agent.work, agent, 4000, 1)))
  end)

  it("reports memory", function()
    local memory = agent:memory()
    assert.is_true(memory.total > memory.free and memory.free > 0)
    assert.equal(memory.memtotal, memory.total)
  end)

  it("does not end a system that is not its own", function()
    for _, name in ipairs { "panic", "reboot", "poweroff" } do
      assert.equal("denied", (code_of(agent[name], agent)), name)
    end
  end)

  -- ---- the protocol -----------------------------------------------------------------------------

  it("refuses what a command does not know", function()
    local function message(...) return select(2, code_of(agent.call, agent, ...)) end
    assert.equal("agent: nix: there is no such command: ENOSYS", message "nix")
    assert.equal("agent: stat: argument path is missing: EINVAL", message "stat")
    assert.equal("agent: stat: argument pth: '/' is not known to this command: EINVAL",
      message("stat", { path = "/", pth = "/" }))
    local handle = agent:call("open", { path = "/dev/null" }).handle
    assert.equal("agent: pread: argument size: '8193' is out of range: EINVAL",
      message("pread", { handle = handle, size = 8193, offset = 0 }))
  end)

  it("refuses handles and memory that are not open", function()
    for _, handle in ipairs { -1, 0, 1, 2, 255, 256, 1 << 40, "x", "" } do
      for _, name in ipairs { "close", "fsync", "size", "receive", "shutdown" } do
        local code = code_of(agent.call, agent, name, { handle = handle,
          size = name == "receive" and 1 or nil })
        assert.equal("invalid", code)
      end
    end
    for _, memory in ipairs { -1, 0, 1, 17, 1 << 40 } do
      assert.equal("invalid", (code_of(agent.call, agent, "unmap", { memory = memory })))
    end
  end)

  it("does not execute a repeated request again", function()
    agent:ready()
    local path = folder .. "/once"
    command.write(path, "")
    process:send(("@7 write path=%s how=append data=x *-\n"):format(path):rep(3))
    agent:call "hello"
    assert.equal("x", command.read(path))
  end)

  it("survives what is no request", function()
    agent:ready()
    for _, bytes in ipairs { "\0\255@", "@@@@\n", "@1\n", "@x hello *-\n", "@-1 hello *-\n",
      "@99999999999999999999 hello *-\n", "@1 *-\n", "@1 stat path=%zz *-\n", "@2 stat path *-\n",
      "@3 stat path:abc *-\n", "@4 stat =x *-\n", "@5 hello *00000000\n",
      "@6 stat path=a path=b *-\n",
      "@7" .. (" a=b"):rep(30) .. " *-\n", "@8 hello " .. ("x"):rep(40000) .. "\n", "\n", "\r\n",
      "@9 " .. ("hello"):rep(5000) .. " *-\n" } do
      process:send(bytes)
      assert.equal("1", agent:call("hello").version)
    end
  end)

  it("survives random requests", function()
    agent:ready()
    math.randomseed(1)
    local commands = { "pread", "pwrite", "fsync", "truncate", "allocate", "sha256", "fill",
      "verify", "size", "discard", "zero", "stat", "list", "readlink", "map", "unmap", "work",
      "accept", "send", "receive", "shutdown", "interface", "hello", "time", "close" }
    local names = { "handle", "offset", "size", "seed", "data", "path", "memory", "rounds", "cpu",
      "timeout", "name", "from", "address", "port" }
    local values = { -1, 0, 1, 3, 4, 5, 8, 4096, 8192, 1 << 20, 1 << 62, math.maxinteger,
      math.mininteger, "", "x", "/", ("z"):rep(300), "\0", "127.0.0.1", "0x10" }
    agent:call("open", { path = folder .. "/random", flags = "rdwr,create" })
    agent:call("udp", {})
    for _ = 1, 1500 do
      local arguments = { timeout = 1 }
      for _ = 1, math.random(0, 5) do
        arguments[names[math.random(#names)]] = values[math.random(#values)]
      end
      local name = commands[math.random(#commands)]
      if math.type(arguments.rounds) and arguments.rounds > 4096 then arguments.rounds = 5 end
      if math.type(arguments.timeout) and arguments.timeout > 8 then arguments.timeout = 5 end
      if math.type(arguments.size) and arguments.size > 1 << 20 and name == "fill" then
        arguments.size = 16
      end
      pcall(agent.call, agent, name, arguments)
    end
    assert.equal("1", agent:call("hello").version)
  end)

  it("serves several coroutines", function()
    local done = {}
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = lunik.spawn(function()
        for _ = 1, 5 do
          agent:write(("%s/%d"):format(folder, i), tostring(i):rep(10), "append")
        end
        done[i] = true
      end)
    end
    for i = 1, 5 do tasks[i]:wait { timeout = 20 } end
    assert.same({ true, true, true, true, true }, done)
    for i = 1, 5 do
      assert.equal(tostring(i):rep(50), command.read(("%s/%d"):format(folder, i)))
    end
  end)
end)

describe("an agent on a port that loses and mixes bytes", function()
  it("is asked again until its answer is whole", function()
    math.randomseed(2)
    local log = "[   12.345678] a line of the kernel's log\r\n"
    local process <close> = agent_process.start {
      spoil = function(bytes)
        if math.random() < 0.6 then return bytes end
        local at = math.random(0, #bytes)
        return bytes:sub(1, at) .. log .. bytes:sub(at + 1)
      end,
      spoil_input = function(bytes)
        if math.random() < 0.7 then return bytes end
        local at = math.random(#bytes - 1) -- the end of the line stays
        return bytes:sub(1, at - 1) .. bytes:sub(at + 1)
      end,
    }
    local folder = testing.directory()
    for i = 1, 60 do process.agent:write(folder .. "/log", i .. "\n", "append") end
    local want = {}
    for i = 1, 60 do want[i] = i .. "\n" end
    assert.equal(table.concat(want), command.read(folder .. "/log"))
  end)
end)
