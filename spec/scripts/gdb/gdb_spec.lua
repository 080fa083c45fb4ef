-- m:gdb(): the protocol on the wire, gdb itself, and hostile clients; without KVM.
local lunik = require "lunik"
local command = require "spec.support.command"
local document = require "spec.support.document"
local gdb = require "spec.support.gdb"
local packet = require "lunik.gdb.packet"

describe("a gdb server", function()
  local m, path, clients, server

  before_each(function()
    path, clients = os.tmpname(), {}
    os.remove(path)
    m = lunik.machine { board = "pc", accel = "none", memory = "16M", serial = "buffer" }
    server = m:gdb { listen = "unix:" .. path }
    m:write(0x1000, "hello gdb\0")
  end)

  after_each(function()
    for _, client in ipairs(clients) do client:close() end
    m:close()
  end)

  local function dial()
    clients[#clients + 1] = gdb.dial(path)
    return clients[#clients]
  end

  it("keeps no process that has closed the machine from ending", function()
    local script = ([[
      local m = lunik.machine { board = "micro", accel = "none", memory = "16M" }
      m:object_add("chardev-buffer", { id = "client" })
      print(m:gdb { chardev = "client" }.connected)
      m:close()
    ]]):gsub("%s+", " ")
    assert.equal("true\nexit code 0\n",
      command.run(("timeout 60 %s -e '%s'; echo exit code $?"):format(command.lunik, script)))
  end)

  it("says what it can do, and describes the registers", function()
    local client = dial()
    assert.matches("PacketSize=4000;qXfer:features:read%+;vContSupported%+",
      client:ask "qSupported:swbreak+;hwbreak+")
    local xml, at = "", 0
    repeat
      local part = client:ask(("qXfer:features:read:target.xml:%x,400"):format(at))
      xml, at = xml .. part:sub(2), at + #part - 1
    until part:sub(1, 1) == "l"
    assert.matches("<architecture>i386:x86%-64</architecture>", xml)
    local bits = 0
    for size in xml:gmatch 'bitsize="(%d+)"' do bits = bits + size end
    assert.equal(bits // 8, #client:ask "g" // 2)
    assert.equal("E00", client:ask "qXfer:features:read:other.xml:0,10")
  end)

  it("reads and writes memory", function()
    local client = dial()
    assert.equal(packet.hex "hello", client:ask "m1000,5")
    assert.equal("OK", client:ask "M1000,2:4849")
    assert.equal("OK", client:ask "X1002,3:#$}")
    assert.equal("HI#$} gdb", m:read(0x1000, 9))
    assert.equal("E0e", client:ask "mffffff00000000,4")
    assert.equal("E0e", client:ask "Mffffff00000000,1:00")
    assert.equal("E16", client:ask "m1000")
    assert.equal("E16", client:ask "M1000,2:4")
    assert.equal("0", client:ask "qqemu.PhyMemMode")
    assert.equal("OK", client:ask "Qqemu.PhyMemMode:1")
    assert.equal("1", client:ask "qqemu.PhyMemMode")
  end)

  it("has a thread, registers and a monitor", function()
    local client = dial()
    assert.equal("T05thread:1;", client:ask "?")
    assert.equal("m1", client:ask "qfThreadInfo")
    assert.equal("l", client:ask "qsThreadInfo")
    assert.equal("QC1", client:ask "qC")
    assert.equal("OK", client:ask "Hg1")
    assert.equal("E16", client:ask "Hg9")
    assert.equal("E16", client:ask "T2")
    assert.equal(("0"):rep(16), client:ask "p0")
    assert.equal("E16", client:ask "pfff")
    local text = client:ask("qRcmd," .. packet.hex "info status")
    assert.matches("^VM status: ", packet.bytes(text:match "^O(.*)$"))
    assert.equal("OK", client:next())
    assert.equal("", client:ask "vMustReplyEmpty")
    assert.equal("E01", client:ask "c")
  end)

  it("stops the machine while a client is there, and lets it go on afterwards", function()
    m:start()
    local client = dial()
    assert.equal("T05thread:1;", client:ask "?")
    assert.equal("paused", m.state)
    assert.equal("OK", client:ask "D")
    gdb.wait_for(function() return m.state == "running" end)
    client:close()
    clients = {}
    gdb.wait_for(function() return not server.connected end)
    dial():ask "?"
    assert.equal("paused", m.state)
    clients[1]:close()
    clients = {}
    gdb.wait_for(function() return m.state == "running" end)
  end)

  it("leaves a machine paused that was paused", function()
    m:start()
    m:pause()
    assert.equal("OK", (dial():ask "D"))
    for _ = 1, 20 do lunik.run "nowait" end
    assert.equal("paused", m.state)
  end)

  it("serves one client after the other", function()
    local first = dial()
    first:ask "?"
    local second = dial()
    second:raw(packet.make "?")
    for _ = 1, 50 do lunik.run "nowait" end
    assert.equal("", second.text)
    first:close()
    table.remove(clients, 1)
    assert.equal("T05thread:1;", second:next())
  end)

  it("acknowledges packets until it need not", function()
    local client = dial()
    client:raw "$?#00"
    gdb.wait_for(function() return client.text == "-" end)
    client.text = ""
    client:ask "QStartNoAckMode"
    client.text = ""
    client:raw "$?#00"
    assert.equal("T05thread:1;", client:next())
    assert.equal("", client.text)
  end)

  it("lets no client do harm by what it sends", function()
    local client = dial()
    for _, bytes in ipairs { "$#00", "$", "#", ("$%s"):format(("a"):rep(40000)), "\3\3\3", "----",
      ("$#00"):rep(5000), packet.make "vCont;s:zz", packet.make "Z0,,", packet.make "m0,ffffffff",
      packet.make "qXfer:features:read:target.xml:fffffffffffffffff,1", packet.make "P=",
      packet.make "G00", packet.make "H", packet.make "qRcmd,0", "\0\xff" } do
      client:raw(bytes)
    end
    client:raw(packet.make "qC")
    gdb.wait_for(function() return client.text:find("$QC1#", 1, true) end)
  end)

  it("refuses other addresses, and what is no option", function()
    for _, opts in ipairs { { listen = "0.0.0.0:1234" }, { listen = ":1234" }, { listen = "" },
      {}, { listen = "unix:/x", chardev = "null" }, { listen = "unix:/x", architecture = "arm" },
      { lisen = "unix:/x" } } do
      local ok, err = pcall(m.gdb, m, opts)
      assert.is_false(ok)
      assert.equal("invalid", err.code)
    end
  end)

  it("listens for TCP at the loopback interface only", function()
    local tcp = m:gdb { listen = "127.0.0.1:0" }
    local port = tcp.session.stream.object:get "port"
    assert.is_true(port > 0)
    local hex, listening = ("%04X"):format(port), {}
    for line in io.lines "/proc/self/net/tcp" do
      local address = line:match("^%s*%d+: (%x+):" .. hex .. " %x+:%x+ 0A")
      if address then listening[#listening + 1] = address end
    end
    assert.same({ "0100007F" }, listening)
    tcp:close()
  end)

  it("makes a socket that only the user can open, and removes it", function()
    local pipe = io.popen("stat -c %a " .. path)
    assert.equal("600", pipe:read "l")
    pipe:close()
    server:close()
    server:close()
    assert.is_nil(io.open(path))
  end)

  it("serves Debian's gdb", function()
    if not gdb.found() then return pending "needs gdb" end
    m:start()
    local text = gdb.batch(("target remote %s\n"):format(path) .. [[
x/s 0x1000
set *(int*)0x2000 = 0x41424344
info threads
monitor info status
info registers eflags
print $xmm0.uint128
print $cr0
detach
]])()
    assert.matches('0x1000:%s+"hello gdb"', text)
    assert.matches("Thread 1 %(CPU#0", text)
    assert.matches("VM status: paused", text)
    assert.matches("%$1 = 0\n%$2 = 0\n", text)
    assert.matches("detached", text)
    assert.equal("DCBA", m:read(0x2000, 4))
    assert.equal("running", m.state)
  end)

  it("serves the session of docs/howto/gdb.md", function()
    if not gdb.found() then return pending "needs gdb" end
    m:start()
    local session = document.code(command.read "docs/howto/gdb.md", "gdb")
    local text = gdb.batch((session:gsub("/tmp/vm%.gdb", path)))()
    assert.matches("Thread 1 %(CPU#0", text)
    assert.matches('0x1000:%s+"hello gdb"', text)
    assert.matches("detached", text)
    assert.equal("running", m.state)
  end)
end)
