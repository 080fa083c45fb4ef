--- lunik.agent(m): has the agent of a Linux guest do things: files, devices, networks, memory.
--
-- Methods wait as other calls of the library do: in a coroutine they yield, elsewhere they run the
-- loop. Several coroutines may use one agent; it does one thing at a time.

local Channel = require "lunik.agent.channel"
local console = require "lunik.console"
local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"
local open_file = require "lunik.agent.file"
local protocol = require "lunik.agent.protocol"
local range = require "lunik.agent.range"

local Agent = {}
Agent.__index = Agent
Agent.__name = "lunik.Agent"

local TIMEOUT = 60          -- seconds for an answer
local MOST = 4 << 20        -- bytes of a file that read() returns
local MOST_NAMES = 1000000

local agent = { Agent = Agent }

-- ---- making ------------------------------------------------------------------------------------

-- Returns the chardev-buffer that the agent's port is connected to: the one that is named, else
-- "agent", else that of the serial port.
local function find_chardev(m, given)
  local object = given
  if type(given) == "table" and getmetatable(given) == console.Console then
    object = given.object
  elseif given == nil then
    object = m:object "agent" or event.state(m).console
  elseif not core.is_a(given, "lunik.Object") then
    object = m:object(options.value("agent: chardev", given, "string"))
    if not object then
      options.fail("not-found", "agent: chardev: there is no object '%s'", given)
    end
  end
  if not object or not object:is "chardev-buffer" then
    options.fail("unsupported", "agent: %s is not kept in memory (want a chardev-buffer for the "
      .. "port of the agent)", object and ("the output of '%s'"):format(object.id)
      or "there is no serial port, or its output")
  end
  return object
end

local function new_agent(channel, opts)
  return setmetatable({ channel = channel, timeout = opts.timeout or TIMEOUT }, Agent)
end

-- An agent that is reached by a function instead of a machine's port.
local function elsewhere(opts)
  opts = options.parse("agent", opts, { send = "function", timeout = "seconds" })
  if not opts.send then options.fail("invalid", "agent: send is missing (want a function)") end
  return new_agent(Channel.new(opts.send), opts)
end

--- Returns the agent of a machine's guest.
function agent.new(m, opts)
  if type(m) == "table" and opts == nil then return elsewhere(m) end
  if not core.is_a(m, "lunik.Machine") then
    options.fail("invalid", "agent: %s is not a machine (want a machine, or {send = function})",
      options.show(m))
  end
  event.check_open(m)
  opts = options.parse("agent", opts, { chardev = "any", timeout = "seconds" })
  local object = find_chardev(m, opts.chardev)
  local state = event.state(m)
  state.agents = state.agents or setmetatable({}, { __mode = "k" })
  local found = state.agents[object]
  if not found then
    local port = console.of(object)
    local channel = Channel.new(function(bytes) port:write(bytes) end, m)
    console.tap(port, function(bytes) channel:feed(bytes) end)
    found = new_agent(channel, opts)
    state.agents[object] = found
  end
  found.timeout = opts.timeout or found.timeout
  return found
end

-- ---- calls -------------------------------------------------------------------------------------

--- Takes what the agent has printed, of one that is reached by a function.
function Agent:feed(bytes)
  self.channel:feed(options.value("feed: bytes", bytes or "", "any"))
end

--- Waits until the agent answers; returns {version=, pid=, call=}.
function Agent:ready(opts)
  opts = options.parse("ready", opts, { timeout = "seconds" })
  local about = self.channel:await_ready(opts.timeout or self.timeout)
  return { version = protocol.maybe_integer(about, "version"),
    pid = protocol.maybe_integer(about, "pid"), call = about.call }
end

--- Has the agent run a command of its protocol; returns the fields of its answer.
function Agent:call(command, arguments, opts)
  options.value("call: command", command, "string")
  opts = options.parse(command, opts, { timeout = "seconds" })
  return self.channel:call(command, arguments or {}, { timeout = opts.timeout or self.timeout })
end

local function call_with_path(command)
  return function(self, path)
    self:call(command, { path = options.value(command .. ": path", path, "string") })
  end
end

-- ---- files -------------------------------------------------------------------------------------

--- Opens a file: flags are "read", "write", "rdwr", "create", "exclusive", "trunc", "direct",
-- "sync", "append", "nonblock".
function Agent:open(path, flags)
  options.value("open: path", path, "string")
  flags = options.table("open: flags", flags or {})
  local fields = self:call("open", { path = path, flags = table.concat(flags, ",") })
  return open_file.new(self, protocol.integer(fields, "handle"), path)
end

--- Returns the contents of a file, such as one of /proc or /sys.
function Agent:read(path)
  options.value("read: path", path, "string")
  local parts, at = {}, 0
  repeat
    local data = protocol.text(self:call("read", { path = path, offset = at }), "data")
    parts[#parts + 1] = data
    at = at + #data
    if at > MOST then
      options.fail("no-space", "read: '%s' has no end within %d bytes (open it and read parts)",
        path, MOST)
    end
  until #data < protocol.DATA
  return table.concat(parts)
end

--- Writes a file that exists, in one piece; how: "create" makes it or replaces its contents,
-- "append".
function Agent:write(path, data, how)
  options.value("write: path", path, "string")
  if type(data) ~= "string" or #data > protocol.DATA then
    options.fail("invalid", "write: data: %s is not possible (want a string of at most %d bytes)",
      type(data) == "string" and #data .. " bytes" or options.show(data), protocol.DATA)
  end
  self:call("write", { path = path, data = data, how = how and options.choice("write: how", how,
    { "existing", "create", "append" }) })
end

--- Returns what a path is: {kind=, mode=, size=, inode=, links=, blocks=, modified=, major=,
-- minor=}; nil if there is nothing.
function Agent:stat(path)
  options.value("stat: path", path, "string")
  local ok, fields = pcall(self.call, self, "stat", { path = path })
  if not ok then
    if getmetatable(fields) and fields.code == "not-found" then return nil end
    error(fields, 0)
  end
  local found = { kind = fields.kind }
  for name, value in pairs(fields) do
    if name ~= "kind" then found[name] = math.tointeger(tonumber(value)) end
  end
  return found
end

--- Returns the names in a folder, sorted; those of folders end with "/".
function Agent:list(path)
  options.value("list: path", path, "string")
  local names, from = {}, 0
  repeat
    local fields = self:call("list", { path = path, from = from })
    for name in protocol.text(fields, "names"):gmatch "([^\0]+)" do names[#names + 1] = name end
    from = protocol.integer(fields, "next")
  until from == 0 or #names > MOST_NAMES
  table.sort(names)
  return names
end

--- Makes a folder.
Agent.mkdir = call_with_path "mkdir"
--- Removes a file or an empty folder.
Agent.remove = call_with_path "remove"

local function call_with_two(command)
  return function(self, path, to)
    self:call(command, { path = options.value(command .. ": path", path, "string"),
      to = options.value(command .. ": to", to, "string") })
  end
end

--- Renames a file.
Agent.rename = call_with_two "rename"
--- Makes a symbolic link at `path` that leads to `to`.
Agent.symlink = call_with_two "symlink"

--- Returns where a symbolic link leads.
function Agent:readlink(path)
  return self:call("readlink", { path = options.value("readlink: path", path, "string") }).to
end

--- Makes a device node; kind: "block" or "char".
function Agent:mknod(path, kind, major, minor)
  self:call("mknod", {
    path = options.value("mknod: path", path, "string"),
    kind = options.choice("mknod: kind", kind, { "block", "char" }),
    major = options.value("mknod: major", major, "count"),
    minor = options.value("mknod: minor", minor, "count"),
  })
end

--- Mounts a file system: options is the text that the file system takes; "ro" mounts it read-only.
function Agent:mount(source, target, kind, words)
  words = words and options.value("mount: options", words, "string")
  local readonly = words and ("," .. words .. ","):find ",ro," ~= nil
  self:call("mount", {
    source = options.value("mount: source", source, "string"),
    target = options.value("mount: target", target, "string"),
    kind = options.value("mount: type", kind, "string"),
    options = words and ("," .. words):gsub(",ro%f[,\0]", ""):sub(2), readonly = readonly,
  })
end

--- Unmounts a file system.
function Agent:umount(target)
  self:call("umount", { target = options.value("umount: target", target, "string") })
end

--- Has the guest write everything that is not on its disks yet.
function Agent:sync()
  self:call("sync")
end

--- Returns the SHA-256 of a file or block device, or of a range of it, and how many bytes that
-- were.
function Agent:sha256(path, offset, size)
  local file <close> = self:open(path)
  return file:sha256(offset, size)
end

--- Allocates memory in the guest.
function Agent:allocate(size)
  size = options.value("allocate: size", size, "size")
  return range.new(self, protocol.integer(self:call("map", { size = size }), "memory"), size)
end

function Agent:__tostring()
  return ("agent of %s"):format(self.channel.machine and ("machine '%s'"):format(
    self.channel.machine.name) or "a system elsewhere")
end

require "lunik.agent.network"(Agent)
require "lunik.agent.system"(Agent)
options.guard(Agent.__name, Agent, Agent)

return agent
