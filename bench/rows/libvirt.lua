-- Debian's libvirt, with lunik-qemu and with QEMU as its emulator.
local libvirt = require "spec.support.libvirt"
local process = require "bench.process"
local qemu = require "bench.qemu"

local DIMMS = 40

local DOMAIN = [[
<domain type='%s'><name>d1</name><maxMemory slots='64' unit='MiB'>16384</maxMemory>
<memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu>
<devices><emulator>%s</emulator><controller type='usb' model='none'/><memballoon model='none'/>
</devices></domain>
]]

local DIMM = [[
<memory model='dimm'><target><size unit='MiB'>2</size><node>0</node></target></memory>
]]

-- Returns how long each attach-device takes, in milliseconds. emulator: nil: lunik-qemu.
local function measure(emulator)
  local host, times = libvirt.new(), {}
  local ok, err = pcall(function()
    local kind = io.open("/dev/kvm", "r+") and "kvm" or "qemu"
    host:run("define " .. host:file("domain.xml", DOMAIN:format(kind,
      emulator or host.folder .. "/bin/qemu-system-x86_64")))
    host:run "start d1 --paused"
    local attach = "attach-device d1 " .. host:file("dimm.xml", DIMM)
    for i = 1, DIMMS do
      local start = process.now()
      host:run(attach)
      times[i] = (process.now() - start) * 1e3
    end
    host:run "destroy d1"
  end)
  host:close()
  return ok and times or error(err, 0)
end

return {
  name = "libvirt",
  title = "libvirt",
  run = function(b)
    if libvirt.unavailable() then return end
    local ours, theirs = {}, {}
    for round = 1, b:rounds(3) do
      ours[round] = measure()
      if qemu.installed then theirs[round] = measure "/usr/bin/qemu-system-x86_64" end
    end
    b:row {
      name = "attach-device", unit = "ms", lunik = ours, qemu = theirs,
      what = "virsh attach-device of a DIMM, most of which is libvirt's own time",
      target = { vs = "qemu", at_most = 1 },
    }
  end,
}
