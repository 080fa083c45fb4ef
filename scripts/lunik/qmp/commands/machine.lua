--- Commands that start, stop and describe the machine.

local core = require "lunik.core"
local event = require "lunik.event"
local json = require "lunik.json"
local actions = require "lunik.qmp.actions"
local failure = require "lunik.qmp.failure"
local names = require "lunik.qmp.names"

local function array(list) return setmetatable(list, json.Array) end

local status_of = {
  suspended = "suspended",
  created = "prelaunch", running = "running", paused = "paused", shutdown = "shutdown",
  crashed = "internal-error", closed = "shutdown",
}

local function query_status(m)
  local debugging = m.state == "paused" and event.state(m).debugging
  return { status = debugging and "debug" or status_of[m.state], running = m.state == "running",
    singlestep = false }
end

local function cont(m)
  if m.state == "running" or m.state == "suspended" then return end
  if m.state == "shutdown" or m.state == "crashed" then
    failure.generic("Resetting the Virtual Machine is required")
  end
  m:start()
end

local function stop(m)
  if m.state == "running" or m.state == "suspended" then m:pause() end
end

local function wakeup(m)
  if m.state ~= "suspended" then
    failure.generic("Unable to wake up: guest is not in suspended state")
  end
  m:wakeup()
end

local function quit(m, _, monitor)
  event.state(m).quit_reason = "host-qmp-quit"
  if monitor and monitor.on_quit then return monitor.on_quit() end
  if m.state ~= "created" and not event.has_ended(m) then
    m:shutdown(0)
  else
    -- Not now: the client is to get its answer.
    core.timer(0, function() m:close() end)
  end
end

local function uuid(m)
  local given = event.state(m).uuid
  return given or "00000000-0000-0000-0000-000000000000"
end

local function machines()
  return array { {
    name = names.MACHINE, alias = "pc", ["is-default"] = true, ["cpu-max"] = 255,
    ["hotpluggable-cpus"] = true, ["numa-mem-supported"] = false, deprecated = false,
    ["default-cpu-type"] = names.CPU, ["default-ram-id"] = "pc.ram",
  } }
end

local function cpu_definitions()
  local list = array {}
  for _, name in ipairs(core.types()) do
    local model = name:match "^(.+)%-x86_64%-cpu$"
    if model then
      list[#list + 1] = { name = model, typename = name, static = false,
        ["unavailable-features"] = array {} }
    end
  end
  return list
end

local function iothreads(m)
  local list = array {}
  for _, object in ipairs(m:objects()) do
    if object.type == "iothread" then
      list[#list + 1] = { id = object.id, ["thread-id"] = object.thread_id }
    end
  end
  return list
end

-- Those of lunik-qemu.
local function command_line_options(_, args)
  local list = array {}
  for _, o in ipairs(require("lunik.qemu.command_line").options) do
    if not args.option or args.option == o[1] then
      list[#list + 1] = { option = o[1], parameters = array {} }
    end
  end
  return list
end

local function inject_nmi(m)
  local all = m:cpus()
  if m.accel == "none" or #all == 0 then
    failure.generic("machine '%s' has no processors that run", m.name)
  end
  for _, vcpu in ipairs(all) do vcpu:nmi() end
end

return {
  { name = "query-status", oob = true, returns = "StatusInfo", run = query_status },
  { name = "stop", run = stop },
  { name = "cont", run = cont },
  { name = "system_reset", run = function(m) m:reset() end },
  { name = "system_powerdown", run = function(m) m:powerdown() end },
  { name = "system_wakeup", run = wakeup },
  { name = "query-current-machine", returns = "CurrentMachineParams",
    run = function() return { ["wakeup-suspend-support"] = true } end },
  { name = "quit", run = quit },
  { name = "set-action", args = { reboot = "?RebootAction", shutdown = "?ShutdownAction",
    panic = "?PanicAction", watchdog = "?WatchdogAction" }, run = actions.set },
  { name = "inject-nmi", run = inject_nmi },
  { name = "query-name", oob = true, returns = "NameInfo",
    run = function(m) return { name = m.name } end },
  { name = "query-uuid", oob = true, returns = "UuidInfo",
    run = function(m) return { UUID = uuid(m) } end },
  { name = "query-target", returns = "TargetInfo",
    run = function() return { arch = "x86_64" } end },
  { name = "query-kvm", returns = "KvmInfo", run = function(m)
    local usable = m.accel == "kvm" or names.kvm_is_usable()
    return { enabled = usable, present = usable }
  end },
  { name = "query-machines", returns = "[MachineInfo]", run = machines },
  { name = "query-cpu-definitions", returns = "[CpuDefinitionInfo]", run = cpu_definitions },
  { name = "query-iothreads", returns = "[IOThreadInfo]", run = iothreads },
  { name = "query-command-line-options", args = { option = "?str" },
    returns = "[CommandLineOptionInfo]", run = command_line_options },
  { name = "query-jobs", returns = "[JobInfo]", run = function() return array {} end },
  { name = "query-tpm-models", returns = "[str]", run = function() return array {} end },
  { name = "query-tpm-types", returns = "[str]", run = function() return array {} end },
}
