-- Debian's unmodified libvirt with lunik-qemu as its emulator: what virsh does with a domain. With
-- KVM the small guest runs in it; without, the spec writes the registers that the guest would.
local command = require "spec.support.command"
local document = require "spec.support.document"
local libvirt = require "spec.support.libvirt"
local qmp = require "spec.support.qmp_client"
local small = require "spec.support.small_guest"

local has_kvm = small.unavailable() == nil

local DOMAIN = [[
<domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>d1</name>
<uuid>11111111-2222-3333-4444-555555555555</uuid>
<maxMemory slots='8' unit='MiB'>4096</maxMemory><memory unit='MiB'>128</memory>
%s
<vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>%s</kernel><cmdline>%s</cmdline></os>
<features><acpi/><apic/></features>
<cpu><numa><cell id='0' cpus='0-1' memory='128' unit='MiB'/></numa></cpu>
<devices><controller type='usb' model='none'/>%s
<serial type='file'><source path='%s/serial'/><target port='0'/></serial></devices>
<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:%s/qmp,server=on,wait=off'/>
</qemu:commandline></domain>
]]

local DIMM = [[<memory model='dimm'>%s<target><size unit='MiB'>128</size><node>0</node></target>
</memory>]]

local VIRTIO_MEM = [[<memory model='virtio-mem'><target><size unit='MiB'>256</size><node>0</node>
<block unit='KiB'>2048</block><requested unit='MiB'>128</requested></target></memory>]]

describe("virsh", function()
  local reason = libvirt.unavailable()
  if reason then
    return it("needs libvirt", function() pending(reason) end)
  end

  local host, guest

  setup(function() host = libvirt.new() end)

  teardown(function() host:close() end)

  before_each(function() host:forget_errors() end)

  after_each(function()
    if guest then guest:close() end
    guest = nil
    host:start "destroy d1; undefine d1"()
  end)

  local function xml(text) return host:file(("x%d.xml"):format(#text), text) end

  -- Defines and starts a domain; opens the monitor of its own that the spec has.
  local function start(options)
    options = options or {}
    host:run(("define %s; start d1"):format(host:file("domain.xml", DOMAIN:format(
      has_kvm and "kvm" or "qemu", options.backing or "", small.image "small.elf",
      options.cmdline or "", options.devices or "<memballoon model='none'/>", host.folder,
      host.folder))))
    guest = qmp.dial(host.folder .. "/qmp")
    guest:greet()
    if has_kvm then
      qmp.wait_for(function() return command.read(host.folder .. "/serial"):find "guest: ready" end)
    end
  end

  -- Runs a line of the monitor for people.
  local function hmp(line)
    local answer = guest:command(('{"execute":"human-monitor-command","arguments":'
      .. '{"command-line":"%s"}}'):format(line))
    return answer["return"]
  end

  -- Does what the guest's ACPI does with slot 0 when it is to be ejected, once it is.
  local function eject(refused)
    if has_kvm then return end
    qmp.wait_for(function()
      hmp "o /w 0xa00 0"
      return tonumber(hmp "i /b 0xa14":match "= (%S+)") & 4 ~= 0
    end)
    hmp "o /b 0xa14 4"
    hmp "o /w 0xa04 3"
    hmp "o /w 0xa08 132"
    hmp(refused and "o /w 0xa08 130" or "o /b 0xa14 8")
  end

  local function has_dimm() return host:run "dumpxml d1":find("<memory model='dimm'>", 1, true) end

  it("starts a domain, plugs a DIMM in and shows where, takes it out, ends the domain", function()
    start()
    assert.truthy(host:run "domstate d1":find "running")
    host:run("attach-device d1 " .. xml(DIMM:format ""))
    local text = host:run "dumpxml d1"
    assert.truthy(text:find("<address type='dimm' slot='0' base='0x100000000'/>", 1, true), text)
    assert.truthy(host:run "qemu-monitor-command d1 --hmp info memory-devices"
      :find('[dimm]: "dimm0"', 1, true))
    assert.truthy(host:run [[qemu-monitor-command d1 "{\"execute\":\"query-status\"}"]]
      :find('"running":true', 1, true))

    local detached = host:start("detach-device d1 " .. xml(DIMM:format ""))
    eject()
    assert.is_true(select(2, detached()))
    assert.is_nil(has_dimm())
    assert.falsy(hmp "info memdev":find "memdimm0")
    host:run "destroy d1"
    assert.truthy(host:run "domstate d1":find "shut off")
    assert.same({}, host:errors())
  end)

  it("hears that the guest refuses to give a DIMM back", function()
    start { cmdline = "refuse-eject" }
    host:run("attach-device d1 " .. xml(DIMM:format ""))
    local detached = host:start("detach-device d1 " .. xml(DIMM:format ""))
    eject(true)
    local out, ok = detached()
    assert.is_false(ok)
    assert.truthy(out:find "unplug of device was rejected by the guest", out)
    assert.truthy(has_dimm())
    assert.same({}, host:errors "rejected by the guest")
  end)

  if not has_kvm then
    it("hears of a DIMM that leaves late", function()
      start()
      host:run("attach-device d1 " .. xml(DIMM:format "<alias name='ua-late'/>"))
      host:run "detach-device-alias d1 ua-late"
      assert.truthy(has_dimm())
      eject()
      qmp.wait_for(function() return not has_dimm() end)
      assert.same({}, host:errors())
    end)
  end

  it("plugs memory of all back ends, virtio-mem, a disk and a processor", function()
    local image = host:file("disk", ("\0"):rep(1 << 20))
    for _, source in ipairs { "<source type='memfd'/><access mode='shared'/>",
      ("<source type='file'/><access mode='shared'/>") } do
      start { backing = "<memoryBacking>" .. source .. "</memoryBacking>" }
      host:run("attach-device d1 " .. xml(DIMM:format ""))
      assert.truthy(hmp "info memdev":find "memory backend: memdimm0")
      host:run "destroy d1"
      guest:close()
    end
    start { devices = "<memballoon model='virtio'/>" }
    host:run("attach-device d1 " .. xml(VIRTIO_MEM))
    host:run("attach-device d1 " .. xml(([[<disk type='file' device='disk'><driver name='qemu'
      type='raw'/><source file='%s'/><target dev='vdb' bus='virtio'/></disk>]]):format(image)))
    assert.truthy(host:run "domblklist d1":find("vdb +" .. image))
    host:run "setvcpus d1 2 --live"
    assert.truthy(host:run "vcpucount d1 --live --active":find "%f[%d]2")
    host:run "setmem d1 100M --live; dommemstat d1; domstats d1; dominfo d1"
    assert.truthy(hmp "info memory-devices":find "requested%-size: 134217728")
    assert.same({}, host:errors())
  end)

  it("suspends, resumes, resets, reboots and shuts a domain down", function()
    start()
    host:run "suspend d1"
    assert.truthy(host:run "domstate d1":find "paused")
    assert.truthy(hmp "info status":find "paused")
    host:run "resume d1"
    assert.truthy(host:run "domstate d1":find "running")
    host:run "reset d1"
    guest:event "RESET"
    local function power_off()
      guest:event "POWERDOWN"
      if not has_kvm then hmp "o /h 0x604 0x2000" end
    end
    local rebooted = host:start "reboot d1"
    power_off()
    assert.is_true(select(2, rebooted()))
    guest:event "RESET"
    guest:event "RESUME"
    assert.truthy(host:run "domstate d1":find "running")
    host:run "shutdown d1"
    power_off()
    qmp.wait_for(function() return host:run "domstate d1":find "shut off" end)
    assert.same({}, host:errors())
  end)

  it("starts the domain of docs/howto/libvirt.md, and plugs its DIMM in", function()
    local blocks = document.code(command.read "docs/howto/libvirt.md", "xml")
    local domain, dimm = blocks:match "^(.-</domain>)(.*)$"
    local emulator = host.folder .. "/bin/qemu-system-x86_64"
    domain = domain:gsub("<emulator>[^<]*", "<emulator>" .. emulator)
      :gsub("<kernel>[^<]*", "<kernel>" .. small.image "small.elf")
      :gsub("type='kvm'", has_kvm and "%0" or "type='qemu'")
    host:run(("define %s; start small"):format(host:file("page.xml", domain)))
    host:run("attach-device small " .. xml(dimm))
    local text = host:run "dumpxml small"
    assert.truthy(text:find "slot='0' base='0x")
    assert.truthy(text:find "<serial type='pty'>%s*<source path='/dev/pts/")
    host:run "destroy small; undefine small"
    assert.same({}, host:errors())
  end)

  it("comes back to a running domain with its DIMM", function()
    start()
    host:run("attach-device d1 " .. xml(DIMM:format ""))
    host:restart()
    assert.truthy(host:run "domstate d1":find "running")
    assert.truthy(host:run "dumpxml d1":find "slot='0' base='0x100000000'")
    host:run "suspend d1; resume d1"
    assert.same({}, host:errors())
  end)

  it("says what the emulator does not support", function()
    local out, ok = host:start(("define %s; start d1"):format(host:file("domain.xml",
      (DOMAIN:format(has_kvm and "kvm" or "qemu", "", "/nonexistent", "", "", host.folder,
        host.folder)))))()
    assert.is_false(ok)
    assert.truthy(out:find("/nonexistent", 1, true), out)
  end)
end)
