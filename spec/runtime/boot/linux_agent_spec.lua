-- One boot of Linux, in which its agent uses every kind of device that the machine has: on a root
-- disk, with an address from DHCP, while disks, networks, processors and memory come and go. Each
-- example is skipped where the machine has no such device.
local command = require "spec.support.command"
local ext2 = require "lunik.ext2"
local images = require "lunik.guest_images"
local lunik = require "lunik"
local net_peer = require "spec.support.net_peer"
local runner = require "lunik.testing.runner"
local testing = require "lunik.testing"
local uv = require "luv"

lunik.use_luv(uv) -- here, so that no example is seen to open what luv's loop keeps open

local types = {}
for _, name in ipairs(lunik.types()) do types[name] = true end

-- Why an example that needs these types is skipped, or nil.
local function missing(...)
  if os.getenv "LUNIK_QUICK" then return "LUNIK_QUICK is set" end
  for _, name in ipairs { ... } do
    if not types[name] then return ("there is no device type '%s'"):format(name) end
  end
end

local SLOW = { timeout = 120 } -- seconds for what the guest does by itself

-- Calls look() until it returns what is wanted.
local function eventually(what, look)
  return testing.eventually(look, { timeout = SLOW.timeout, what = what })
end

local ROOT_DISK = types["virtio-blk-pci"]
local folder = os.tmpname()
os.remove(folder)

local function add(list, present, kind, props)
  if present then table.insert(list, { kind, props }) end
end

-- The machine with everything that is there from the start.
local function options()
  local objects, devices = {}, {}
  add(objects, ROOT_DISK, "blockdev-file", { id = "root", filename = folder .. "/root.img" })
  add(devices, ROOT_DISK, "virtio-blk-pci", { bus = "i440fx", id = "vda", drive = "root" })
  local user = types["netdev-user"] and types["virtio-net-pci"]
  add(objects, user, "netdev-user", { id = "net0" })
  add(devices, user, "virtio-net-pci", { bus = "i440fx", id = "nic0", netdev = "net0" })
  add(devices, types["virtio-balloon-pci"], "virtio-balloon-pci",
    { bus = "i440fx", id = "balloon" })
  add(objects, types["virtio-mem-pci"], "memory-backend-memfd", { id = "vmem", size = "512M" })
  add(devices, types["virtio-mem-pci"], "virtio-mem-pci",
    { bus = "i440fx", id = "mem0", memdev = "vmem" })
  add(devices, types["i6300esb"], "i6300esb", { bus = "i440fx", id = "watchdog", action = "none" })
  add(devices, types["pvpanic"], "pvpanic", { id = "pvpanic" })
  local all = {
    guest = "linux", memory = "256M", maxmem = "2G", slots = 4, objects = objects,
    devices = devices, maxcpus = types["cpu"] and 2 or nil,
    append = "loglevel=8" .. (user and " ip=dhcp" or "")
      .. (ROOT_DISK and " root=/dev/vda rw init=/init" or ""),
  }
  if ROOT_DISK then all.initrd = false end
  return all
end

local function random_file(name, megabytes)
  local path = folder .. "/" .. name
  local _, err, code = command.run(("head -c %dM /dev/urandom >%s"):format(megabytes, path))
  assert.equal(0, code, err)
  return path
end

local function sha256sum(path)
  return (command.run("sha256sum " .. path)):match "^%x+"
end

-- Removes a device, and waits for the guest to release it.
local function unplug(m, id)
  assert.equal("ejected", m:device_del(id):wait(SLOW))
end

-- A server on this host that answers a line with its length, as a function that closes it and the
-- port that it has.
local function line_server()
  local server, clients = uv.new_tcp(), {}
  server:bind("127.0.0.1", 0)
  server:listen(4, function()
    local client = uv.new_tcp()
    table.insert(clients, client)
    server:accept(client)
    client:read_start(function(_, data)
      if data then client:write(("%d bytes\n"):format(#data)) end
    end)
  end)
  local function close()
    for _, client in ipairs(clients) do client:close() end
    server:close()
    uv.run "nowait"
  end
  return setmetatable({}, { __close = close }), server:getsockname().port
end

describe("Linux with an agent, in one boot,", function()
  local why = testing.unavailable "linux" or missing()
  setup(function()
    if why then return end
    assert(os.execute("mkdir " .. folder))
    ext2.write(folder .. "/root.img", {
      ["/init"] = { file = images.path "agent", mode = "755" },
      ["/dev"] = { dir = true }, ["/proc"] = { dir = true }, ["/sys"] = { dir = true },
    })
  end)
  teardown(function() os.execute("rm -rf " .. folder) end)
  local t = testing.shared(why and {} or options())

  -- An example that needs device types.
  local function line(what, needs, fn)
    it(what, function()
      local lacks = why or missing(table.unpack(needs))
      if lacks then return pending(lacks) end
      fn(t.m, t.guest.agent)
    end)
  end

  line("has its root on a virtio disk", { "virtio-blk-pci" }, function(_, agent)
    assert.matches("/dev/root / ext2 rw", agent:read "/proc/mounts")
    agent:write("/proof", "written by the guest\n", "create")
    agent:sync()
    local image = command.read(folder .. "/root.img")
    assert.is_truthy(image:find("written by the guest\n", 1, true))
  end)

  line("gets an address by DHCP and talks to a server", { "netdev-user", "virtio-net-pci" },
    function(_, agent)
      runner.forget_holds() -- libslirp keeps a connection's socket for a while
      assert.matches("^10%.0%.2%.", agent:network("eth0").address)
      local server <close>, port = line_server()
      assert.is_truthy(server)
      local socket <close> = agent:tcp("10.0.2.2", port)
      socket:send(("x"):rep(1234))
      assert.matches("^%d+ bytes\n", socket:receive())
    end)

  line("reads, writes, sees the new size of and gives back a disk", { "virtio-blk-pci" },
    function(m, agent)
      local path = random_file("disk", 16)
      m:object_add("blockdev-file", { id = "drive1", filename = path })
      m:device_add("virtio-blk-pci",
        { bus = "i440fx", id = "disk1", drive = "drive1", serial = "proof" })
      eventually("the disk", function() return agent:stat "/dev/vdb" end)
      assert.equal(sha256sum(path), (agent:sha256 "/dev/vdb"))
      local file = agent:open("/dev/vdb", { "rdwr" })
      file:fill("1M", "2M", 12)
      file:pwrite(512, "from the guest")
      file:fsync()
      assert.equal("from the guest", command.read(path):sub(513, 526))
      file:close()
      assert.equal(sha256sum(path), (agent:sha256 "/dev/vdb"))
      m:object("drive1"):set("size", "24M")
      eventually("the new size", function()
        return agent:read "/sys/block/vdb/size" == ("%d\n"):format(24 << 11)
      end)
      unplug(m, "disk1")
      assert.is_nil(agent:stat "/dev/vdb")
      m:object_del "drive1"
    end)

  line("pings on a second network that comes and goes", { "netdev-lua", "virtio-net-pci" },
    function(m, agent)
      local before = #agent:networks()
      m:object_add("netdev-lua", { id = "net1" })
      net_peer.attach(m:netdev "net1", "10.0.3.2")
      m:device_add("virtio-net-pci", { bus = "i440fx", id = "nic1", netdev = "net1" })
      local name
      eventually("the network", function()
        for _, found in ipairs(agent:networks()) do
          if found:find "^eth" and not agent:network(found).address then name = found end
        end
        return name
      end)
      agent:network(name, { address = "10.0.3.15/24", up = true })
      assert.same({ sent = 3, received = 3 }, agent:ping("10.0.3.2", { count = 3, timeout = 60 }))
      unplug(m, "nic1")
      assert.equal(before, #agent:networks())
      m:object_del "net1"
    end)

  line("works on a CPU that comes and goes", { "cpu" }, function(m, agent)
    runner.forget_holds() -- the machine keeps a vCPU's descriptor for the next of its index
    assert.is_nil(agent:cpus()[1])
    m:device_add("cpu", { id = "cpu1" })
    m:wait("acpi-ost", { device = "cpu1", status = 0, timeout = SLOW.timeout })
    eventually("the CPU", function() return agent:cpus()[1] ~= nil end)
    agent:set_cpu(1, true)
    local done = agent:work(1, 1000000, SLOW)
    assert.same({ 1, agent:work(0, 1000000, SLOW).sum }, { done.cpu, done.sum })
    unplug(m, "cpu1")
    assert.is_nil(agent:cpus()[1])
  end)

  line("uses a DIMM that comes and goes", { "pc-dimm" }, function(_, agent)
    local before = agent:memory()
    t:plug { id = "dimm1", size = "256M" }
    local after = agent:memory()
    assert.equal(256 << 20, after.total - before.total)
    assert.is_true(after.free - before.free > 200 << 20)
    local memory = agent:allocate "200M"
    memory:fill(1, SLOW)
    assert.is_true(memory:verify(1, SLOW))
    memory:free()
    t:unplug "dimm1"
    assert.equal(before.total, agent:memory().total)
  end)

  line("grows and shrinks by virtio-mem", { "virtio-mem-pci" }, function(m, agent)
    local before = agent:memory()
    m:object("mem0"):set("requested-size", "256M")
    eventually("more memory", function()
      return agent:memory().total == before.total + (256 << 20)
    end)
    assert.is_true(agent:memory().free > before.free + (200 << 20))
    m:object("mem0"):set("requested-size", 0)
    eventually("less memory", function() return agent:memory().total == before.total end)
  end)

  line("gives pages to a balloon and takes them back", { "virtio-balloon-pci" },
    function(m, agent)
      local before, pages = agent:memory(), (64 << 20) // 4096
      m:object("balloon"):set("num-pages", pages)
      eventually("the balloon to grow", function() return m:object "balloon".actual == pages end)
      assert.is_true(agent:memory().free < before.free - (32 << 20))
      m:object("balloon"):set("num-pages", 0)
      eventually("the balloon to shrink", function() return m:object "balloon".actual == 0 end)
      eventually("the memory", function() return agent:memory().total == before.total end)
    end)

  line("sees the power button", {}, function(m, agent)
    agent:input { timeout = 0 } -- opens the devices
    m:powerdown()
    local events = agent:input { timeout = 60 }
    assert.same({ 1, 116, 1 }, { events[1].type, events[1].code, events[1].value })
    t.console:expect "evbug: Event%. Dev: input%d+, Type: 1, Code: 116, Value: 1"
  end)

  line("is watched by a watchdog", { "i6300esb" }, function(m, agent)
    local timer = agent:open("/dev/watchdog", { "write" })
    timer:ioctl(0xc0045706, ("<I4"):pack(4)) -- WDIOC_SETTIMEOUT
    timer:pwrite(nil, "x")
    m:wait("watchdog", { device = "watchdog", timeout = 60 })
    timer:pwrite(nil, "V") -- the end of its watch
    timer:close()
  end)

  line("has said nothing to complain of", {}, function(_, agent)
    local benign = { "tsc: ", "APIC calibration", "MMCONFIG", "supports timestamps until",
      "software IO TLB", "Spectre", "Unknown kernel command line", "watchdog" }
    for _, record in ipairs((agent:log { level = 4 })) do
      local known = false
      for _, words in ipairs(benign) do known = known or record.text:find(words, 1, true) ~= nil end
      assert.is_true(known, record.text)
    end
    assert.is_nil(t.console.failure)
  end)

  line("panics, which the host learns", { "pvpanic" }, function(m, agent)
    t.console.fatal = {} -- "Kernel panic" is what is wanted
    agent:panic()
    m:wait("guest-panicked", { device = "pvpanic", timeout = 60 })
    t.console:expect "Kernel panic"
    t.guest:ready() -- it starts again by itself
    t:pardon()
  end)
end)
