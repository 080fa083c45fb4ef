-- Start-up: from the start of the process to the guest's first port write.
local places = require "bench.places"
local process = require "bench.process"
local qemu = require "bench.qemu"
local stats = require "bench.stats"

local DIMM = 128 << 20
local REPORT = "233" -- the guest's port

local cases = {
  {
    name = "pc, 128M", lunik = { "pc", "128M", "1G", "1", "0" },
    qemu = { "pc", "128M,slots=1,maxmem=1G" }, target = { vs = "qemu", at_most = 1 / 5 },
    what = "pc board, 128 MiB; Lunik also makes ACPI tables, and starts the guest as a kernel",
  },
  {
    name = "pc, 128M, firmware", lunik = { "pc-firmware", "128M", "1G", "1", "0" },
    qemu = { "pc", "128M,slots=1,maxmem=1G" }, target = { vs = "qemu", at_most = 1 / 5 },
    what = "the same, and Lunik starts the guest as firmware as well",
  },
  {
    name = "pc, disk and network", lunik = { "pc", "128M", "1G", "1", "0" }, devices = true,
    qemu = { "pc", "128M,slots=1,maxmem=1G" }, target = { vs = "qemu", at_most = 0.25 },
    what = "pc board, 128 MiB, virtio-blk-pci with an iothread, virtio-net-pci",
  },
  {
    name = "pc, 4G, maxmem 64G", lunik = { "pc", "4G", "64G", "16", "0" },
    qemu = { "pc", "4G,slots=16,maxmem=64G" }, target = { vs = "qemu", at_most = 1 / 5 },
    what = "pc board, 4 GiB, 16 slots, up to 64 GiB",
  },
  {
    name = "pc, 255 DIMMs", lunik = { "pc", "128M", "256G", "256", "255" }, dimms = 255,
    qemu = { "pc", "128M,slots=256,maxmem=256G" }, target = { vs = "qemu", at_most = 1 / 20 },
    what = "pc board with 255 DIMMs of 128 MiB from the start",
  },
  {
    name = "micro, 128M", lunik = { "micro", "128M", "", "", "0" }, qemu = { "microvm", "128M" },
    kernel = true, what = "micro board (QEMU: microvm), 128 MiB, the same kernel",
  },
}

local bare_argv = { process.built "bare_guest", process.built "idle.bin", REPORT }

-- Returns milliseconds until the guest's first byte.
local function measure(argv)
  local p <close> = process.start(argv)
  p:take(1)
  return (process.now() - p.started) * 1e3
end

local function lunik_argv(case, disk, socket)
  local argv = process.script("start", table.unpack(case.lunik))
  return case.devices and stats.append(argv, { disk, socket }) or argv
end

local function qemu_argv(case, disk, socket)
  local argv
  if case.kernel then
    argv = qemu.argv(case.qemu[1], case.qemu[2], "-kernel", process.built "idle.elf", "-debugcon",
      "stdio")
  else
    argv = qemu.guest("idle.bin", case.qemu[1], case.qemu[2])
  end
  if case.devices then
    stats.append(argv, {
      "-object", "iothread,id=io", "-drive", ("file=%s,format=raw,if=none,id=file"):format(disk),
      "-device", "virtio-blk-pci,drive=file,iothread=io",
      "-netdev", "stream,id=net,server=on,addr.type=unix,addr.path=" .. socket,
      "-device", "virtio-net-pci,netdev=net",
    })
  end
  for i = 1, case.dimms or 0 do
    stats.append(argv, {
      "-object", ("memory-backend-ram,id=mem%d,size=%d"):format(i, DIMM),
      "-device", ("pc-dimm,id=dimm%d,memdev=mem%d"):format(i, i),
    })
  end
  return argv
end

return {
  name = "start", kvm = true,
  title = "Start-up: exec to the guest's first port write; QEMU is given the guest as firmware; "
    .. "limit: a bare KVM loop's",
  run = function(b)
    local file <close> = places.file(places.list[1], true)
    local socket = file.name .. ".sock"
    for _, case in ipairs(cases) do
      local ours, bare, theirs = {}, {}, {}
      for _ = 1, b:rounds(case.dimms and 5 or 15) do
        ours[#ours + 1] = measure(lunik_argv(case, file.name, socket))
        os.remove(socket)
        bare[#bare + 1] = measure(bare_argv)
        if qemu.installed then
          theirs[#theirs + 1] = measure(qemu_argv(case, file.name, socket))
          os.remove(socket)
        end
      end
      b:row {
        name = case.name, unit = "ms", what = case.what, lunik = ours, limit = bare,
        qemu = theirs,
        target = case.target,
      }
    end
  end,
}
