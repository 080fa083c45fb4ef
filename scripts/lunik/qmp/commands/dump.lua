--- Commands that write the guest's memory into a core file: dump-guest-memory, query-dump.

local core = require "lunik.core"
local core_file = require "lunik.qmp.core_file"
local event = require "lunik.event"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"
local json = require "lunik.json"
local options = require "lunik.options"
local wait = require "lunik.wait"

local CHUNK = 1 << 20
local PAUSE = 0.002 -- seconds until a reader that has no room is looked at again

-- ---- where it goes -----------------------------------------------------------------------------

-- Returns {write = function(text), close = function()} for a protocol.
local function open_file(m, path)
  local file = options.open("protocol", fds.path(m, path), "wb")
  return {
    write = function(text)
      local ok, why = file:write(text)
      if not ok then failure.generic("dump: failed to save memory: %s", why) end
    end,
    close = function()
      local ok, why = file:close()
      if not ok then failure.generic("dump: failed to save memory: %s", why) end
    end,
  }
end

-- Of a descriptor that the client has sent; one that takes no more is waited for.
local function open_fd(name, monitor)
  local fd = monitor and monitor.fds[name]
  if not fd then failure.generic("File descriptor named '%s' not found", name) end
  monitor.fds[name] = nil
  return {
    write = function(text)
      local at = 1
      while at <= #text do
        local taken = core.fd_write(fd, text, at)
        at = at + taken
        if taken == 0 then wait.sleep(PAUSE) end
      end
    end,
    close = function() core.close_fd(fd) end,
  }
end

local function open(m, protocol, monitor)
  local path, name = protocol:match "^file:(.+)$", protocol:match "^fd:(.+)$"
  if path then return open_file(m, path) end
  if name then return open_fd(name, monitor) end
  failure.generic("Parameter 'protocol' expects protocol name")
end

-- ---- dumping -----------------------------------------------------------------------------------

local function check(m, args)
  if args.paging then
    failure.generic("Paging is not supported (want paging=false)")
  elseif args.format and args.format ~= "elf" then
    failure.generic("Only the format elf is supported")
  elseif args.begin and not args.length then
    failure.generic("Parameter 'length' is missing")
  elseif args.length and not args.begin then
    failure.generic("Parameter 'begin' is missing")
  elseif args.length and (args.length <= 0 or args.begin < 0
    or args.begin + args.length - 1 < args.begin) then
    failure.generic("Invalid parameter: unable to find a range of %d bytes at %d", args.length,
      args.begin)
  end
  local dump = event.state(m).dump
  if dump and dump.status == "active" then
    failure.generic("There is a dump in process, please wait.")
  end
end

local function write_all(m, out, dump, ranges)
  out.write(core_file.head(m, ranges))
  for _, range in ipairs(ranges) do
    for at = 0, range.size - 1, CHUNK do
      local size = math.min(CHUNK, range.size - at)
      out.write(m:read(range.address + at, size))
      dump.completed = dump.completed + size
      if dump.detached then coroutine.yield() end
    end
  end
end

local function report(m, dump, err)
  if m.state == "closed" then return end
  m:emit("dump-completed", { status = dump.status, completed = dump.completed, total = dump.total,
    error = err and select(2, failure.describe(err)) or nil })
end

-- Writes the file; the guest stands still meanwhile. Raises what fails, after the event.
local function run(m, out, dump, ranges)
  local ok, err = pcall(write_all, m, out, dump, ranges)
  local closed, why = pcall(out.close)
  if ok and not closed then ok, err = false, why end
  dump.status = ok and "completed" or "failed"
  if dump.resume and m.state == "paused" then m:start() end
  report(m, dump, not ok and err or nil)
  if not ok and not dump.detached then error(err, 0) end
end

local function dump_guest_memory(m, args, monitor)
  check(m, args)
  local ranges = core_file.ranges(m, args.begin, args.length)
  if #ranges == 0 then
    failure.generic("dump: no guest memory in the range")
  end
  local out = open(m, args.protocol, monitor)
  local dump = { status = "active", completed = 0, total = 0, detached = args.detach,
    resume = m.state == "running" }
  for _, range in ipairs(ranges) do dump.total = dump.total + range.size end
  event.state(m).dump = dump
  local ok, err = pcall(function() if dump.resume then m:pause() end end)
  if not ok then
    out.close()
    dump.status = "failed"
    error(err, 0)
  end
  if not args.detach then return run(m, out, dump, ranges) end
  wait.spawn(run, m, out, dump, ranges)
end

local function query_dump(m)
  local dump = event.state(m).dump or { status = "none", completed = 0, total = 0 }
  return { status = dump.status, completed = dump.completed, total = dump.total }
end

local function capability()
  return { formats = setmetatable({ "elf" }, json.Array) }
end

return {
  { name = "dump-guest-memory", args = { paging = "bool", protocol = "str", detach = "?bool",
    begin = "?int", length = "?int", format = "?DumpGuestMemoryFormat" },
    run = dump_guest_memory },
  { name = "query-dump", returns = "DumpQueryResult", run = query_dump },
  { name = "query-dump-guest-memory-capability", returns = "DumpGuestMemoryCapability",
    run = capability },
}
