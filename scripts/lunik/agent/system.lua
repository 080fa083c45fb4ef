--- The guest as a whole: CPUs, memory, log, input, its end.

local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"
local socket = require "lunik.agent.socket"

local CPUS, MEMORY = "/sys/devices/system/cpu/", "/sys/devices/system/memory/"

-- Returns the numbers in "0-3,8".
local function numbers(text)
  local found = {}
  for first, last in text:gmatch "(%d+)%-?(%d*)" do
    for n = tonumber(first), tonumber(last ~= "" and last or first) do
      found[#found + 1] = math.tointeger(n)
    end
  end
  return found
end

local MOST_RECORDS = 100000 -- of the log, in one call

local function integer(text)
  return math.tointeger(tonumber(text))
end

-- The lines of the kernel's log that the agent can give; pattern: a Lua pattern.
local function read_log(agent, level, pattern)
  local lines, lost = {}, 0
  repeat
    local fields = agent:call("log", { level = level })
    lost = lost + protocol.integer(fields, "lost")
    for severity, text in protocol.text(fields, "lines"):gmatch "<(%d)>([^\n]*)\n" do
      if not pattern or text:find(pattern) then
        lines[#lines + 1] = { level = integer(severity), text = text }
      end
    end
  until fields.more ~= "1" or #lines > MOST_RECORDS
  return lines, lost
end

local function add_processors(Agent)
  --- Returns the CPUs: number -> whether it is online.
  function Agent:cpus()
    local found = {}
    for _, n in ipairs(numbers(self:read(CPUS .. "present"))) do found[n] = false end
    for _, n in ipairs(numbers(self:read(CPUS .. "online"))) do found[n] = true end
    return found
  end

  --- Takes a CPU online or offline.
  function Agent:set_cpu(n, online)
    options.value("set_cpu: CPU", n, "count")
    options.value("set_cpu: online", online, "boolean")
    self:write(("%scpu%d/online"):format(CPUS, n), online and "1" or "0")
  end

  --- Has a CPU (nil: any) compute so many rounds; returns {cpu=, sum=, seconds=}. The sum depends
  -- on the rounds alone.
  function Agent:work(cpu, rounds, opts)
    local fields = self:call("work", {
      cpu = cpu and options.value("work: CPU", cpu, "count"),
      rounds = options.value("work: rounds", rounds, "count"),
    }, opts)
    return { cpu = protocol.integer(fields, "cpu"), sum = protocol.integer(fields, "sum"),
      seconds = protocol.integer(fields, "milliseconds") / 1000 }
  end
end

local function add_memory(Agent)
  --- Returns how much memory the guest has, in bytes: the lines of /proc/meminfo in lower case:
  -- {memtotal=, memfree=, memavailable=, cached=, ...}, and total, free and available.
  function Agent:memory()
    local found = {}
    for name, size in self:read("/proc/meminfo"):gmatch "([%w_()]+):%s+(%d+) kB" do
      found[name:lower()] = integer(size) << 10
    end
    found.total, found.free, found.available = found.memtotal, found.memfree, found.memavailable
    return found
  end

  --- Returns the memory blocks: number -> "online", "offline" or "going-offline"; and their size.
  function Agent:memory_blocks()
    local found = {}
    for _, name in ipairs(self:list(MEMORY)) do
      local n = integer(name:match "^memory(%d+)/?$")
      if n then found[n] = self:read(MEMORY .. "memory" .. n .. "/state"):match "%S+" end
    end
    return found, integer("0x" .. self:read(MEMORY .. "block_size_bytes"):match "%x+")
  end

  --- Takes a memory block online or offline; how: "online_movable", "online_kernel" and so on.
  function Agent:set_memory_block(n, how)
    options.value("set_memory_block: block", n, "count")
    if type(how) == "boolean" then how = how and "online" or "offline" end
    options.value("set_memory_block: state", how, "string")
    self:write(("%smemory%d/state"):format(MEMORY, n), how)
  end
end

local function add_observers(Agent)
  --- Returns the records of the kernel's log since the last call, or since the guest's start:
  -- {level=, text=}, and how many were lost. level: only those as severe (0 to 7); match: only
  -- those that match a pattern.
  function Agent:log(opts)
    opts = options.parse("log", opts, { level = "count", match = "string" })
    return read_log(self, opts.level, opts.match)
  end

  --- Writes a line to the kernel's log.
  function Agent:log_write(text)
    self:write("/dev/kmsg", options.value("log_write: text", text, "string") .. "\n")
  end

  --- Returns input events, such as a pressed power button: {device=, type=, code=, value=}. Waits
  -- for one, for at most opts.timeout seconds.
  function Agent:input(opts)
    local events = {}
    local text = protocol.text(socket.timed(self, "input", {}, opts), "events")
    for device, kind, code, value in text:gmatch "(%d+) (%d+) (%d+) (%-?%d+)\n" do
      events[#events + 1] = { device = integer(device), type = integer(kind),
        code = integer(code), value = integer(value) }
    end
    return events
  end
end

-- Calls a command that may end the guest before its answer has come.
local function call_last(agent, command, arguments)
  local ok, err = pcall(agent.call, agent, command, arguments)
  if ok or getmetatable(err) and (err.code == "gone" or err.code == "state") then return end
  error(err, 0)
end

local function add_ends(Agent)
  --- Has the kernel do what a SysRq key does, such as "c" (crash).
  function Agent:sysrq(key)
    call_last(self, "sysrq", { key = options.value("sysrq: key", key, "string") })
  end

  --- Makes the kernel panic.
  function Agent:panic()
    self:sysrq "c"
  end

  --- Restarts the guest.
  function Agent:reboot()
    call_last(self, "reboot", { how = "restart" })
  end

  --- Turns the guest off.
  function Agent:poweroff()
    call_last(self, "reboot", { how = "poweroff" })
  end
end

return function(Agent)
  add_processors(Agent)
  add_memory(Agent)
  add_observers(Agent)
  add_ends(Agent)
end
