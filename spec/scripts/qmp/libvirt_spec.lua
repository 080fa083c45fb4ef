-- What libvirt 9.0 sends when it probes an emulator, starts a domain, plugs and unplugs a DIMM and
-- comes back to a running domain, in its order, with what it needs of each answer.
local lunik = require "lunik"
local qmp = require "spec.support.qmp_client"
local small = require "spec.support.small_guest"

describe("libvirt", function()
  local m, path, client, serial

  local function serve(options)
    path, serial = os.tmpname(), 0
    os.remove(path)
    m = lunik.machine(options)
    lunik.qmp { machine = m, path = "unix:" .. path }
    client = qmp.dial(path)
    assert.is_table(client:next().QMP)
  end

  after_each(function()
    client:close()
    m:close()
  end)

  -- Sends a command as libvirt does; returns the answer and the names of the events before it.
  local function command(name, arguments)
    serial = serial + 1
    local answer, events = client:command(('{"execute":"%s"%s,"id":"libvirt-%d"}'):format(name,
      arguments and (',"arguments":%s'):format(arguments) or "", serial))
    assert.equal("libvirt-" .. serial, answer.id)
    for i, event in ipairs(events) do events[i] = event.event end
    return answer, events
  end

  local function result(name, arguments)
    local answer, events = command(name, arguments)
    assert.is_nil(answer.error and answer.error.desc, name)
    return answer["return"], events
  end

  local function has(list, name)
    for _, item in ipairs(list) do
      if item.name == name then return item end
    end
  end

  it("probes a machine without a board", function()
    serve { board = { build = function() end }, accel = "none", memory = "1M" }
    result "qmp_capabilities"
    local version = result("query-version").qemu
    assert.is_true(version.major > 4 or version.major == 4 and version.minor >= 2)
    assert.equal("x86_64", result("query-target").arch)
    assert.is_true(#result "query-qmp-schema" > 50)
    local commands = result "query-commands"
    assert.truthy(has(commands, "query-hotpluggable-cpus"))
    assert.is_nil(has(commands, "query-cpu-model-expansion"))
    assert.equal(small.unavailable() == nil, result("query-kvm").present)
    local types = result "qom-list-types"
    for _, name in ipairs { "isa-serial", "pc-dimm", "memory-backend-memfd", "virtio-mem-pci",
      "virtio-net-pci", "virtio-blk-pci", "virtio-balloon-pci" } do
      assert.truthy(has(types, name), name)
    end
    for _, name in ipairs { "sev-guest", "sgx-epc" } do
      assert.is_nil(has(types, name))
    end
    assert.equal(small.unavailable() ~= nil, has(types, "tcg-accel") ~= nil)
    for _, name in ipairs { "virtio-balloon-pci", "virtio-blk-pci", "scsi-hd", "PIIX4_PM",
      "usb-host", "pc-dimm", "vhost-user-fs-device" } do
      local answer = command("device-list-properties", ('{"typename":"%s"}'):format(name))
      assert.is_true(answer.error == nil or answer.error.class == "DeviceNotFound", name)
    end
    for _, name in ipairs { "memory-backend-file", "memory-backend-memfd", "none-machine",
      "pc-i440fx-7.2-machine", "max-x86_64-cpu" } do
      assert.is_table(result("qom-list-properties", ('{"typename":"%s"}'):format(name)))
    end
    local machine = result("query-machines")[1]
    assert.matches("^pc%-i440fx%-", machine.name)
    assert.equal("pc", machine.alias)
    assert.is_true(machine["hotpluggable-cpus"])
    assert.truthy(has(result "query-cpu-definitions", "qemu64").typename)
    assert.same({}, result "query-tpm-models")
    assert.same({}, result "query-tpm-types")
    assert.truthy(#result "query-command-line-options" > 20)
    assert.same({}, result "query-migrate-capabilities")
  end)

  local function start_domain()
    serve { board = "pc", accel = "none", memory = "128M", maxmem = "4G", slots = 8,
      serial = "pty", objects = { { "memory-backend-ram", { id = "ram-node0", size = "128M" } } },
      numa = { { cpus = { 0 }, memdev = "ram-node0" } } }
    result "qmp_capabilities"
    result "query-migrate-capabilities"
    result("migrate-set-capabilities",
      '{"capabilities":[{"capability":"events","state":true}]}')
    assert.matches("^pty:/dev/pts/", result("query-chardev")[1].filename)
    assert.equal("qemu64-x86_64-cpu", result("query-hotpluggable-cpus")[1].type)
    local cpu = result("query-cpus-fast")[1]
    local answer = command("qom-list", ('{"path":"%s"}'):format(cpu["qom-path"]))
    assert.is_true(answer.error == nil or answer.error.class == "DeviceNotFound")
    assert.is_nil(answer["return"] and has(answer["return"], "feature-words"))
    result "query-iothreads"
    result("query-named-block-nodes", '{"flat":true}')
    assert.equal("child<isa-serial>",
      has(result("qom-list", '{"path":"/machine/peripheral"}'), "serial0").type)
    result "query-block"
    assert.same({ "RESUME" }, select(2, result "cont"))
  end

  it("starts, suspends, resumes, resets and shuts down a domain", function()
    start_domain()
    assert.same({ "STOP" }, select(2, result "stop"))
    assert.same({ "RESUME" }, select(2, result "cont"))
    assert.same({ "RESET" }, select(2, result "system_reset"))
    assert.same({ "POWERDOWN" }, select(2, result "system_powerdown"))
    assert.equal("DeviceNotActive", command("balloon", '{"value":1048576}').error.class)
  end)

  it("plugs a DIMM and takes it out again", function()
    start_domain()
    local guest = require("lunik.guest").attach(m)
    result("object-add",
      '{"qom-type":"memory-backend-ram","id":"memdimm0","size":134217728}')
    result("device_add",
      '{"driver":"pc-dimm","node":0,"memdev":"memdimm0","id":"dimm0","slot":0}')
    local dimm = result("query-memory-devices")[1]
    for _, key in ipairs { "id", "addr", "slot", "node", "hotplugged", "hotpluggable", "size",
      "memdev" } do
      assert.is_not_nil(dimm.data[key], key)
    end
    assert.is_true(dimm.data.hotplugged)
    assert.truthy(has(result("qom-list", '{"path":"/machine/peripheral"}'), "dimm0"))
    assert.same({ device = "dimm0", slot = "0", ["slot-type"] = "DIMM", source = 1, status = 0 },
      client:event("ACPI_DEVICE_OST").data.info)
    result("device_del", '{"id":"dimm0"}')
    assert.same({ device = "dimm0", path = "/machine/peripheral/dimm0" },
      client:event("DEVICE_DELETED").data)
    result("object-del", '{"id":"memdimm0"}')
    assert.same({}, result "query-memory-devices")
    guest:detach()
  end)

  it("finds a running domain again after a restart", function()
    start_domain()
    client:close()
    client, serial = qmp.dial(path), 0
    assert.is_table(client:next().QMP)
    result "qmp_capabilities"
    result "query-migrate-capabilities"
    local status = result "query-status"
    assert.is_true(status.running)
    assert.equal("running", status.status)
    assert.is_false(status.singlestep)
    for _, name in ipairs { "query-hotpluggable-cpus", "query-cpus-fast", "query-memory-devices",
      "query-iothreads", "query-block", "query-chardev", "query-jobs" } do
      result(name)
    end
    result("qom-list", '{"path":"/machine/peripheral"}')
  end)
end)
