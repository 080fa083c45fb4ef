--- Commands that run, stop and reset the machine.

local function cont(self)
  local m = self.machine
  if m.state == "created" then m:start() elseif m.state ~= "running" then m:resume() end
end

local function select_cpu(self, args)
  local index = args:need_number "index"
  args:finish()
  self.machine:cpu(index) -- raises an error if there is none
  self.cpu = index
end

local function nmi(self)
  for _, cpu in ipairs(self.machine:cpus()) do cpu:nmi() end
end

return {
  {
    name = "stop", alias = "s", help = "stop emulation",
    run = function(self) self.machine:pause() end,
  },
  { name = "cont", alias = "c", help = "resume emulation", run = cont },
  {
    name = "system_reset", help = "reset the system",
    run = function(self) self.machine:reset() end,
  },
  {
    name = "system_powerdown", help = "send system power down event",
    run = function(self) self.machine:powerdown() end,
  },
  {
    name = "quit", alias = "q", help = "quit the emulator",
    run = function(self) self.machine:shutdown(0) end,
  },
  { name = "cpu", params = "index", help = "set the default CPU", run = select_cpu },
  { name = "nmi", help = "inject an NMI", run = nmi },
}
