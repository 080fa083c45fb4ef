-- lunik.agent() without an agent: what it does about answers that are late, wrong, hostile or none.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local protocol = require "lunik.agent.protocol"

local function line_of(id, text)
  local line = ("@%d %s"):format(id, text)
  return ("%s *%08x\n"):format(line, protocol.crc32(line))
end

-- An agent in Lua: respond(agent, id, command, line) is called for each request, from the loop.
local function fake(respond, timeout)
  local agent, requests = nil, {}
  agent = lunik.agent { timeout = timeout or 5, send = function(line)
    local id, command = line:match "^@(%d+) (%S+)"
    requests[#requests + 1] = command
    lunik.defer(function() respond(agent, tonumber(id), command, line) end)
  end }
  return agent, requests
end

-- The same, which answers hello by itself.
local function ready(respond, timeout)
  return fake(function(agent, id, command, line)
    if command == "hello" then return agent:feed(line_of(id, "ok version=1 pid=1 call=syscall")) end
    respond(agent, id, command, line)
  end, timeout)
end

local function failure(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("a request to an agent", function()
  it("has arguments that any bytes may be in", function()
    assert.equal(line_of(7, "write data:AP9AJQ== how=a%20b%25%40%2a n=-5 path=/x y=1 z:"),
      protocol.request(7, "write", { data = "\0\255@%", path = "/x", how = "a b%@*", n = -5,
        y = true, z = "" }))
    local id, kind, fields = protocol.answer(line_of(7, "ok a=x%20y data:AP9AJQ== empty: none="))
    assert.same({ 7, "ok", { a = "x y", data = "\0\255@%", empty = "", none = "" } },
      { id, kind, fields })
  end)

  it("is answered by lines that have garbage before them, and by no others", function()
    assert.equal(3, (protocol.answer("[    1.2] log @2 ok " .. line_of(3, "ok"))))
    for _, line in ipairs { "", "@", "@1 ok", "@1 ok *00000000", "@1 ok *zzzzzzzz",
      line_of(1, "hello"):sub(1, -2), line_of(1, "ok data:x"), line_of(1, "ok"):sub(2) } do
      assert.is_nil(protocol.answer(line))
    end
  end)

  it("is repeated when the answer is garbled, and not answered by another's", function()
    local count = 0
    local agent = ready(function(agent, id)
      count = count + 1
      agent:feed(line_of(id - 1, "ok data=old") .. line_of(id + 1, "ok data=new"))
      if count < 3 then
        agent:feed((line_of(id, "ok data=x"):gsub("data", "d[  1.0] log\r\nata")))
      else
        agent:feed(line_of(id, "ok data=x"))
      end
    end)
    assert.equal("x", agent:call("read").data)
    assert.equal(3, count)
  end)

  it("is not answered by its own echo", function()
    local agent, requests = fake(function(agent, _, _, line) agent:feed(line) end, 0.2)
    assert.equal("timeout", failure(agent.ready, agent).code)
    assert.is_true(#requests < 10)
  end)

  it("says what it has waited for in vain", function()
    local agent = ready(function() end, 0.05)
    local err = failure(agent.read, agent, "/proc/version")
    assert.same({ "timeout", "no answer of the agent to 'read' within 0.05 s" },
      { err.code, err.message })
    agent = fake(function() end, 0.05)
    assert.equal("no answer of the agent to 'hello' within 0.05 s",
      failure(agent.ready, agent).message)
  end)

  it("is not sent to a guest that has started again", function()
    local boots = 0
    local agent = ready(function(agent)
      boots = boots + 1
      agent:feed(line_of(0, "ok ready=1"))
    end)
    local err = failure(agent.mkdir, agent, "/x")
    assert.same({ "gone", "agent: the guest has started again while waiting for the answer to "
      .. "'mkdir'" }, { err.code, err.message })
    assert.equal(1, boots)
    assert.equal(1, agent:ready().version)
  end)

  it("turns the guest's errors into codes", function()
    local name, message = "ENOENT", "/x"
    local agent = ready(function(agent, id)
      agent:feed(line_of(id, ("error errno=%s number=2 message=%s"):format(name, message)))
    end)
    for errno, code in pairs { ENOENT = "not-found", EEXIST = "exists", EBUSY = "busy",
      ENOSPC = "no-space", EPERM = "denied", EINVAL = "invalid", ENOTTY = "unsupported",
      EIO = "io", ENEWONE = "io" } do
      name = errno
      local err = failure(agent.mkdir, agent, "/x")
      assert.same({ code, errno, "agent: mkdir: /x: " .. errno },
        { err.code, err.errno, err.message })
    end
    message = "a%0ab"
    assert.matches("a%?b", failure(agent.mkdir, agent, "/x").message)
  end)

  it("survives answers that make no sense", function()
    local fields
    local agent = ready(function(agent, id) agent:feed(line_of(id, "ok" .. fields)) end)
    for _, text in ipairs { "", " data=x", " size=x handle=y sum=z", " next=1.5 names=", " lines=",
      " handle= memory=", " port=x handle=1", " devices=1" } do
      fields = text
      for _, call in ipairs {
        function() agent:open "/x" end, function() agent:list "/" end,
        function() agent:allocate "1M" end, function() agent:listen() end,
        function() agent:work(0, 1) end, function() agent:log() end,
        function() agent:tcp("1.2.3.4", 5) end, function() agent:ping "1.2.3.4" end,
      } do
        local ok, err = pcall(call)
        assert.is_true(ok or err.code == "device", tostring(err))
      end
    end
  end)

  it("survives whatever comes", function()
    math.randomseed(3)
    local length = os.getenv "LUNIK_QUICK" and 20 or 200
    local pieces = { "@", "@1 ok", " *", "\n", "\0", ("x"):rep(5000), " a=b", " data:", "%", "=",
      "@0 ok ready=1 *742e3631\n", "@0 error errno=EBADMSG *00000000\n" }
    local agent = ready(function(agent, id)
      for _ = 1, length do agent:feed(pieces[math.random(#pieces - 2)]) end
      agent:feed(line_of(id, "ok data=x"))
    end)
    for _ = 1, 20 do assert.equal("x", agent:call("read").data) end
  end)

  it("is refused with a clear message", function()
    for want, fn in pairs {
      ["agent: nil is not a machine (want a machine, or {send = function})"] = function()
        lunik.agent()
      end,
      ["agent: send is missing (want a function)"] = function() lunik.agent {} end,
      ["agent: 'sned' is not an option (did you mean 'send'?)"] = function()
        lunik.agent { sned = print }
      end,
    } do
      assert.equal(want, failure(fn).message)
    end
  end)
end)

-- ---- through a machine -------------------------------------------------------------------------

-- The guest's side of the serial port, in Lua: takes what comes, and answers.
local function serve(m, respond)
  local taken = ""
  return lunik.spawn(function()
    while m.state ~= "closed" do
      while m:inb(0x3fd) & 1 == 1 do taken = taken .. string.char(m:inb(0x3f8)) end
      for id, command in taken:gmatch "@(%d+) (%S+)[^\n]*\n" do
        for byte in respond(tonumber(id), command):gmatch "." do m:outb(0x3f8, byte:byte()) end
      end
      taken = taken:match "[^\n]*$"
      lunik.sleep(0.001)
    end
  end)
end

local function answer(id, command)
  if command == "hello" then return line_of(id, "ok version=1 pid=1 call=ud2") end
  return "[    1.5] a line of the log\r\n" .. line_of(id, "ok data=" .. command)
end

describe("the agent of a machine", function()
  it("is on the serial port, or on the port that is called agent", function()
    for _, devices in ipairs { false, { { "serial16550",
      { id = "serial1", iobase = 0x2f8, irq = 3, chardev = "agent" } } } } do
      local m <close> = machines.none { serial = "buffer", devices = devices or nil,
        objects = devices and { { "chardev-buffer", { id = "agent" } } } }
      local agent = lunik.agent(m)
      assert.equal(agent, lunik.agent(m, { chardev = devices and "agent" or m:console() }))
      assert.equal(agent, lunik.agent(m))
      assert.equal(("agent of machine '%s'"):format(m.name), tostring(agent))
    end
  end)

  it("answers through the guest", function()
    local m <close> = machines.none { serial = "buffer" }
    local agent = lunik.agent(m, { timeout = 5 })
    m:start()
    local guest = serve(m, answer)
    assert.equal("ud2", agent:ready().call)
    assert.equal("stat", agent:call("stat").data)
    m:close()
    guest:wait()
    assert.equal("gone", failure(agent.ready, agent).code)
  end)

  it("is lost with the machine, and found again after a reset", function()
    local m <close> = machines.none { serial = "buffer" }
    local agent = lunik.agent(m, { timeout = 5 })
    m:start()
    local silent = false
    local guest = serve(m, function(id, command)
      if silent then return "" end
      return answer(id, command)
    end)
    assert.equal("ud2", agent:ready().call)
    silent = true
    local task = lunik.spawn(function() return pcall(agent.call, agent, "sync") end)
    lunik.sleep(0.02)
    m:reset()
    local _, err = task:wait { timeout = 5 }
    assert.equal("gone", err.code)
    silent = false
    assert.equal("sync", agent:call("sync").data)
    silent = true
    task = lunik.spawn(function() return pcall(agent.call, agent, "sync") end)
    lunik.sleep(0.02)
    m:close()
    _, err = task:wait { timeout = 5 }
    assert.equal("gone", err.code)
    guest:wait()
  end)

  it("needs a port that is kept in memory", function()
    local m <close> = machines.none { serial = "null" }
    assert.same({ "unsupported", "not-found", "invalid" }, {
      failure(lunik.agent, m).code, failure(lunik.agent, m, { chardev = "nix" }).code,
      failure(lunik.agent, m, { chardev = 5 }).code,
    })
  end)
end)
