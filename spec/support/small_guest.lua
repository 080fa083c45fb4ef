-- For specs: machines that run the project's own small guest (spec/guests/).
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local patience = require "lunik.testing.patience"

local small = {}

small.TIMEOUT = 20 * patience -- seconds for what takes milliseconds on a quiet machine

--- The path of one of the guest's images.
function small.image(name)
  return command.build .. "/guests/" .. name
end

--- Why it can't run here, or nil.
function small.unavailable()
  return not command.kvm() and "no /dev/kvm" or nil
end

--- A machine with the guest as its kernel and its console in a buffer; options replace defaults.
function small.machine(options)
  return machines.new({
    board = "pc", memory = "128M", maxmem = "4G", slots = 4, serial = "buffer",
    kernel = small.image("small.elf"),
  }, options)
end

--- Starts a machine and waits for the guest; returns what it printed until then. timeout: seconds,
-- default small.TIMEOUT.
function small.start(m, timeout)
  m:start()
  return small.ready(m, timeout)
end

--- Waits until the guest is ready for commands; returns what it printed until then.
function small.ready(m, timeout)
  local text = m:console():expect("^(.-)guest: ready\r\n", { timeout = timeout or small.TIMEOUT })
  return (text:gsub("\r", ""))
end

--- Has the guest run a command; returns the lines before its answer, and the answer without "ok ".
function small.run(m, line)
  m:console():write(line .. "\n")
  return small.answer(m)
end

--- The answer to a command that is being run.
function small.answer(m)
  local console, lines = m:console(), {}
  while true do
    local text = console:expect("([^\r\n]*)\r\n", { timeout = small.TIMEOUT })
    if text:match("^ok ") then
      return table.concat(lines, "\n"), (text:gsub("^ok ", ""))
    elseif text:match("^error ") or text:match("^panic: ") then
      error(text, 2)
    end
    table.insert(lines, text)
  end
end

--- Runs a machine to its end; returns what the guest printed and the event that ended it.
function small.finish(m)
  local ended
  m:once("shutdown", function(ev) ended = ev end)
  m:once("crashed", function(ev) ended = ev end)
  m:start()
  local deadline = lunik.now() + small.TIMEOUT
  while not ended do
    assert(lunik.now() < deadline, "the guest does not end")
    lunik.run("once")
  end
  return (m:console():text():gsub("\r", "")), ended
end

return small
