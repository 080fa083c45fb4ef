--- m:device_del(): requests a removal, to which the guest may have to agree; returns a handle to
-- wait with.

local core = require "lunik.core"
local event = require "lunik.event"
local list = require "lunik.list"
local options = require "lunik.options"
local wait = require "lunik.wait"

local unplug = {}

local Unplug = {}
Unplug.__name = "lunik.Unplug"
unplug.Unplug = Unplug

local fields = {}

--- "requested", "draining", "refused" or "ejected".
function fields.state(self)
  if not self.object.alive then return "ejected" end
  return self.outcome or self.object.state == "draining" and "draining" or "requested"
end

--- Fields: device, object, machine, state; after a refusal source and status, or reason.
function Unplug.__index(self, key)
  local get = fields[key]
  if get then return get(self) end
  return Unplug[key]
end

function Unplug.__tostring(self)
  return ("removal of '%s' (%s)"):format(self.device, self.state)
end

local function forget(self)
  if self.deleted then self.deleted:off() end
  if self.refused then self.refused:off() end
end

local function settle(self, outcome, ev)
  self.outcome = outcome
  if ev then self.source, self.status, self.reason = ev.source, ev.status, ev.reason end
  forget(self)
  wait.wake_all(self.waiting)
end

-- Requests the removal, and subscribes to the answer.
local function follow(self, m, device)
  local object = self.object
  local function concerns(ev) return object and ev.path == object.path end
  self.deleted = event.on(m, "device-deleted", function(ev)
    if concerns(ev) then settle(self, "ejected") end
  end)
  self.refused = event.on(m, "device-unplug-guest-error", function(ev)
    if concerns(ev) then settle(self, "refused", ev) end
  end)
  core.device_del(m, device)
end

--- m:device_del(id)
function unplug.request(m, device)
  local object = core.is_a(device, "lunik.Object") and device
  if not object then
    if type(device) ~= "string" then
      options.fail("invalid", "device_del: device: %s (want an id or a device)",
        device == nil and "is missing" or options.show(device) .. " is not a device")
    end
    options.value("device_del: device", device, "string")
    object = m:object(device)
  end
  local self = setmetatable({
    machine = m, object = object, device = object and tostring(object.id ~= "" and object.id
      or object.path) or device, waiting = list.new(), deleted = false, refused = false,
  }, Unplug)
  local ok, err = pcall(follow, self, m, device)
  if not ok then
    forget(self)
    error(err, 0)
  end
  return self
end

local function wait_for_answer(self, timeout)
  wait.block {
    what = ("removal of '%s'"):format(self.device), timeout = timeout, machine = self.machine,
    start = wait.joins(self.waiting),
  }
end

--- Waits until the device is gone; raises an error if the guest refuses ("busy"), or does not
-- answer in time ("timeout"), in which case the request stands.
function Unplug:wait(opts)
  local timeout = options.parse("wait", opts, { timeout = "seconds" }).timeout
  if self.state ~= "ejected" and not self.outcome then
    if event.has_ended(self.machine) then
      error(wait.ended_error(self.machine, ("removal of '%s'"):format(self.device)), 0)
    end
    wait_for_answer(self, timeout)
  end
  if self.state == "refused" then
    options.fail("busy", "device '%s': %s", self.device, self.reason
      or ("the guest keeps it (_OST source 0x%x, status 0x%x)"):format(self.source, self.status))
  end
  return self.state
end

options.guard(Unplug.__name, Unplug, Unplug)

return unplug
