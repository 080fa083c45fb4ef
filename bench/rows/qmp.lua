-- Commands over QMP.
local process = require "bench.process"
local qemu = require "bench.qemu"

local LUNIK = { process.build .. "/lunik", "bench/machines/qmp.lua" }
local DIMMS = 200
local COMMANDS, AT_ONCE = 300, 100

local function no_op(size)
  return qemu.no_op(("x"):rep(size))
end

local function lunik_argv(...)
  local argv = table.move(LUNIK, 1, #LUNIK, 1, {})
  for _, word in ipairs { ... } do argv[#argv + 1] = tostring(word) end
  return argv
end

local function measure_no_ops(q, command)
  local times = {}
  for i = 1, COMMANDS do times[i] = q:time(command) end
  return times
end

local function no_op_row(b, size)
  local command = no_op(size)
  local ours, theirs, limit = {}, {}, {}
  for round = 1, b:rounds(5) do
    do
      local q <close> = qemu.serve(lunik_argv())
      ours[round] = measure_no_ops(q, command)
    end
    do
      local q <close> = qemu.serve { process.built "bare_echo" }
      limit[round] = measure_no_ops(q, command)
    end
    if qemu.installed then
      local q <close> = qemu.start(qemu.argv("pc", "128M", "-S"))
      theirs[round] = measure_no_ops(q, command)
    end
  end
  b:row {
    name = ("no-op, %d bytes"):format(size), unit = "us", lunik = ours, qemu = theirs,
    limit = limit, what = "query-name over a socket pair, one at a time; limit: an echo",
    targets = { { vs = "qemu", at_most = 0.4 }, { vs = "limit", at_most = 1.3 } },
  }
end

local function pipelined_row(b)
  local command, ours, theirs = no_op(140), {}, {}
  local function measure(q)
    local times = {}
    for i = 1, 10 do times[i] = q:pipeline(command, AT_ONCE) end
    q:close()
    return times
  end
  for round = 1, b:rounds(5) do
    ours[round] = measure(qemu.serve(lunik_argv()))
    if qemu.installed then
      theirs[round] = measure(qemu.start(qemu.argv("pc", "128M", "-S")))
    end
  end
  b:row {
    name = "100 no-ops at once", unit = "us", lunik = ours, qemu = theirs,
    what = "each of 100 commands of 140 bytes that are sent together",
    target = { vs = "qemu", at_most = 1 },
  }
end

-- Adds DIMMs of 2 MiB; returns how long the last ten took each.
local function measure_dimms(q)
  local times = {}
  for i = 1, DIMMS do
    local start = process.now()
    q:call(('{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram","id":"m%d",'
      .. '"size":2097152}}'):format(i))
    q:call(('{"execute":"device_add","arguments":{"driver":"pc-dimm","id":"d%d",'
      .. '"memdev":"m%d"}}'):format(i, i))
    if i > DIMMS - 10 then times[#times + 1] = (process.now() - start) * 1e6 end
  end
  q:close()
  return times
end

local function dimm_row(b)
  local ours, theirs = {}, {}
  for round = 1, b:rounds(3) do
    ours[round] = measure_dimms(qemu.serve(lunik_argv(DIMMS)))
    if qemu.installed then
      theirs[round] = measure_dimms(qemu.start(qemu.argv("pc",
        ("128M,slots=%d,maxmem=64G"):format(DIMMS), "-S")))
    end
  end
  b:row {
    name = "a DIMM, 200th", unit = "us", lunik = ours, qemu = theirs,
    what = "object-add and device_add of the last of 200 DIMMs",
    target = { vs = "qemu", at_most = 0.1 },
  }
end

local function start_row(b)
  local ours, theirs = {}, {}
  local function measure(serve, argv)
    local times = {}
    for i = 1, 3 do
      local start = process.now()
      local q = serve(argv)
      times[i] = (process.now() - start) * 1e3
      q:close()
    end
    return times
  end
  for round = 1, b:rounds(3) do
    ours[round] = measure(qemu.serve, lunik_argv())
    if qemu.installed then
      theirs[round] = measure(qemu.start, qemu.argv("pc", "128M", "-S"))
    end
  end
  b:row {
    name = "start to QMP", unit = "ms", lunik = ours, qemu = theirs,
    what = "process start to the answer of qmp_capabilities",
    target = { vs = "qemu", at_most = 0.25 },
  }
end

return {
  name = "qmp",
  title = "Commands over QMP",
  run = function(b)
    no_op_row(b, 28)
    no_op_row(b, 140)
    pipelined_row(b)
    dimm_row(b)
    start_row(b)
  end,
}
