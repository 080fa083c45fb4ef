-- QEMU's command line: the machine that each option makes, and what is refused.
local lunik = require "lunik"
local board = require "lunik.qemu.board"
local command = require "spec.support.command"
local command_line = require "lunik.qemu.command_line"

describe("QEMU's command line", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  -- Splits a text into words at white space; what is in quotes is one.
  local function words(text)
    local out, at = {}, 1
    while text:find("%S", at) do
      local word, after = text:match("^%s*'([^']*)'()", at)
      if not word then word, after = text:match("^%s*(%S+)()", at) end
      out[#out + 1], at = word, after
    end
    return out
  end

  local function build(text, ...)
    local list = words("-accel none -nodefaults " .. text:format(...))
    m = board.build(command_line.parse(list))
    return m
  end

  local function refused(text)
    local ok, err = pcall(build, text)
    assert.is_false(ok, text)
    return tostring(err)
  end

  it("makes the machine that libvirt asks for", function()
    local path <close> = command.file ""
    build([[-name guest=d1,debug-threads=on -S
      -object '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"key.aes"}'
      -machine pc-i440fx-7.2,usb=off,dump-guest-core=off -cpu qemu64
      -m size=131072k,slots=8,maxmem=4194304k -overcommit mem-lock=off
      -smp 1,maxcpus=2,sockets=2,cores=1,threads=1
      -object '{"qom-type":"memory-backend-ram","id":"ram-node0","size":134217728}'
      -numa node,nodeid=0,cpus=0-1,memdev=ram-node0 -uuid 11111111-2222-3333-4444-555555555555
      -display none -no-user-config -nodefaults -rtc base=utc -no-shutdown -boot strict=on
      -chardev file,id=charserial0,path=%s,append=on
      -device '{"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}'
      -audiodev '{"id":"audio1","driver":"none"}'
      -object '{"qom-type":"memory-backend-memfd","id":"memdimm0","share":true,"size":134217728}'
      -device '{"driver":"pc-dimm","node":0,"memdev":"memdimm0","id":"dimm0","slot":0}'
      -device '{"driver":"virtio-balloon-pci","id":"balloon0","bus":"pci.0","addr":"0x5"}'
      -sandbox on,obsolete=deny,spawn=deny -msg timestamp=on]], path)
    assert.equal("d1", m.name)
    assert.equal("11111111-2222-3333-4444-555555555555", m:qmp("query-uuid").UUID)
    assert.equal(0x3f8, m:object("serial0").iobase)
    assert.equal(2, #m:hotpluggable_cpus())
    local dimm = m:memory_devices()[1]
    assert.same({ "dimm0", 0, false }, { dimm.data.id, dimm.data.slot, dimm.data.hotplugged })
    assert.equal("5.0", m:object("balloon0").addr)
    local objects = {}
    for _, item in ipairs(m:qmp("qom-list", { path = "/objects" })) do
      objects[item.name] = item.type
    end
    assert.equal("child<secret>", objects.masterKey0)
  end)

  it("takes options as people write them", function()
    build [[-M pc -m 256 -smp cpus=2,sockets=1 -kernel build/guests/small.elf -append 'a=b c'
      -object memory-backend-ram,id=m1,size=64M -netdev user,id=n0,restrict=on
      -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56 -object rng-builtin,id=r0
      -device virtio-rng-pci,rng=r0,addr=7 -global PIIX4_PM.disable_s3=1 -no-hpet -vga none]]
    assert.equal(256 << 20, m:qmp("query-memory-size-summary")["base-memory"])
    assert.equal(2, #m:hotpluggable_cpus())
    assert.is_true(m:object("piix4-pm").disable_s3)
    local found = {}
    for _, object in ipairs(m:objects()) do found[object.type] = object end
    assert.equal("52:54:00:12:34:56", found["virtio-net-pci"].mac)
    assert.equal("7.0", found["virtio-rng-pci"].addr)
  end)

  it("has nodes, their distances and memory", function()
    build [[-m 256M -smp 2 -numa node,cpus=0,mem=128 -numa node,cpus=1,mem=128M
      -numa dist,src=0,dst=1,val=31]]
    local text = m:hmp "info numa"
    assert.truthy(text:find("2 nodes", 1, true), text)
    assert.truthy(text:find("node 1 cpus: 1", 1, true), text)
  end)

  it("takes a disk in one node, in two, and by -drive", function()
    local path <close> = command.file(("x"):rep(4096))
    build([[-blockdev driver=file,filename=%s,node-name=store,read-only=on
      -blockdev '{"node-name":"format","driver":"raw","file":"store"}'
      -device '{"driver":"virtio-blk-pci","drive":"format","id":"disk0","bus":"pci.0","addr":"0x4"}'
      -drive file=%s,format=raw,if=virtio,readonly=on,id=second]], path, path)
    assert.equal("store", m:object("disk0"):get "drive")
    assert.is_true(m:object("second").readonly)
    local devices = {}
    for _, disk in ipairs(m:qmp "query-block") do
      devices[disk.inserted["node-name"]] = disk.qdev
    end
    assert.equal("/machine/peripheral/disk0", devices.store)
    assert.truthy(devices.second)
    local ok, err = pcall(m.qmp, m, "blockdev-del", { ["node-name"] = "store" })
    assert.is_false(ok)
    assert.truthy(tostring(err):find "Node 'store' is busy" or tostring(err):find "in use")
  end)

  it("has serial ports, files of the firmware configuration, SMBIOS texts", function()
    local out <close> = command.file ""
    build([[-serial null -serial file:%s -fw_cfg name=opt/a,string=hello
      -smbios type=1,manufacturer=Ours,serial=7 -debugcon file:%s.debug]], out, out)
    os.remove(out .. ".debug")
    m:outb(0x2f8, 0x41)
    lunik.sleep(0.01)
    assert.equal("A", command.read(out))
    assert.equal("hello", m:fw_cfg "opt/a")
    assert.truthy(m:fw_cfg("etc/smbios/smbios-tables"):find("Ours", 1, true))
  end)

  it("has what a guest's end does as set-action has it", function()
    local function actions(text) return command_line.parse(words(text)).actions end
    assert.same({ reboot = "shutdown", shutdown = "pause" }, actions "-no-reboot -no-shutdown")
    assert.same({ reboot = "reset", panic = "pause", watchdog = "none" },
      actions "-no-reboot -action reboot=reset,panic=pause -watchdog-action none")
  end)

  it("starts with no board for questions", function()
    build "-machine none,accel=kvm:tcg"
    assert.equal("none", m.accel)
    assert.equal("prelaunch", m:qmp("query-status").status)
  end)

  it("has its options in a table of the documentation", function()
    local page = command.read "docs/howto/lunik-qemu.md"
    for _, row in ipairs(require("lunik.qemu.help").rows()) do
      assert.truthy(page:find(row, 1, true), row)
    end
  end)

  it("names the option that is wrong, and what is possible", function()
    local cases = {
      { "-foo", "-foo: is not supported" },
      { "-kernl x", "-kernl: is not supported %(did you mean %-kernel%?%)" },
      { "disk.img", "disk.img: is no option" },
      { "-m", "-m: requires an argument" },
      { "-m 1Q", "^%-m 1Q: size: '1Q'" },
      { "-m 128,slot=1", "'slot' is not supported %(did you mean 'slots'%?%)" },
      { "-machine q35", "^%-machine q35: unsupported machine type 'q35'" },
      { "-machine pc,foo=on", "'foo' is not supported" },
      { "-cpu pentium", "unable to find CPU model 'pentium'" },
      { "-smp x", "cpus: 'x' is not a number" },
      { "-numa node,nodeid=3", "nodeid: '3' is out of order" },
      { "-numa node -numa dist,src=0,dst=4,val=20", "there is no node 4" },
      { "-object nosuch,id=x", "^%-object nosuch,id=x: " },
      { "-object memory-backend-ram,id=x,foo=1", "Parameter 'foo' is unexpected" },
      { "-device nosuch", "^%-device nosuch: 'nosuch' is not a valid device model name" },
      { "-device pc-dimm", "'memdev' property must be set" },
      { "-device '{\"driver\":'", "want a JSON object" },
      { "-device virtio-blk-pci,drive=none", "Device 'none' not found" },
      { "-chardev tcp,id=a", "'tcp' is not supported" },
      { "-chardev socket,id=a,host=h,port=1", "'%l+' is not supported" },
      { "-chardev null", "id is missing" },
      { "-serial tcp::1", "'tcp::1' is not supported" },
      { "-netdev bridge,id=a", "Parameter 'type' does not accept value 'bridge'" },
      { "-drive file=x,format=qcow2", "'qcow2' is not a valid choice" },
      { "-drive file=x,if=ide", "'ide' is not a valid choice" },
      { "-blockdev driver=qcow2,node-name=a", "does not accept value 'qcow2'" },
      { "-bios /nonexistent", "^%-bios /nonexistent: there is no such file" },
      { "-rtc base=localtime", "'localtime' is not a valid choice" },
      { "-display gtk", "'gtk' is not supported %(want none%)" },
      { "-global e1000.x=1", "'e1000.x' is not supported" },
      { "-add-fd fd=99,set=1", "fd: '99' is not open" },
      { "-smbios type=4", "'4' is not supported" },
      { "-incoming defer", "-incoming: is not supported" },
      { "-action reboot=never", "reboot: 'never' is not a valid choice" },
      { "-action foo=bar", "'foo' is not supported" },
      { "-watchdog-action bark", "watchdog: 'bark' is not a valid choice" },
      { "-accel hvf", "'hvf' is not a valid choice" },
    }
    for _, case in ipairs(cases) do
      local message = refused(case[1])
      assert.truthy(message:find(case[2]), case[1] .. " -> " .. message)
      assert.is_nil(message:find "\n", message)
      assert.same({}, lunik.machines())
    end
  end)
end)
