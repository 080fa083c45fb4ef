-- Runs other programs: starts them with pipes, reads with time limits, ends them with the
-- benchmark.
local uv = require "luv"

local process = {}
local Process = {}
Process.__index = Process

local TIMEOUT = 60 -- seconds without output after which a program counts as hung
local STDOUT, STDERR = 2, 3 -- their places in a list of pipes, which starts with standard input

process.build = os.getenv "LUNIK_BUILD" or "build"

--- Returns a time in seconds, for differences.
function process.now()
  return uv.hrtime() / 1e9
end

-- Runs luv's loop until done() returns true or the time is over.
local function await(what, done)
  local timer, late = uv.new_timer(), false
  timer:start(TIMEOUT * 1000, 0, function() late = true end)
  while not (done() or late) do uv.run "once" end
  timer:close()
  if late then error(("%s: no answer in %d s"):format(what, TIMEOUT), 0) end
end

local function read(p, i)
  p.received[i] = ""
  p.pipes[i]:read_start(function(_, data)
    if data then p.received[i] = p.received[i] .. data else p.ended[i] = true end
  end)
end

--- Starts argv with its standard files in pipes, and that many further pipes from descriptor 3 on.
-- Sets started to the time.
function process.start(argv, more_pipes)
  local p = setmetatable({ name = argv[1], pipes = {}, received = {}, ended = {} }, Process)
  for i = 1, STDERR + (more_pipes or 0) do p.pipes[i] = uv.new_pipe(false) end
  p.started = process.now()
  p.handle, p.pid = uv.spawn(argv[1], {
    args = table.move(argv, 2, #argv, 1, {}), stdio = p.pipes,
  }, function(code, signal) p.code, p.signal = code, signal end)
  if not p.handle then error(("%s: %s"):format(argv[1], p.pid), 0) end
  for i = STDOUT, #p.pipes do read(p, i) end
  return p
end

function Process:fail()
  await(self.name, function() return self.ended[STDERR] end)
  error(("%s ended (exit code %d, signal %d):\n%s"):format(self.name, self.code, self.signal,
    self.received[STDERR]), 0)
end

--- Takes the first n bytes of its output.
function Process:take(n)
  await(self.name, function() return #self.received[STDOUT] >= n or self.code end)
  local data = self.received[STDOUT]
  if #data < n then self:fail() end
  self.received[STDOUT] = data:sub(n + 1)
  return data:sub(1, n)
end

--- Takes a line from a pipe: 2 is standard output, 4 descriptor 3.
function Process:line(pipe)
  pipe = pipe or STDOUT
  local line, rest
  await(self.name, function()
    line, rest = self.received[pipe]:match "^([^\n]*)\n(.*)$"
    return line or self.code
  end)
  if not line then self:fail() end
  self.received[pipe] = rest
  return line
end

function Process:write(data, pipe)
  self.pipes[pipe or 1]:write(data)
end

--- Waits for the program's end; returns its output.
function Process:finish()
  await(self.name, function() return self.code and self.ended[STDOUT] end)
  return self.received[STDOUT]
end

function Process:close()
  if not self.code then self.handle:kill "sigkill" end
  await(self.name, function() return self.code end)
  self.handle:close()
  for _, pipe in ipairs(self.pipes) do pipe:close() end
  uv.run "nowait"
end
Process.__close = Process.close

--- Runs a program of the benchmarks to its end; returns its lines of a name and numbers as
-- {name = {number, ...}}. base: of the numbers, as for tonumber(). argv.code: the expected exit
-- code, default 0.
function process.results(argv, base)
  local p <close> = process.start(argv)
  local text = p:finish()
  if p.code ~= (argv.code or 0) then p:fail() end
  local results = {}
  for name, numbers in text:gmatch "(%S+)([^\n]*)\n" do
    local list = results[name] or {}
    results[name] = list
    for number in numbers:gmatch "%S+" do
      list[#list + 1] = base and tonumber(number, base) or tonumber(number)
    end
  end
  return results
end

--- Returns the path of a file in the benchmarks' build folder.
function process.built(name)
  return process.build .. "/bench/" .. name
end

--- Returns the command that runs a script of bench/machines/ with arguments.
function process.script(name, ...)
  return { process.build .. "/lunik", "bench/machines/" .. name .. ".lua", ... }
end

--- Returns a field of a process's status: VmRSS, voluntary_ctxt_switches, ...
function process.status(pid, field)
  for line in io.lines(("/proc/%s/status"):format(pid)) do
    local value = line:match("^" .. field .. ":%s*(%d+)")
    if value then return tonumber(value) end
  end
end

return process
