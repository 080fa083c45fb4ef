-- QEMU, driven over QMP.
local process = require "bench.process"

local qemu = {}
local Qemu = {}
Qemu.__index = Qemu

local PROGRAM = "/usr/bin/qemu-system-x86_64"
local QMP = 4 -- its pipe: descriptor 3

local function exists(path, mode)
  local file = io.open(path, mode)
  if file then file:close() end
  return file ~= nil
end

qemu.installed = exists(PROGRAM, "r")

-- Without KVM its processors are not to be measured, but devices are.
local ACCEL = exists("/dev/kvm", "r+") and "kvm" or "tcg"

--- Returns QEMU's version as text, or nil.
function qemu.version()
  if not qemu.installed then return nil end
  local p <close> = process.start { PROGRAM, "--version" }
  return p:finish():match "version ([^\n]*)"
end

--- Returns the arguments for all machines: the board without further devices.
function qemu.argv(board, memory, ...)
  return { PROGRAM, "-accel", ACCEL, "-M", board, "-m", memory, "-nodefaults", "-display", "none",
    "-no-reboot", ... }
end

--- Returns the same with an image of bench/guests/ as firmware, and its report on standard output.
-- code: QEMU's exit code when the guest ends the run.
function qemu.guest(image, board, memory, ...)
  local argv = qemu.argv(board, memory, "-bios", process.built(image), "-debugcon", "stdio",
    "-device", "isa-debug-exit,iobase=0xf4,iosize=4", ...)
  argv.code = 1
  return argv
end

--- Starts a program that serves QMP on descriptor 3.
function qemu.serve(argv)
  local q = setmetatable({ process = process.start(argv, 1), events = {} }, Qemu)
  local ok, err = pcall(function()
    q.process:line(QMP) -- the greeting
    q:call '{"execute":"qmp_capabilities"}'
  end)
  if ok then return q end
  q:close()
  error(err, 0)
end

--- Starts QEMU with QMP. argv: from the functions above.
function qemu.start(argv)
  local all = table.move(argv, 1, #argv, 1, {})
  for _, arg in ipairs { "-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control" } do
    all[#all + 1] = arg
  end
  return qemu.serve(all)
end

--- Sends many commands at once; returns how long it took until all were answered, in microseconds
-- for each.
function Qemu:pipeline(command, count)
  local text, start = command:rep(count, "\n") .. "\n", process.now()
  self.process:write(text, QMP)
  for _ = 1, count do self.process:line(QMP) end
  return (process.now() - start) * 1e6 / count
end

--- Executes a command; returns its answer or raises its error. Keeps events that come before.
function Qemu:call(command)
  self.process:write(command .. "\n", QMP)
  while true do
    local line = self.process:line(QMP)
    if line:find('"event"', 1, true) then
      self.events[#self.events + 1] = line
    elseif line:find('"error"', 1, true) then
      error(("QEMU: %s: %s"):format(command, line:match '"desc": "(.-)"' or line), 2)
    else
      return line
    end
  end
end

--- Executes a command; returns how long it took, in microseconds.
function Qemu:time(command)
  local start = process.now()
  self:call(command)
  return (process.now() - start) * 1e6
end

--- Waits for an event of that name.
function Qemu:event(name)
  local pattern = '"event": "' .. name .. '"'
  for i, line in ipairs(self.events) do
    if line:find(pattern, 1, true) then return table.remove(self.events, i) end
  end
  local line
  repeat
    line = self.process:line(QMP)
  until line:find(pattern, 1, true)
  return line
end

--- Returns a command that does nothing and is as long as the given one.
function qemu.no_op(command)
  local text = '{"execute":"query-name"%s}'
  return text:format((" "):rep(#command - #text + 2))
end

function Qemu:close()
  self.process:close()
end
Qemu.__close = Qemu.close

return qemu
