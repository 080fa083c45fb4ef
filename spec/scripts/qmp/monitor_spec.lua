-- A QMP monitor: what goes over the wire, in which order, and what hostile clients get.
local lunik = require "lunik"
local qmp = require "spec.support.qmp_client"

describe("a QMP monitor", function()
  local m, path, clients, monitor

  before_each(function()
    path, clients = os.tmpname(), {}
    os.remove(path)
    m = lunik.machine { board = "pc", accel = "none", memory = "64M", maxmem = "1G", slots = 4,
      serial = "buffer" }
    monitor = lunik.qmp { machine = m, path = "unix:" .. path }
  end)

  after_each(function()
    for _, client in ipairs(clients) do client:close() end
    m:close()
  end)

  local function dial()
    clients[#clients + 1] = qmp.dial(path)
    return clients[#clients]
  end

  local function connect()
    local client = dial()
    client:greet()
    return client
  end

  it("greets, and wants the negotiation first", function()
    local client = dial()
    local greeting = client:next()
    assert.equal(7, greeting.QMP.version.qemu.major)
    assert.matches("^lunik ", greeting.QMP.version.package)
    assert.same({ "oob" }, greeting.QMP.capabilities)
    assert.same({ class = "CommandNotFound",
      desc = "Expecting capabilities negotiation with 'qmp_capabilities'" },
      client:command('{"execute":"query-status"}').error)
    assert.equal("Parameter 'enable[0]' does not accept value 'x'",
      client:command('{"execute":"qmp_capabilities","arguments":{"enable":["x"]}}').error.desc)
    assert.same({ ["return"] = {}, id = "libvirt-1" },
      client:command '{"execute":"qmp_capabilities","id":"libvirt-1"}')
    assert.equal("CommandNotFound", client:command('{"execute":"qmp_capabilities"}').error.class)
    assert.equal("prelaunch", client:command('{"execute":"query-status"}')["return"].status)
  end)

  it("answers with the id as it came, whatever it is", function()
    local client = connect()
    for _, id in ipairs { '"a"', "1", "-1.50", "18446744073709551616", "null", "true", "[1,{}]",
      '{"a":{"b":[]}}', '"\\u00e9\\n"', "{}" } do
      client:command(('{"execute":"query-name","id":%s}'):format(id))
      assert.equal(('{"return": {"name":"pc"}, "id": %s}'):format(id), client.raw[client.taken])
    end
    client:command '{"execute":"query-name"}'
    assert.equal('{"return": {"name":"pc"}}', client.raw[client.taken])
    client:command '{"execute":"nonsense","id":7}'
    assert.equal('{"error": {"class":"CommandNotFound","desc":"The command nonsense has not been '
      .. 'found"}, "id": 7}', client.raw[client.taken])
  end)

  it("answers what is no request, and goes on", function()
    local client = connect()
    for text, desc in pairs {
      ["[]"] = "QMP input must be a JSON object",
      ["12 "] = "QMP input must be a JSON object",
      ['"text"'] = "QMP input must be a JSON object",
      ["nonsense "] = "Invalid JSON syntax: no value at byte 1",
      ["{}"] = "QMP input lacks member 'execute'",
      ['{"execute":1}'] = "QMP input member 'execute' must be a string",
      ['{"execute":"stop","x":1}'] = "QMP input member 'x' is unexpected",
      ['{"execute":"stop","arguments":[]}'] = "QMP input member 'arguments' must be an object",
      ['{"exec-oob":"stop"}'] = "QMP input member 'exec-oob' is unexpected",
      ['{"execute":}'] = "Invalid JSON syntax: no value at byte 12",
      ['{"execute":"stop",}'] = "Invalid JSON syntax: no name of a member at byte 19",
      ['{"execute":"stop","execute":"cont"}'] =
        "Invalid JSON syntax: a second member 'execute' at byte 19",
      ['{"execute":"\xc3("}'] = "Invalid JSON syntax: a string that is not UTF-8 at byte 12",
      ['{"execute":"\xff"}\n'] = "Invalid JSON syntax: byte 0xff",
      [("["):rep(2000) .. "\n"] = "JSON value has too many levels (want at most 1024)",
      ['{"execute":"device_del"}'] = "Parameter 'id' is missing",
      ['{"execute":"device_del","arguments":{"id":1}}'] =
        "Invalid parameter type for 'id', expected: string",
      ['{"execute":"device_del","arguments":{"id":null}}'] =
        "Invalid parameter type for 'id', expected: string",
      ['{"execute":"device_del","arguments":{"id":"x","y":1}}'] = "Parameter 'y' is unexpected",
      ['{"execute":"query-dirty-rate","arguments":{"calc":1}}'] =
        "Parameter 'calc' is unexpected",
    } do
      client:send(text)
      assert.equal(desc, client:answer().error.desc)
      assert.equal("pc", client:command('{"execute":"query-name"}')["return"].name)
    end
    assert.equal("created", m.state)
  end)

  it("answers commands in order that come together, cut anywhere", function()
    local client = connect()
    local parts = {}
    for i = 1, 500 do
      parts[i] = ('{"execute":"%s","id":%d}'):format(i % 3 == 0 and "query-name" or "none", i)
    end
    local text, at = table.concat(parts), 1
    while at <= #text do
      local size = at * 7919 % 61
      client:send(text:sub(at, at + size))
      at = at + size + 1
    end
    for i = 1, 500 do
      local answer = client:answer()
      assert.equal(i, answer.id)
      assert.equal(i % 3 == 0, answer.error == nil)
    end
  end)

  it("sends the events that a command causes before its answer", function()
    local client = connect()
    local function command(name, ...)
      local answer, events = client:command(('{"execute":"%s"}'):format(name))
      assert.same({}, answer["return"])
      local got = {}
      for i, event in ipairs(events) do
        got[i] = event.event
        assert.is_true(math.abs(event.timestamp.seconds - os.time()) < 5)
        assert.is_true(event.timestamp.microseconds < 1000000)
      end
      assert.same({ ... }, got)
      return events
    end
    command("cont", "RESUME")
    command "cont"
    command("stop", "STOP")
    command "stop"
    command("cont", "RESUME")
    assert.same({ guest = false, reason = "host-qmp-system-reset" },
      command("system_reset", "RESET")[1].data)
    command("system_powerdown", "POWERDOWN")
    assert.same({ guest = false, reason = "host-qmp-quit" },
      command("quit", "SHUTDOWN", "STOP")[1].data)
    assert.equal("shutdown", client:command('{"execute":"query-status"}')["return"].status)
    assert.equal("Resetting the Virtual Machine is required",
      client:command('{"execute":"cont"}').error.desc)
    command("system_reset", "RESET")
    command("cont", "RESUME")
  end)

  it("reports that the guest sleeps, and wakes it", function()
    local client = connect()
    client:command '{"execute":"cont"}'
    assert.equal("Unable to wake up: guest is not in suspended state",
      client:command('{"execute":"system_wakeup"}').error.desc)
    m:outw(0x604, 1 << 10 | 1 << 13)
    client:event "SUSPEND"
    assert.same({ running = false, singlestep = false, status = "suspended" },
      client:command('{"execute":"query-status"}')["return"])
    local _, events = client:command '{"execute":"system_wakeup"}'
    assert.equal("WAKEUP", events[1].event)
    assert.is_true(client:command('{"execute":"query-status"}')["return"].running)
  end)

  it("runs what is given out of band at once", function()
    local client = dial()
    client:next()
    client:command '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'
    m:start()
    -- A command that waits for the loop, and one that overtakes it.
    client:send '{"execute":"calc-dirty-rate","arguments":{"calc-time":1},"id":1}'
    client:send '{"exec-oob":"query-status","id":2}{"exec-oob":"stop","id":3}'
    local seen = {}
    for _ = 1, 3 do
      local answer = client:answer()
      seen[answer.id] = answer
    end
    assert.is_true(seen[2]["return"].running)
    assert.equal("The command stop does not support OOB", seen[3].error.desc)
    assert.equal("measuring",
      client:command('{"execute":"query-dirty-rate"}')["return"].status)
  end)

  it("has a next client wait, who is told nothing of the last one's", function()
    local first, second = connect(), dial()
    second:send '{"execute":"qmp_capabilities"}{"execute":"query-name","id":"second"}'
    for _ = 1, 10 do lunik.run "nowait" end
    assert.equal(0, #second.messages)
    first:send '{"execute":"query-na'
    for _ = 1, 10 do lunik.run "nowait" end
    first:close()
    assert.truthy(second:next().QMP)
    assert.same({}, second:answer()["return"])
    assert.equal("second", second:answer().id)
  end)

  it("serves several monitors, each with its own state", function()
    local other_path = path .. ".2"
    local other = lunik.qmp { machine = m, path = "unix:" .. other_path }
    local one, two = connect(), qmp.dial(other_path)
    clients[#clients + 1] = two
    two:next()
    one:command '{"execute":"cont"}'
    assert.equal("CommandNotFound", two:command('{"execute":"query-name"}').error.class)
    two:command '{"execute":"qmp_capabilities"}'
    one:command '{"execute":"stop"}'
    assert.equal("STOP", two:next().event)
    other:close()
    other:close()
    qmp.wait_for(function() return two.gone end)
    assert.is_nil(m:object "qmp1")
    assert.equal("paused", one:command('{"execute":"query-status"}')["return"].status)
  end)

  it("does not keep what a client does not read without end", function()
    local client = connect()
    client.stream:hold(true)
    local block = ('{"execute":"query-commands"}'):rep(2000)
    for _ = 1, 20 do client:send(block) end
    for _ = 1, 200 do lunik.run "nowait" end
    assert.is_true(monitor.stream.queued < 8 << 20)
    assert.is_true(client.stream.queued > 0)
    client:close()
    clients[1] = nil
    local next_one = connect()
    assert.equal("pc", next_one:command('{"execute":"query-name"}')["return"].name)
  end)

  it("drops a value that is too big", function()
    local client = connect()
    client:send '{"execute":"'
    for _ = 1, 17 do
      client:send(("x"):rep(1 << 20))
      qmp.wait_for(function() return client.stream.queued == 0 end)
    end
    assert.equal("JSON value is too big (want at most 16777216 bytes)", client:answer().error.desc)
    client:send 'the rest"}\n'
    assert.equal("pc", client:command('{"execute":"query-name"}')["return"].name)
  end)

  it("limits how often an event of some kinds comes, and sends the last one", function()
    local client = connect()
    for actual = 1, 5 do
      m:emit("balloon-change", { device = "b", actual = actual, balloon = 0 })
    end
    for open = 0, 3 do m:emit("port-changed", { device = "p" .. open % 2, open = open > 1 }) end
    local answer, events = client:command '{"execute":"query-name"}'
    assert.equal("pc", answer["return"].name)
    local got = {}
    for i, event in ipairs(events) do got[i] = event.event end
    assert.same({ "BALLOON_CHANGE", "VSERPORT_CHANGE", "VSERPORT_CHANGE" }, got)
    assert.equal(1, events[1].data.actual)
    assert.equal(5, client:next().data.actual)
    assert.is_true(client:next().data.open)
    assert.is_true(client:next().data.open)
  end)

  it("reports what was done about a disk that has failed", function()
    local client = connect()
    m:emit("block-io-error", { device = "vda", drive = "disk0", operation = "zero", offset = 0,
      size = 512, action = "stop", nospace = true, reason = "no space left on device" })
    assert.same({ device = "vda", ["node-name"] = "disk0", operation = "write", action = "stop",
      nospace = true, reason = "no space left on device" }, client:event("BLOCK_IO_ERROR").data)
  end)

  it("ends with the machine, and the machine with quit", function()
    local client = connect()
    assert.same({}, client:command('{"execute":"quit"}')["return"])
    assert.same({ guest = false, reason = "host-qmp-quit" }, client:event("SHUTDOWN").data)
    qmp.wait_for(function() return client.gone end)
    assert.equal("closed", m.state)
  end)

  it("reports that its machine is closed", function()
    local client = connect()
    m:close()
    assert.same({ guest = false, reason = "host-signal" }, client:event("SHUTDOWN").data)
    qmp.wait_for(function() return client.gone end)
  end)

  it("is made of a path or of a character device", function()
    local function refused(message, given)
      local ok, err = pcall(lunik.qmp, given)
      assert.is_false(ok)
      assert.matches(message, err.message, 1, true)
    end
    refused("machine: nil is not a machine", { path = "unix:x" })
    refused("want either path or chardev", { machine = m })
    refused("want either path or chardev", { machine = m, path = "unix:x", chardev = "y" })
    refused("a front end is attached already", { machine = m, chardev = "serial-chardev" })
    m:object_add("chardev-buffer", { id = "port" })
    local got = m:console "port"
    local made = lunik.qmp { machine = m, chardev = "port" }
    got:expect("QMP", { timeout = 5 })
    made:close()
    assert.is_true(m:object("port").alive)
  end)
end)
