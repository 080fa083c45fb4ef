-- The commands of QMP, through m:qmp() and, where the wire matters, as a client.
local lunik = require "lunik"
local json = require "lunik.json"
local qmp = require "spec.support.qmp_client"
local uv = require "luv"

local MiB = 1 << 20

describe("QMP's command", function()
  local m

  before_each(function()
    m = lunik.machine { board = "pc", accel = "none", memory = "64M", maxmem = "1G", slots = 2,
      serial = "buffer", cpus = 1, maxcpus = 2, numa = { { cpus = { 0, 1 }, memory = "64M" } } }
  end)

  after_each(function() m:close() end)

  local function refused(class, message, name, args)
    local ok, err = pcall(m.qmp, m, name, args)
    assert.is_false(ok)
    assert.equal(message, err.message)
    assert.equal(class, err.class or "GenericError")
  end

  local function names_of(list, key)
    local set = {}
    for _, item in ipairs(list) do set[item[key or "name"]] = item end
    return set
  end

  it("object-add and device_add plug a DIMM in both forms of QEMU", function()
    m:qmp("object-add", { ["qom-type"] = "memory-backend-ram", id = "mem1",
      props = { size = 128 * MiB } })
    m:qmp("device_add", { driver = "pc-dimm", node = 0, memdev = "mem1", id = "dimm1", slot = 0 })
    m:qmp("object-add", { ["qom-type"] = "memory-backend-memfd", id = "mem2", size = 128 * MiB,
      share = true })
    m:qmp("device_add", { driver = "pc-dimm", memdev = "mem2", id = "dimm2",
      addr = 0x100000000 + 256 * MiB })
    local list = m:qmp "query-memory-devices"
    assert.same({ type = "dimm", data = { id = "dimm1", addr = 0x100000000, slot = 0, node = 0,
      size = 128 * MiB, memdev = "/objects/mem1", hotplugged = false, hotpluggable = true } },
      list[1])
    assert.equal(0x110000000, list[2].data.addr)
    assert.same({ ["base-memory"] = 64 * MiB, ["plugged-memory"] = 256 * MiB },
      m:qmp "query-memory-size-summary")
    local memdev = names_of(m:qmp "query-memdev", "id").mem2
    assert.is_true(memdev.share)
    assert.same({}, memdev["host-nodes"])
    refused("GenericError", "object 'mem1' is in use, can not be deleted", "object-del",
      { id = "mem1" })
    m:qmp("device_del", { id = "dimm1" })
    m:qmp("device_del", { id = "/machine/peripheral/dimm2" })
    m:qmp("object-del", { id = "mem1" })
    assert.is_nil(m:object "mem1")
  end)

  it("object-add and device_add are refused in QEMU's words", function()
    m:qmp("object-add", { ["qom-type"] = "memory-backend-ram", id = "m1", size = 128 * MiB })
    refused("GenericError",
      "attempt to add duplicate property 'm1' to object (type 'container')", "object-add",
      { ["qom-type"] = "memory-backend-ram", id = "m1", size = 128 * MiB })
    refused("GenericError", "Parameter 'qom-type' does not accept value 'pc-dimm'", "object-add",
      { ["qom-type"] = "pc-dimm", id = "x" })
    refused("GenericError", "Parameter 'id' is missing", "object-add",
      { ["qom-type"] = "memory-backend-ram" })
    refused("GenericError", "object 'nosuch' not found", "object-del", { id = "nosuch" })
    refused("GenericError", "object 'rtc' not found", "object-del", { id = "rtc" })
    refused("GenericError", "'nosuch' is not a valid device model name", "device_add",
      { driver = "nosuch" })
    refused("GenericError", "'memdev' property must be set", "device_add", { driver = "pc-dimm" })
    refused("GenericError", "Property 'pc-dimm.x' not found", "device_add",
      { driver = "pc-dimm", memdev = "m1", x = 1 })
    m:qmp("device_add", { driver = "pc-dimm", memdev = "m1", id = "d1" })
    refused("GenericError", "can't use already busy memdev: m1", "device_add",
      { driver = "pc-dimm", memdev = "m1" })
    refused("DeviceNotFound", "Device 'm9' not found", "device_add",
      { driver = "pc-dimm", memdev = "m9" })
    refused("GenericError", "Parameter 'foo' is unexpected", "object-add",
      { ["qom-type"] = "memory-backend-ram", id = "x", size = 4096, foo = 1 })
    refused("GenericError", "Duplicate device ID 'd1'", "device_add",
      { driver = "pc-dimm", memdev = "m1", id = "d1" })
    refused("DeviceNotFound", "Device 'nosuch' not found", "device_del", { id = "nosuch" })
    refused("DeviceNotFound", "Device 'm1' not found", "device_del", { id = "m1" })
    for _, value in ipairs { json.null, setmetatable({}, json.Object), { {} }, 1.5, "x" } do
      assert.is_false(pcall(m.qmp, m, "object-add",
        { ["qom-type"] = "memory-backend-ram", id = "m2", size = value }))
      assert.is_nil(m:object "m2")
    end
  end)

  it("device_add takes buses, addresses and types as QEMU names them", function()
    m:qmp("object-add", { ["qom-type"] = "rng-builtin", id = "rng0" })
    m:qmp("device_add", { driver = "virtio-rng-pci", rng = "rng0", id = "r1", bus = "pci.0",
      addr = "0x4" })
    m:qmp("device_add", { driver = "virtio-serial-pci", id = "vs0" })
    m:qmp("chardev-add", { id = "c0", backend = { type = "null" } })
    m:qmp("device_add", { driver = "virtserialport", id = "p0", bus = "vs0.0", chardev = "c0" })
    m:qmp("device_add", { driver = "isa-serial", id = "com2" })
    m:qmp("device_add", { driver = "isa-serial", id = "com4", index = 3 })
    assert.equal("4.0", m:qmp("qom-get", { path = "r1", property = "addr" }))
    assert.equal("/objects/rng0", m:qmp("qom-get",
      { path = "/machine/peripheral/r1", property = "rng" }))
    assert.equal(0x2f8, m:object("com2").iobase)
    assert.equal(0x2e8, m:object("com4").iobase)
    local bus = m:qmp("query-pci")[1]
    local card = names_of(bus.devices, "qdev_id").r1
    assert.equal(4, card.slot)
    assert.equal(0x1af4, card.id.vendor)
  end)

  it("query-hotpluggable-cpus and query-cpus-fast follow the processors", function()
    local free = m:qmp("query-hotpluggable-cpus")[1]
    assert.equal("qemu64-x86_64-cpu", free.type)
    assert.is_nil(free["qom-path"])
    local args = { driver = free.type, id = "vcpu1" }
    for name, value in pairs(free.props) do args[name] = value end
    m:qmp("device_add", args)
    assert.equal("/machine/peripheral/vcpu1", m:qmp("query-hotpluggable-cpus")[1]["qom-path"])
    local all = m:qmp "query-cpus-fast"
    assert.equal(2, #all)
    assert.equal("x86_64", all[2].target)
    assert.equal(uv.os_getpid(), all[1]["thread-id"])
    m:qmp("device_del", { id = "vcpu1" })
    assert.equal(1, #m:qmp "query-cpus-fast")
  end)

  it("qom-list, qom-get and qom-set walk the tree", function()
    local root = names_of(m:qmp("qom-list", { path = "/" }))
    assert.equal("child<container>", root.machine.type)
    assert.equal("child<isa-serial>",
      names_of(m:qmp("qom-list", { path = "/machine/peripheral" })).serial0.type)
    assert.equal("child<chardev-ringbuf>",
      names_of(m:qmp("qom-list", { path = "/objects/" }))["serial-chardev"].type)
    assert.equal("uint64",
      names_of(m:qmp("qom-list", { path = "/machine/peripheral/serial0" })).iobase.type)
    assert.equal("isa-serial", m:qmp("qom-get", { path = "serial0", property = "type" }))
    refused("GenericError", "Property 'isa-serial.x' not found", "qom-get",
      { path = "serial0", property = "x" })
    refused("DeviceNotFound", "Device '/nowhere' not found", "qom-list", { path = "/nowhere" })
    m:qmp("object-add", { ["qom-type"] = "memory-backend-ram", id = "m1", size = MiB })
    m:qmp("qom-set", { path = "/objects/m1", property = "merge", value = false })
    assert.is_false(m:object("m1").merge)
    assert.is_false(pcall(m.qmp, m, "qom-set",
      { path = "/objects/m1", property = "size", value = 4096 }))
    assert.is_false(pcall(m.qmp, m, "qom-set",
      { path = "/objects/m1", property = "merge", value = json.null }))
  end)

  it("qom-list-types and the properties of types come from the table of types", function()
    local types = names_of(m:qmp "qom-list-types")
    for _, name in ipairs(lunik.types()) do
      local qemu = require("lunik.qmp.names").of_type(name)
      assert.equal(not lunik.type(name).abstract, types[qemu] ~= nil, name)
    end
    assert.truthy(names_of(m:qmp("qom-list-types", { implements = "memory-backend" }))
      ["memory-backend-memfd"])
    assert.is_nil(names_of(m:qmp("qom-list-types", { implements = "device" }))
      ["memory-backend-memfd"])
    assert.truthy(names_of(m:qmp("qom-list-types", { abstract = true }))["memory-backend"])
    local props = names_of(m:qmp("device-list-properties", { typename = "pc-dimm" }))
    assert.equal("link<memory-backend>", props.memdev.type)
    assert.equal(-1, props.slot["default-value"])
    refused("DeviceNotFound", "Device 'nosuch' not found", "device-list-properties",
      { typename = "nosuch" })
    refused("DeviceNotFound", "Class 'nosuch' not found", "qom-list-properties",
      { typename = "nosuch" })
    assert.same({}, m:qmp("qom-list-properties", { typename = "none-machine" }))
    assert.truthy(names_of(m:qmp("qom-list-properties", { typename = "memory-backend-file" }))
      ["mem-path"])
  end)

  it("chardev-add, query-chardev and the ring buffer's commands", function()
    local added = m:qmp("chardev-add", { id = "pty0", backend = { type = "pty", data = {} } })
    assert.equal("pty:" .. added.pty, names_of(m:qmp "query-chardev", "label").pty0.filename)
    m:qmp("chardev-add", { id = "ring0", backend = { type = "ringbuf", data = { size = 4096 } } })
    assert.is_false(names_of(m:qmp "query-chardev", "label").ring0["frontend-open"])
    local stream = m:stream "ring0"
    assert.is_true(names_of(m:qmp "query-chardev", "label").ring0["frontend-open"])
    refused("GenericError", "Chardev 'ring0' is busy", "chardev-remove", { id = "ring0" })
    local got = ""
    stream:on_data(function(bytes) got = got .. bytes end)
    stream:write "out\0\xff"
    assert.equal("b3V0AP8=",
      m:qmp("ringbuf-read", { device = "ring0", size = 10, format = "base64" }))
    m:qmp("ringbuf-write", { device = "ring0", data = "aW4=", format = "base64" })
    qmp.wait_for(function() return got == "in" end)
    refused("GenericError", "Invalid base64 data 'a'", "ringbuf-write",
      { device = "ring0", data = "a", format = "base64" })
    refused("GenericError", "pty0 is not a ringbuf device", "ringbuf-read",
      { device = "pty0", size = 1 })
    refused("GenericError", "Parameter 'type' does not accept value 'x'", "chardev-add",
      { id = "x", backend = { type = "x" } })
    stream:close()
    m:qmp("chardev-remove", { id = "ring0" })
    refused("GenericError", "Chardev 'ring0' not found", "chardev-remove", { id = "ring0" })
  end)

  it("blockdev-add and the queries about disks", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(("\0"):rep(MiB))
    file:close()
    m:qmp("blockdev-add", { driver = "raw", ["node-name"] = "disk0",
      file = { driver = "file", filename = path }, ["read-only"] = false })
    m:qmp("device_add", { driver = "virtio-blk-pci", id = "vda", drive = "disk0" })
    assert.equal("disk0", m:qmp("query-named-block-nodes")[1]["node-name"])
    assert.equal(MiB, m:qmp("query-named-block-nodes", { flat = true })[1].image["virtual-size"])
    assert.equal("/machine/peripheral/vda", m:qmp("query-block")[1].qdev)
    assert.equal(0, m:qmp("query-blockstats")[1].stats.rd_operations)
    refused("GenericError", "Node disk0 is in use", "blockdev-del", { ["node-name"] = "disk0" })
    m:qmp("block_resize", { ["node-name"] = "disk0", size = 2 * MiB })
    assert.equal(2 * MiB, m:object("disk0").size)
    refused("GenericError", "Parameter 'driver' does not accept value 'qcow2'", "blockdev-add",
      { driver = "qcow2", ["node-name"] = "x" })
    os.remove(path)
  end)

  it("netdev_add, set_link and netdev_del", function()
    m:object_add("netdev-lua", { id = "net0" })
    m:qmp("device_add", { driver = "virtio-net-pci", id = "nic0", netdev = "net0" })
    m:qmp("set_link", { name = "nic0", up = false })
    assert.is_false(m:object("nic0").link)
    m:qmp("set_link", { name = "net0", up = true })
    assert.is_true(m:object("nic0").link)
    refused("DeviceNotFound", "Device 'x' not found", "set_link", { name = "x", up = true })
    refused("GenericError", "Parameter 'type' does not accept value 'x'", "netdev_add",
      { type = "x", id = "n" })
    m:object_add("netdev-lua", { id = "net1" })
    m:qmp("netdev_del", { id = "net1" })
    assert.is_nil(m:object "net1")
  end)

  it("balloon, query-balloon and guest-stats", function()
    refused("DeviceNotActive", "No balloon device has been activated", "query-balloon")
    m:qmp("device_add", { driver = "virtio-balloon-pci", id = "balloon0" })
    m:qmp("balloon", { value = 32 * MiB })
    assert.equal(32 * MiB, m:balloon().target)
    assert.same({ actual = 64 * MiB }, m:qmp "query-balloon")
    local stats = m:qmp("qom-get", { path = "balloon0", property = "guest-stats" })
    assert.equal(-1, stats.stats["stat-free-memory"])
    assert.truthy(names_of(m:qmp("qom-list",
      { path = "/machine/peripheral/balloon0" }))["guest-stats"])
  end)

  it("pmemsave writes memory to a file", function()
    local path = os.tmpname()
    m:write(0x2000, "saved")
    m:qmp("pmemsave", { val = 0x2000, size = 5, filename = path })
    local file = assert(io.open(path))
    assert.equal("saved", file:read "a")
    file:close()
    refused("GenericError", "Parameter 'size' expects a positive value", "pmemsave",
      { val = 0, size = -1, filename = path })
    refused("GenericError", "Parameter 'cpu-index' expects a CPU number", "memsave",
      { val = 0, size = 1, filename = path })
    os.remove(path)
  end)

  it("calc-dirty-rate measures meanwhile", function()
    assert.equal("unstarted", m:qmp("query-dirty-rate").status)
    refused("GenericError", "calc-time is out of range[1, 60].", "calc-dirty-rate",
      { ["calc-time"] = 0 })
    m:qmp("calc-dirty-rate", { ["calc-time"] = 1, ["sample-pages"] = 512 })
    assert.equal("measuring", m:qmp("query-dirty-rate").status)
    qmp.wait_for(function() return m:qmp("query-dirty-rate").status == "measured" end)
    assert.equal(0, m:qmp("query-dirty-rate")["dirty-rate"])
  end)

  it("query-acpi-ospm-status has the guest's last answers", function()
    local monitor <close> = lunik.qmp { machine = m, chardev = m:chardev("null", "mon") }
    m:emit("acpi-ost", { slot = 1, slot_type = "DIMM", source = 3, status = 132 })
    lunik.run "nowait"
    local list = m:qmp "query-acpi-ospm-status"
    assert.same({ slot = "0", ["slot-type"] = "DIMM", source = 0, status = 0 }, list[1])
    assert.same({ slot = "1", ["slot-type"] = "DIMM", source = 3, status = 132 }, list[2])
    assert.is_table(monitor)
  end)

  it("getfd, add-fd and their opposites own descriptors", function()
    local path = os.tmpname()
    os.remove(path)
    local monitor = lunik.qmp { machine = m, path = "unix:" .. path }
    local pipe, text = uv.new_pipe(true), ""
    pipe:connect(path)
    local function answer(command, ...)
      text = ""
      if ... then pipe:write2(command, ...) else pipe:write(command) end
      qmp.wait_for(function()
        uv.run "nowait"
        return text:find "\r\n"
      end)
      return text
    end
    uv.run "nowait"
    pipe:read_start(function(_, bytes) text = text .. (bytes or "") end)
    qmp.wait_for(function()
      uv.run "nowait"
      return text:find "QMP"
    end)
    answer '{"execute":"qmp_capabilities"}'
    local sent = uv.new_tcp()
    sent:bind("127.0.0.1", 0)
    assert.matches('"return"', answer('{"execute":"getfd","arguments":{"fdname":"a"}}', sent))
    local fd = monitor.fds.a
    local function is_open(n) return io.open(("/proc/self/fdinfo/%d"):format(n)) ~= nil end
    assert.is_true(is_open(fd))
    assert.matches('"return"', answer '{"execute":"closefd","arguments":{"fdname":"a"}}')
    assert.is_false(is_open(fd))
    assert.matches("not found", answer '{"execute":"closefd","arguments":{"fdname":"a"}}')
    assert.matches("No file descriptor supplied via SCM_RIGHTS",
      answer '{"execute":"getfd","arguments":{"fdname":"b"}}')
    answer('{"execute":"add-fd","arguments":{"fdset-id":3,"opaque":"o"}}', sent)
    local set = m:qmp("query-fdsets")[1]
    assert.equal(3, set["fdset-id"])
    assert.equal("o", set.fds[1].opaque)
    m:qmp("remove-fd", { ["fdset-id"] = 3 })
    assert.is_false(is_open(set.fds[1].fd))
    answer('{"execute":"getfd","arguments":{"fdname":"c"}}', sent)
    fd = monitor.fds.c
    pipe:close()
    sent:close()
    qmp.wait_for(function()
      uv.run "nowait"
      return not is_open(fd)
    end)
  end)

  it("query-qmp-schema refers to what it has, and has every command and event", function()
    local entries, commands = {}, {}
    local list = m:qmp "query-qmp-schema"
    for _, entry in ipairs(list) do
      assert.is_nil(entries[entry.name], entry.name)
      entries[entry.name] = entry
    end
    local function check(name) assert.is_table(entries[name], name) end
    for _, entry in ipairs(list) do
      for _, member in ipairs(entry["meta-type"] == "object" and entry.members or {}) do
        check(member.type)
      end
      for _, variant in ipairs(entry.variants or {}) do check(variant.type) end
      if entry["element-type"] then check(entry["element-type"]) end
      if entry["arg-type"] then check(entry["arg-type"]) end
      if entry["meta-type"] == "command" then
        check(entry["ret-type"])
        commands[#commands + 1] = { name = entry.name }
      end
    end
    assert.same(m:qmp "query-commands", commands)
    assert.equal("event", entries.DEVICE_DELETED["meta-type"])
    -- What libvirt looks for.
    local member = names_of(entries[entries["object-add"]["arg-type"]].members)["qom-type"]
    local values = {}
    for _, value in ipairs(entries[member.type].values) do values[value] = true end
    assert.is_true(values.secret and values["memory-backend-memfd"])
    assert.same({ "json-cli", "json-cli-hotplug" }, entries.device_add.features)
    local flat = names_of(entries[entries["query-named-block-nodes"]["arg-type"]].members).flat
    assert.equal(json.null, flat.default)
  end)

  it("human-monitor-command runs commands of people's monitor", function()
    assert.equal("unknown command: 'nosuch'\r\n",
      m:qmp("human-monitor-command", { ["command-line"] = "nosuch y", ["cpu-index"] = 0 }))
    assert.equal("quit|q  -- quit the emulator\r\n",
      m:qmp("human-monitor-command", { ["command-line"] = "help quit" }))
    local text = m:qmp("human-monitor-command", { ["command-line"] = "info memdev" })
    assert.truthy(text:find "memory backend: [%w.]+\r\n  size:  %d+\r\n")
    assert.is_nil(text:find "[^\r]\n")
  end)

  it("sets what happens at the end of a run", function()
    local pc <close> = lunik.machine { board = "pc", accel = "none", memory = "16M" }
    pc:device_add("pvpanic", { id = "panic" })
    pc:device_add("i6300esb", { id = "dog" })
    pc:qmp("set-action", { panic = "pause", watchdog = "none", shutdown = "pause" })
    assert.equal("pause", pc:object "panic":get "on-panic")
    assert.equal("none", pc:object "dog".action)
    local actions = require "lunik.qmp.actions"
    assert.equal("pause", actions.of(pc).shutdown)
    assert.has_error(function() pc:qmp("set-action", { reboot = "never" }) end)
    assert.is_nil(actions.of(pc).reboot)
    pc:qmp("set-action", { reboot = "shutdown" })
    pc:start()
    pc.io:store(0xcf9, 1, 6)
    pc:emit("reset", { vcpu = 0 })
    pc:wait("shutdown", { timeout = 10 })
    assert.equal("shutdown", pc.state)
  end)

  it("reports counters, and what they are", function()
    local pc <close> = lunik.machine { board = "pc", accel = "none", memory = "16M" }
    local result = pc:qmp("query-stats", { target = "vm" })[1]
    assert.equal("lunik", result.provider)
    local known = {}
    for _, schema in ipairs(pc:qmp "query-stats-schemas") do
      for _, counter in ipairs(schema.stats) do
        known[schema.target .. counter.name] = counter.type
      end
    end
    for _, counter in ipairs(result.stats) do
      assert.truthy(known["vm" .. counter.name])
      assert.equal(pc.stats[counter.name], counter.value)
    end
    assert.same({}, setmetatable(pc:qmp("query-stats",
      { target = "vm", providers = { { provider = "kvm" } } }), nil))
    assert.same({}, setmetatable(pc:qmp("query-stats-schemas", { provider = "kvm" }), nil))
    local some = pc:qmp("query-stats", { target = "vm",
      providers = { { provider = "lunik", names = { "holds" } } } })[1].stats
    assert.equal(1, #some)
    assert.has_error(function() pc:qmp("query-stats", { target = "vm", vcpus = { "x" } }) end)
    assert.has_error(function() pc:qmp("query-stats", { target = "vcpu", vcpus = { "x" } }) end)
  end)
end)
