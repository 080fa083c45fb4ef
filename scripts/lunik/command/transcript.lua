--- `lunik run --transcript`: prints what happens to the script's machines: what their guests print,
-- and their flights: devices that go in and out, with the guest's answers and how long they took.

local board = require "lunik.board"
local console = require "lunik.console"
local host = require "lunik.host"
local observe = require "lunik.observe"
local core = require "lunik.core"
local words = require "lunik.record.words"

local transcript = {}

local FLIGHTS, STEPS = 100, 10000
local MOST_DIMMS = 8 -- that are listed one by one

-- ---- output ------------------------------------------------------------------------------------

local began, print = core.now(), print
local colours = host.isatty(1) and not os.getenv "NO_COLOR"

local function paint(code, text)
  return colours and ("\27[%sm%s\27[0m"):format(code, text) or text
end

-- The machine's name is shown once there have been several.
local machines = 0

local function line(who, colour, seconds, m, text)
  local name = machines > 1 and m.name .. ": " or ""
  print(("%8.3f s  %s  %s%s"):format(math.max(0, seconds - began),
    paint(colour, ("%-5s"):format(who)), name, (text:gsub("%c", "?"))))
  io.stdout:flush()
end

local function say(m, ns, format, ...)
  line("lunik", "36", ns / 1e9, m, format:format(...))
end

-- ---- what the guest prints ----------------------------------------------------------------------

local consoles = setmetatable({}, { __mode = "k" })
local latest = math.huge -- seconds: what is taken has been printed by then

-- Prints the console's whole lines. Lines that go elsewhere are not printed a second time.
local function tap(from)
  if not from.object:is "chardev-buffer" then return end
  local rest = ""
  consoles[from] = true
  console.tap(from, function(bytes)
    rest = rest .. bytes
    for text in rest:gmatch "([^\r\n]*)\r?\n" do
      line("guest", "33", math.min(core.now(), latest), from.object.machine, text)
    end
    rest = rest:match "[^\n]*$"
  end)
end

-- Prints what a machine's guest has printed so far: before what it has led to, at ns (nil: now).
local function hear(m, ns)
  latest = ns and ns / 1e9 or math.huge
  for from in pairs(consoles) do
    if from.object.alive and from.object.machine == m then console.feed_taps(from) end
  end
  latest = math.huge
end

-- ---- what the machine does ----------------------------------------------------------------------

local function show_devices(m, ns)
  for _, object in ipairs(m:objects()) do say(m, ns, "  %-20s %s", object.type, object.id) end
end

local function show_memory(m, ns)
  for _, range in ipairs(m:fwmap()) do
    if range.type == "ram" then
      say(m, ns, "  RAM   0x%09x  %s", range.base, board.show(range.size))
    end
  end
  local dimms = m:memory_devices()
  for i, device in ipairs(dimms) do
    local dimm = device.data
    if i > MOST_DIMMS then
      return say(m, ns, "  and %d DIMMs more", #dimms - MOST_DIMMS)
    end
    say(m, ns, "  DIMM  0x%09x  %s  slot %d, %s", dimm.addr, board.show(dimm.size), dimm.slot,
      dimm.id or "without an id")
  end
end

local texts = {}

function texts.place(m, step)
  local f = step.fields
  say(m, step.time, "%s is in slot %d at 0x%x", step.device, f.slot, f.address)
end

function texts.shown(m, step)
  if step.fields.asks ~= "" then
    say(m, step.time, "the guest is asked to %s %s", step.fields.asks == "remove" and "give up"
      or "take", step.device)
  end
end

function texts.ost(m, step)
  local f = step.fields
  hear(m, step.time)
  say(m, step.time, "the guest answers _OST source 0x%x status 0x%x for %s", f.source, f.status,
    step.device or ("slot %d"):format(f.slot))
end

local function say_call(m, step) say(m, step.time, "%s", step.text) end

for _, kind in ipairs { "device_add", "device_del", "start", "reset", "wakeup", "guest_reset",
  "eject" } do
  texts[kind] = say_call
end

local ends_of_runs = {
  shutdown = "shut down", crashed = "crashed", paused = "paused", resumed = "resumed",
  suspend = "suspended", wakeup = "awake",
}

-- A step of no flight.
local function loose(m, step)
  if step.kind ~= "event" then
    say(m, step.time, step.failed and "%s: failed: %s" or "%s", step.text, step.failed)
  elseif ends_of_runs[step.name] then
    local f = step.fields
    say(m, step.time, "the machine is %s%s", ends_of_runs[step.name],
      f.code and (" (%s, exit code %d)"):format(f.reason, f.code) or "")
  end
end

local function ended(m, flight)
  local subject = flight.device or "the " .. flight.kind
  say(m, flight.stop, "%s is %s after %s%s", subject, flight.outcome,
    words.time(flight.duration), flight.why and ": " .. flight.why or "")
  if m.state == "closed" then return end
  if flight.kind == "boot" then show_devices(m, flight.stop) end
  if flight.outcome ~= "failed" and flight.outcome ~= "refused" then
    show_memory(m, flight.stop)
  end
end

local function follow(m)
  local recorder = m:record { flights = FLIGHTS, steps = STEPS }
  machines = machines + 1
  recorder:follow(function(what, flight, step)
    if what == "loose" then
      loose(m, step)
    elseif what == "end" then
      ended(m, flight)
    elseif what == "step" and texts[step.kind] then
      texts[step.kind](m, step)
    end
  end)
  return recorder
end

local recorders = setmetatable({}, { __mode = "k" })

-- Prints what has happened to a machine so far.
local function catch_up(m)
  if recorders[m] then recorders[m]:flights() end
  if m.state ~= "closed" then hear(m) end
end

-- The script's own lines come after those that it has caused.
local function print_in_order()
  _G.print = function(...) -- luacheck: ignore 122
    for _, m in ipairs(core.machines()) do catch_up(m) end
    print(...)
  end
end

--- Begins the transcript of all machines that are made from now on.
function transcript.start()
  print_in_order()
  observe.on("console", tap)
  observe.on("machine", function(m)
    recorders[m] = follow(m)
    for _, object in ipairs(m:objects()) do
      if object:is "chardev-buffer" then console.of(object) end
    end
  end)
  observe.on("closing", catch_up)
end

return transcript
