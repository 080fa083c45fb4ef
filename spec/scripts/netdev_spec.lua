-- Networks from Lua: a peer written as a script, the link of a card, what options are refused.
local lunik = require "lunik"
local nic = require "spec.support.nic"
local wait_for = require "spec.support.wait_for"

describe("a network", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function refused(code, message, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal(code, err.code)
    assert.matches(message, err.message, 1, true)
  end

  local function machine(type_name, props)
    m = lunik.machine { board = "pc", accel = "none", memory = "64M", serial = "none" }
    props = props or {}
    props.id = "net0"
    m:object_add(type_name, props)
    m:device_add("virtio-net-pci", { id = "nic0", netdev = "net0", bus = "i440fx", addr = "5" })
    m:start()
    return nic.driver(m, 5)
  end

  local function frame(to, text) return to .. "\x02\0\0\0\0\x99\x88\xb5" .. text end

  it("has a script as its other side", function()
    local card = machine "netdev-lua"
    local peer, got = m:netdev "net0", {}
    peer:on_frame(function(bytes, queue) got[#got + 1] = { bytes, queue } end)
    card:start()
    card:send(frame(("\xff"):rep(6), "hello"))
    wait_for(function() return got[1] end)
    assert.same({ frame(("\xff"):rep(6), "hello"), 1 }, got[1])
    assert.is_true(peer:send(frame("\x52\x54\0\x12\x34\x56", "answer")))
    assert.equal(frame("\x52\x54\0\x12\x34\x56", "answer"),
      wait_for(function() return card:receive() end))
    local device = m:object "nic0"
    assert.equal(1, device.rx_frames)
    assert.equal(1, device.tx_frames)
    assert.equal("52:54:00:12:34:56", device.mac)
    assert.equal(peer, m:netdev(m:object "net0"))
  end)

  it("has a link that scripts plug in and out", function()
    local card = machine "netdev-lua"
    card:start { status = true }
    assert.equal(1, card:link())
    m:set_link("nic0", false)
    assert.equal(0, card:link())
    assert.is_false(m:object("nic0").link)
    card:send(frame(("\xff"):rep(6), "lost"))
    wait_for(function() return m:object("nic0").tx_dropped == 1 end)
    m:object("nic0").link = true
    assert.equal(1, card:link())
  end)

  it("goes on when the script's function fails", function()
    local card = machine "netdev-lua"
    local errors, calls = 0, 0
    m:on("error", function() errors = errors + 1 end)
    m:netdev("net0"):on_frame(function()
      calls = calls + 1
      error "wrong"
    end)
    card:start()
    card:send(frame(("\xff"):rep(6), "one"))
    card:send(frame(("\xff"):rep(6), "two"))
    wait_for(function() return calls == 2 and errors == 2 end)
  end)

  it("names what is wrong", function()
    machine "netdev-lua"
    local peer = m:netdev "net0"
    refused("invalid", "send: frame: 13 bytes are not a frame (want 14 to 65550)", peer.send, peer,
      ("x"):rep(13))
    refused("invalid", "send: queue: '2' is not a queue (want 1 to 1)", peer.send, peer,
      ("x"):rep(14), 2)
    refused("invalid", "on_frame: function: '5' is not a function", peer.on_frame, peer, 5)
    refused("not-found", "netdev: there is no object 'net9'", m.netdev, m, "net9")
    refused("unsupported", "object 'nic0' is a virtio-net-pci (want a netdev-lua)", m.netdev, m,
      "nic0")
    refused("unsupported", "set_link: object 'net0' is a netdev-lua (want a network card)",
      m.set_link, m, "net0", true)
  end)

  it("connects two machines of a process", function()
    local path = os.tmpname()
    os.remove(path)
    local first = machine("netdev-socket", { listen = path })
    local m1 = m
    local second = machine("netdev-socket", { connect = path })
    first:start()
    second:start()
    wait_for(function() return m1:object("net0").up and m:object("net0").up end)
    first:send(frame(("\xff"):rep(6), "to the second"))
    assert.equal(frame(("\xff"):rep(6), "to the second"),
      wait_for(function() return second:receive() end))
    second:send(frame(("\xff"):rep(6), "to the first"))
    assert.equal(frame(("\xff"):rep(6), "to the first"),
      wait_for(function() return first:receive() end))
    m:close()
    m1:wait("netdev-disconnected", { object = "net0", timeout = 5 })
    m1:close()
  end)
end)
