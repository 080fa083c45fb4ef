-- m:stream(): the script's end of a character device.
local lunik = require "lunik"
local wait_for = require "spec.support.wait_for"
local uv = require "luv"

describe("a stream", function()
  local m, client, path

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    m = lunik.machine { board = "micro", accel = "none", memory = "16M" }
    client = lunik.machine { board = "micro", accel = "none", memory = "16M" }
  end)

  after_each(function()
    client:close()
    m:close()
  end)

  local function settle()
    for _ = 1, 20 do lunik.run "nowait" end
  end

  local function refused(code, message, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal(code, err.code)
    assert.matches(message, err.message, 1, true)
  end

  local function serve()
    m:object_add("chardev-socket", { id = "s", path = path })
    local stream, log = m:stream "s", {}
    stream:on_open(function() log[#log + 1] = "open" end)
    stream:on_data(function(bytes) log[#log + 1] = bytes end)
    stream:on_close(function() log[#log + 1] = "close" end)
    return stream, log
  end

  local function dial(id)
    client:object_add("chardev-socket", { id = id, path = path, server = false })
    local stream, got = client:stream(id), { "" }
    stream:on_data(function(bytes) got[1] = got[1] .. bytes end)
    return stream, got
  end

  local function hang_up(stream)
    stream:close()
    client:object_del(stream.object)
  end

  it("carries bytes both ways, and reports who comes and goes", function()
    local stream, log = serve()
    assert.is_false(stream.connected)
    local peer, got = dial "c"
    settle()
    assert.is_true(stream.connected)
    peer:write "hello"
    settle()
    stream:write "answer"
    settle()
    assert.same({ "answer" }, got)
    hang_up(peer)
    settle()
    assert.same({ "open", "hello", "close" }, log)
    assert.equal("stream of 's' (not connected)", tostring(stream))
  end)

  it("has the next client wait, and gives the last words of one that goes", function()
    local stream, log = serve()
    local first = dial "c1"
    settle()
    local second = dial "c2"
    second:write "two"
    settle()
    assert.same({ "open" }, log)
    first:write "one"
    settle()
    stream:hold(true)
    first:write "dropped"
    settle()
    hang_up(first)
    settle()
    assert.same({ "open", "one", "dropped", "close", "open" }, log)
    stream:hold(false)
    settle()
    assert.equal("two", log[6])
  end)

  it("queues what the other side does not take, but not without end", function()
    local stream = serve()
    local peer, received = dial "c", 0
    peer:on_data(function(bytes) received = received + #bytes end)
    settle()
    local block, sent = ("x"):rep(1 << 20), 0
    peer:hold(true)
    refused("no-space", "there is no room for 1048576 more", function()
      while true do
        stream:write(block)
        sent = sent + #block
      end
    end)
    assert.is_true(stream.queued > 60 << 20)
    peer:hold(false)
    wait_for(function() return received == sent end)
    assert.equal(0, stream.queued)
  end)

  it("does not take more than it can keep while it is held", function()
    local stream, log = serve()
    local peer = dial "c"
    settle()
    stream:hold(true)
    peer:write(("y"):rep(4 << 20))
    settle()
    assert.same({ "open" }, log)
    assert.is_true(peer.queued > 1 << 20)
    stream:hold(false)
    wait_for(function() return peer.queued == 0 and #table.concat(log) == 4 + (4 << 20) end)
  end)

  it("lets its functions delete the device and close the machine", function()
    local stream = serve()
    stream:on_data(function(bytes)
      if bytes == "delete" then m:object_del "s" else m:close() end
    end)
    local peer = dial "c"
    settle()
    peer:write "delete"
    settle()
    assert.is_nil(m:object "s")
    refused("gone", "gone", stream.write, stream, "x")
    stream:close()
    stream = serve()
    stream:on_data(function() m:close() end)
    peer = dial "c2"
    settle()
    peer:write "close"
    settle()
    assert.equal("closed", m.state)
    stream:close()
    refused("gone", "closed", stream.write, stream, "x")
  end)

  it("receives descriptors", function()
    local stream, log = serve()
    local pipe, other = uv.new_pipe(true), uv.new_tcp()
    uv.tcp_bind(other, "127.0.0.1", 0)
    pipe:connect(path)
    uv.run "nowait"
    settle()
    pipe:write2("with", other)
    wait_for(function()
      uv.run "nowait"
      return log[2]
    end)
    local fds = stream:fds()
    assert.equal(1, #fds)
    local file = io.open(("/proc/self/fdinfo/%d"):format(fds[1]))
    assert.truthy(file)
    file:close()
    stream:close_fd(fds[1])
    assert.is_nil(io.open(("/proc/self/fdinfo/%d"):format(fds[1])))
    assert.same({}, stream:fds())
    pipe:close()
    other:close()
    uv.run "nowait"
  end)

  it("takes sockets that the program has", function()
    local fds = uv.socketpair("stream", 0)
    m:object_add("chardev-socket", { id = "s", fd = fds[1] })
    client:object_add("chardev-socket", { id = "c", fd = fds[2] })
    assert.is_false(m:object "s".server)
    local got
    m:stream("s"):on_data(function(bytes) got = bytes end)
    client:stream("c"):write "over a pair"
    settle()
    assert.equal("over a pair", got)
    refused("invalid", "chardev-socket: fd: '1' is not a stream socket", m.object_add, m,
      "chardev-socket", { id = "x", fd = io.open("/dev/null") and 1 })
    refused("invalid", "path: can't go together with fd", m.object_add, m, "chardev-socket",
      { id = "x", fd = fds[1], path = path })
    refused("invalid", "path: is missing", m.object_add, m, "chardev-socket", { id = "x" })
  end)

  it("is the only front end", function()
    local stream = serve()
    refused("busy", "a front end is attached already", m.stream, m, "s")
    stream:close()
    stream:close()
    m:stream("s"):close()
    refused("not-found", "there is no object 'nobody'", m.stream, m, "nobody")
    m:object_add("memory-backend-ram", { id = "ram0", size = "1M" })
    refused("unsupported", "want a character device", m.stream, m, "ram0")
    refused("invalid", "hold: on", stream.hold, stream, 1)
  end)
end)
