--- A test's machine: t:plug{}, t:unplug(id) and what else is done to it.

local core = require "lunik.core"
local Console = require "lunik.testing.console"
local Journal = require "lunik.testing.journal"
local await = require "lunik.testing.await"
local files = require "lunik.testing.files"
local guests = require "lunik.testing.guests"
local host = require "lunik.testing.host"
local lunik = require "lunik"
local model = require "lunik.testing.model"
local options = require "lunik.options"
local refused = require "lunik.testing.refused"
local report = require "lunik.testing.report"
local runner = require "lunik.testing.runner"
local wait = require "lunik.wait"

local Test = {}
Test.__index = Test
Test.__name = "lunik.testing.Machine"

local DIMM_SIZE = "128M"
local DEFAULTS = { board = "pc", maxmem = "4G", slots = 4, serial = "buffer" }
local OWN = { guest = true, boot = true, deaf = true, fail_on = true, cold = true, timeout = true,
  record = true, append = true }

-- Options of which the guest's and the test's are joined.
local LISTS = { objects = true, devices = true }

-- _OST sources and statuses (ACPI 6.4, 6.3.5).
local INSERTION, SUCCESS = 1, 0

-- ---- DIMMs as they are written in specs --------------------------------------------------------

local device_properties = { addr = true, slot = true, node = true, memdev = true }
local call_options = { id = true, backend = true, nowait = true, timeout = true, answer = true }

-- Splits what t:plug{} gets: the backend's type and properties, the device's.
local function split(t, given)
  options.table("plug", given)
  local plug = { id = given.id or t:free_id(), device = {}, props = {} }
  for key, value in pairs(given) do
    if device_properties[key] then
      plug.device[key] = value
    elseif not call_options[key] then
      plug.props[key] = value
    end
  end
  plug.device.id = plug.id
  if given.memdev == nil then
    plug.backend = given.backend or "memfd"
    if not plug.backend:find "^memory%-backend" then
      plug.backend = "memory-backend-" .. plug.backend
    end
    plug.props.id = plug.id .. "-mem"
    plug.props.size = plug.props.size or DIMM_SIZE
    plug.device.memdev = plug.props.id
  elseif next(plug.props) then
    options.fail("invalid", "plug: %s: is a property of a new backend, but memdev names one "
      .. "(want one or the other)", next(plug.props))
  end
  return plug
end

-- Gives a backend of kind file a file, if it has none.
local function give_file(plug)
  local props = plug.props
  if plug.backend ~= "memory-backend-file" then return end
  if not (props["mem-path"] or props.mem_path or props.fd) then
    props["mem-path"] = files.file("", { memory = true, suffix = ".dimm" })
    plug.file = props["mem-path"]
  end
end

-- What the model knows of a DIMM that has just been made.
local function remember(t, plug, dimm, state)
  local memdev = plug.device.memdev
  if type(memdev) == "string" then memdev = t.m:object(memdev) end
  t.dimms[plug.id] = {
    id = plug.id, slot = dimm.slot, addr = dimm.addr, size = dimm.size, node = dimm.node,
    memdev = memdev.path, state = state, made = plug.backend and plug.props.id, file = plug.file,
  }
end

--- An id that no DIMM has: "dimm1", ...
function Test:free_id()
  local n = 1
  while self.m:object("dimm" .. n) or self.m:object(("dimm%d-mem"):format(n)) do n = n + 1 end
  return "dimm" .. n
end

-- ---- making ------------------------------------------------------------------------------------

-- Options of lunik.machine() from those of a test and of its guest.
local function machine_options(given, of_guest)
  local all = {}
  for _, source in ipairs { DEFAULTS, of_guest, given } do
    for key, value in pairs(source) do
      if LISTS[key] and all[key] and value then
        all[key] = table.move(value, 1, #value, #all[key] + 1, table.move(all[key], 1, #all[key], 1,
          {}))
      elseif not OWN[key] then
        all[key] = value or nil
      end
    end
  end
  if given.memdev or given.numa then all.memory = given.memory end
  if all.maxmem == nil then all.slots = given.slots or nil end
  return all
end

-- Adds the DIMMs that are there from the start.
local function add_cold(all, given, plugs)
  local objects = table.move(all.objects or {}, 1, #(all.objects or {}), 1, {})
  local devices = table.move(all.devices or {}, 1, #(all.devices or {}), 1, {})
  for i, dimm in ipairs(given.cold or {}) do
    local plug = split({ free_id = function() return "dimm" .. i end }, dimm)
    if plug.backend then
      give_file(plug)
      table.insert(objects, { plug.backend, plug.props })
    end
    table.insert(devices, { "pc-dimm", plug.device })
    plugs[i] = plug
  end
  all.objects, all.devices = objects, devices
end

-- A guest's object: methods that it lacks skip the example.
local function new_guest(t, kind)
  return setmetatable(kind.start(t), { __index = function(_, key)
    if kind[key] ~= nil then return kind[key] end
    if Test.guest_methods[key] then return guests.missing(kind, key) end
  end })
end

Test.guest_methods = { memory = true, total = true, reboot = true, refuse = true, fill = true,
  verify = true, idle = true, listen = true, run = true, pci = true }

--- Whether the guest has a method, such as "fill".
function Test:can(name)
  return self.kind[name] ~= nil
end

-- Makes the machine and all that looks at it.
local function make(self, given)
  local of_guest, made = self.kind.options(given)
  local all, plugs = machine_options(given, of_guest), {}
  add_cold(all, given, plugs)
  local began = core.now()
  local ok, m = pcall(lunik.machine, all)
  if made then made() end
  if not ok then error(m, 0) end
  self.m = m
  self.journal = Journal.new(self, began)
  if given.record ~= false then self.recorder = m:record() end
  self.console = Console.new(self)
  for _, pattern in ipairs(given.fail_on or {}) do self.console:fail_on(pattern) end
  self.guest = new_guest(self, self.kind)
  for _, plug in ipairs(plugs) do remember(self, plug, m:object(plug.id), "pending") end
  wait.sleep(0) -- the events of its making are delivered
  self.journal:begin()
end

--- A machine with a guest that is ready, which ends with the example.
function Test.new(given)
  given = options.table("machine", given or {})
  local kind = guests.get(given.guest or "scripted")
  local why = kind.unavailable()
  if why then runner.skip(("the %s guest: %s"):format(kind.name, why)) end
  local self = setmetatable({
    kind = kind, name = kind.name, timeout = given.timeout or kind.timeout, deaf = given.deaf,
    dimms = {}, leaving = {}, base = {}, pardoned = {}, host = host,
  }, Test)
  make(self, given)
  runner.add(self)
  if given.boot ~= false then self:boot() end
  return self
end

--- Starts the machine, where the test was made with boot = false, and waits until the guest is
-- ready.
function Test:boot()
  self.guest:boot()
  self.base.memslots = self.m.stats.memslots - model.count(self)
  self:settle()
  if self:can "total" and self.guest:listens() then
    self.base.total = self.guest:total()
    for _, dimm in pairs(self.dimms) do
      if self.base.total and dimm.state == "accepted" then
        self.base.total = self.base.total - dimm.size
      end
    end
  end
end

--- Words for why the machine can't go on, or nil.
function Test:trouble()
  if self.m.state == "crashed" then return "the machine crashed" end
  if self.m.state == "closed" then return "the machine was closed" end
end

-- ---- plug --------------------------------------------------------------------------------------

-- Whether an answer to anything can be expected now.
local function answers(self)
  return self.m.state == "running" and self.guest:listens()
end

-- Whether the guest has booted since the DIMM was plugged, or has not booted before: it then takes
-- the DIMM without an answer.
local function booted_since(self, dimm)
  if not dimm.since then return true end
  return self.journal:find("reset", dimm.since) or self.journal:find("started", dimm.since)
end

-- The guest's answer to a plug: "accepted", or "refused" and the event; nil if there is none yet.
local function answer_of(self, dimm)
  for i = dimm.since or 1, #self.journal.events do
    local ev = self.journal.events[i]
    if ev.name == "acpi-ost" and ev.device == dimm.id and ev.source == INSERTION then
      return ev.status == SUCCESS and "accepted" or "refused", ev
    end
  end
  if not booted_since(self, dimm) or not self.guest:is_ready() then return nil end
  return (not self:can "memory" or self.guest:memory()[dimm.slot]) and "accepted"
end

local function await_answer(self, id, timeout)
  local dimm = self.dimms[id]
  local state, ev = await.on(self, ("the guest's answer to %s"):format(id),
    timeout or self.timeout, function() return answer_of(self, dimm) end, dimm.since)
  dimm.state = state
  return state, ev
end

-- Makes backend and device; leaves nothing if one of them fails.
local function add(self, plug)
  if plug.backend then
    give_file(plug)
    self.m:object_add(plug.backend, plug.props)
  end
  local ok, dimm = pcall(self.m.device_add, self.m, "pc-dimm", plug.device)
  if not ok then
    if plug.backend then self.m:object_del(plug.props.id) end
    error(dimm, 0)
  end
  return dimm
end

--- Plugs a DIMM with a backend of its own and waits for the guest to accept it. Returns the device.
function Test:plug(given)
  local plug = split(self, given or {})
  local since = self.journal:position() + 1
  local dimm = add(self, plug)
  remember(self, plug, dimm, "pending")
  self.dimms[plug.id].since = since
  if (given or {}).nowait or not answers(self) then return dimm end
  local want = (given or {}).answer or "accepted"
  local state, ev = await_answer(self, plug.id, (given or {}).timeout)
  if state ~= want then
    runner.fail(("plug: the guest has %s %s%s, which was to be %s"):format(state, plug.id,
      ev and (" (_OST source 0x%x, status 0x%x)"):format(ev.source, ev.status) or "", want))
  end
  return dimm
end

-- ---- unplug ------------------------------------------------------------------------------------

-- The DIMM is gone: deletes what was made for it.
local function forget(self, dimm, keep)
  self.dimms[dimm.id] = nil
  if dimm.made and not keep then
    self.m:object_del(dimm.made)
    if dimm.file then os.remove(dimm.file) end
  end
end

local function await_removal(self, leaving, timeout)
  local request = leaving.request
  local function look()
    local state = request.state
    return (state == "ejected" or state == "refused") and state
  end
  return await.on(self, ("the removal of %s"):format(leaving.dimm.id), timeout or self.timeout,
    look, leaving.since)
end

-- Finishes a removal. Returns how it ended.
local function finish_removal(self, leaving, timeout)
  local state = await_removal(self, leaving, timeout)
  self.leaving[leaving.dimm.id] = nil
  if state == "ejected" then forget(self, leaving.dimm, leaving.keep) end
  return state
end

--- Asks for a DIMM back, waits until the guest has ejected it, and deletes the backend that plug()
-- has made. Returns the request.
function Test:unplug(id, given)
  given = options.parse("unplug", given, { nowait = "boolean", timeout = "seconds",
    keep = "boolean", answer = "string" })
  local dimm = self.dimms[id]
  local since = self.journal:position() + 1
  local request = self.m:device_del(id)
  local leaving = {
    request = request, dimm = dimm or { id = id }, keep = given.keep, since = since,
  }
  self.leaving[id] = leaving
  if given.nowait or not answers(self) and request.state ~= "ejected" then return request end
  local want = given.answer == "refused" and "refused" or "ejected"
  local state = finish_removal(self, leaving, given.timeout)
  if state ~= want then
    runner.fail(("unplug: %s is %s%s, and was to be %s"):format(id, state,
      request.status and (" (_OST source 0x%x, status 0x%x)"):format(request.source, request.status)
      or "", want))
  end
  return request
end

-- The values of a table, which may change meanwhile.
local function values(t)
  local list = {}
  for _, value in pairs(t) do list[#list + 1] = value end
  return list
end

--- Waits for all answers that are outstanding: to plugs and removals that did not wait.
function Test:settle()
  for _, leaving in ipairs(values(self.leaving)) do
    if answers(self) or leaving.request.state == "ejected" then finish_removal(self, leaving) end
  end
  if not answers(self) then return end
  self.guest:ready()
  for _, dimm in ipairs(values(self.dimms)) do
    if dimm.state == "pending" then await_answer(self, dimm.id) end
  end
end

-- ---- checks ------------------------------------------------------------------------------------

--- Compares what was plugged and unplugged with the machine's list, the guest's memory, the map,
-- the memslots, `used`, and looks for errors in journal and console.
function Test:check()
  self:settle()
  model.check(self)
end

--- Calls a function that must be refused: see lunik.testing.refused. Nothing of the machine may
-- have changed.
function Test:refused(given)
  return refused.run(given, self)
end

--- Errors in the journal until now are meant: check() accepts them.
function Test:pardon()
  wait.sleep(0)
  for _, ev in ipairs(self.journal.events) do self.pardoned[ev] = true end
end

--- The text that a failure shows: console, journal, memory map, last flight.
function Test:details()
  return report.text(self)
end

-- ---- the end -----------------------------------------------------------------------------------

--- Closes the machine.
function Test:close()
  if self.m.state ~= "closed" then self.m:close() end
  self.journal.subscription:off()
  for _, dimm in pairs(self.dimms) do
    if dimm.file then os.remove(dimm.file) end
  end
end

--- The end of an example, or of a <close> variable's scope: closes the machine. Errors that nothing
-- has looked at fail it.
function Test:finish(failed)
  local ok, err = true, nil
  if not failed and self.m.state ~= "closed" and wait.possible() then wait.sleep(0) end
  if not failed then ok, err = pcall(model.check_journal, self) end
  self:close()
  if not ok then error(err, 0) end
end

-- In a script, which has no report of a failure, an error that ends the scope shows the details.
function Test:__close(err)
  if err ~= nil and not runner.inside() then io.stderr:write(self:details(), "\n") end
  self:finish(err ~= nil)
end

function Test:__tostring()
  return ("test of machine '%s' (%s, %s guest)"):format(self.m.name, self.m.state, self.name)
end

return Test
