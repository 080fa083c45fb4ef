--- Commands about the monitor itself, the file descriptors that its client has sent, and the other
-- language.

local core = require "lunik.core"
local json = require "lunik.json"
local dispatch = require "lunik.qmp.dispatch"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"

local function query_commands()
  local list = setmetatable({}, json.Array)
  for i, command in ipairs(dispatch.sorted()) do list[i] = { name = command.name } end
  return list
end

-- Takes the descriptor that came with the command.
local function received(monitor)
  if not monitor then failure.generic("File descriptors come over a monitor's socket only") end
  for _, fd in ipairs(monitor.stream:fds()) do table.insert(monitor.spare_fds, fd) end
  local fd = table.remove(monitor.spare_fds, 1)
  if not fd then failure.generic("No file descriptor supplied via SCM_RIGHTS") end
  return fd
end

local function getfd(_, args, monitor)
  local fd = received(monitor)
  if args.fdname:find "^%d" then
    core.close_fd(fd)
    failure.generic("Parameter 'fdname' expects a name not starting with a digit")
  end
  if monitor.fds[args.fdname] then core.close_fd(monitor.fds[args.fdname]) end
  monitor.fds[args.fdname] = fd
end

local function closefd(_, args, monitor)
  local fd = monitor and monitor.fds[args.fdname]
  if not fd then failure.generic("File descriptor named '%s' not found", args.fdname) end
  monitor.fds[args.fdname] = nil
  core.close_fd(fd)
end

local function add_fd(m, args, monitor)
  local fd = received(monitor)
  if args["fdset-id"] and args["fdset-id"] < 0 then
    core.close_fd(fd)
    failure.generic("Parameter 'fdset-id' expects a non-negative value")
  end
  return { ["fdset-id"] = fds.add(m, fd, args["fdset-id"], args.opaque), fd = fd }
end

local function remove_fd(m, args)
  if not fds.remove(m, args["fdset-id"], args.fd) then
    failure.generic("File descriptor named '%s' not found",
      ("fdset-id:%d%s"):format(args["fdset-id"], args.fd and (", fd:%d"):format(args.fd) or ""))
  end
end

-- Runs a command of the monitor for people; each has one of its own for every client, and the vCPU
-- may be another for one command.
local function human_monitor_command(m, args, monitor)
  local human = monitor and monitor.human or require("lunik.hmp.monitor").new(m)
  if monitor then monitor.human = human end
  local text = human:run(args["command-line"], args["cpu-index"])
  return (text:gsub("\n", "\r\n"))
end

return {
  { name = "qmp_capabilities", args = { enable = "?[QMPCapability]" }, run = function()
    failure.raise("CommandNotFound",
      "Capabilities negotiation is already complete, command ignored")
  end },
  { name = "query-version", oob = true, returns = "VersionInfo", run = dispatch.version },
  { name = "query-commands", returns = "[CommandInfo]", run = query_commands },
  { name = "query-qmp-schema", returns = "[object]",
    run = function() return require("lunik.qmp.schema").all() end },
  { name = "human-monitor-command", args = { ["command-line"] = "str", ["cpu-index"] = "?int" },
    returns = "str", run = human_monitor_command },
  { name = "getfd", oob = true, args = { fdname = "str" }, run = getfd },
  { name = "closefd", oob = true, args = { fdname = "str" }, run = closefd },
  { name = "add-fd", oob = true, args = { ["fdset-id"] = "?int", opaque = "?str" },
    returns = "AddfdInfo", run = add_fd },
  { name = "remove-fd", oob = true, args = { ["fdset-id"] = "int", fd = "?int" },
    run = remove_fd },
  { name = "query-fdsets", returns = "[FdsetInfo]", run = fds.list },
}
