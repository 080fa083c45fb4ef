--- The small guest (a program that runs on KVM without an operating system), driven by commands on
-- its serial port.

local await = require "lunik.testing.await"
local guests = require "lunik.testing.guests"
local images = require "lunik.guest_images"
local runner = require "lunik.testing.runner"
local wait = require "lunik.wait"

local PAGE = 4096

local Small = { name = "small", timeout = 20, kvm = true }

function Small.unavailable()
  local why = guests.no_kvm()
  if why then return why end
  local path, missing = images.find "small.elf"
  return not path and missing or nil
end

function Small.options(given)
  return { kernel = images.find "small.elf", memory = "128M",
    cmdline = given.deaf and "no-hotplug" or nil }
end

function Small.start(t)
  local guest = { test = t, m = t.m, listening = not t.deaf }
  t.m:on_reset(function() guest.listening = not t.deaf end)
  return guest
end

--- Starts the machine and waits until the guest is ready.
function Small:boot()
  self.m:start()
  self:ready()
end

--- Whether the guest has booted.
function Small:is_ready()
  return self.test.console:is_ready "guest: ready\n"
end

--- Waits until the guest has booted.
function Small:ready()
  await.on(self.test, "the guest to be ready", self.test.timeout, function()
    return self:is_ready()
  end)
end

-- Types a command and waits for its answer. Returns "done", the lines before it, and the answer; or
-- "again" if the machine was reset meanwhile.
local function ask(self, line)
  local console, lines = self.test.console, {}
  local boots = console.boots
  console:send(line .. "\n")
  return await.on(self.test, ("the guest's answer to '%s'"):format(line), self.test.timeout,
    function()
      for text in console.line, console do
        if text:find "^ok " then return "done", table.concat(lines, "\n"), text:sub(4) end
        if text:find "^error " or text:find "^panic: " then
          runner.fail(("the guest answers '%s' with '%s'"):format(line, text))
        end
        lines[#lines + 1] = text
      end
      return console.boots > boots and "again"
    end)
end

--- Has the guest run a command; returns the lines before its answer, and the answer without "ok ".
-- Commands of several coroutines run one after the other; one that a reset has interrupted runs
-- again.
function Small:run(line)
  while self.running do wait.sleep(0.001) end
  self.running = true
  local _ <close> = setmetatable({}, { __close = function() self.running = false end })
  while true do
    local how, lines, answer = ask(self, line)
    if how == "done" or line == "reset" then return lines, answer end
    self:ready()
    -- Part of the command may still come to the new boot.
    self.test.console:send "\nsleep 0\n"
    self.test.console:expect "ok sleep 0\n"
  end
end

--- Begins to answer hotplug, where the guest was deaf.
function Small:listen()
  if not self.listening then self:run "hotplug" end
  self.listening = true
end

--- Whether the guest answers hotplug.
function Small:listens()
  return self.listening
end

--- Waits until the guest takes commands, and so has nothing else to do.
function Small:idle()
  self:run "sleep 0"
end

--- The memory that the guest uses: slot -> {address=, size=}.
function Small:memory()
  local found = {}
  for slot, base, size in self:run "slots"
      :gmatch "slot (%d+) flags %S+ base (%S+) size (%S+) node %d+ mapped" do
    found[math.tointeger(slot)] = { address = math.tointeger(base), size = math.tointeger(size) }
  end
  return found
end

--- How much memory the guest has, in bytes.
function Small:total()
  local _, answer = self:run "map"
  local total = math.tointeger(answer:match "(0x%x+) bytes of RAM")
  for _, memory in pairs(self:memory()) do total = total + memory.size end
  return total
end

--- Has the guest reboot; returns when it is ready again.
function Small:reboot()
  local resets = self.test.journal:count "reset"
  self:run "reset"
  await.on(self.test, "the reset that the guest asked for", self.test.timeout, function()
    return self.test.journal:count "reset" > resets
  end)
  self:ready()
end

--- Makes the guest refuse insertions, removals, or (false) neither, until it boots again.
function Small:refuse(what)
  what = what or {}
  self:run(("refuse %d %d"):format(what.insert and 1 or 0, what.eject and 1 or 0))
end

--- Writes a pattern over memory.
function Small:fill(address, size, seed)
  self:run(("touch 0x%x %d %d"):format(address, size // PAGE, seed))
end

--- Reads the pattern back; fails if it differs.
function Small:verify(address, size, seed)
  self:run(("verify 0x%x %d %d"):format(address, size // PAGE, seed))
  return true
end

return Small
