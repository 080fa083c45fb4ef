--- Observers of what the library does, such as reports. They are called in addition to handlers and
-- do not count as such: an event without a handler is still printed.
--
-- "machine" (machine, options): one has been made; "closing" (machine): a script, or the end of the
-- process, is about to close it; "event" (machine, event); "error" (machine or nil, source,
-- message, traceback): one without a caller; "chardev" (object), "console" (console): one has
-- been made; "printed" (text): the script has printed that, see lunik.report.printed; "exit"
-- (code): the process is about to end.

local core = require "lunik.core"
local list = require "lunik.list"

local observe = {}

local shared = core.shared
shared.observers = shared.observers or {}

local Observer = {}
Observer.__index = Observer

--- Ends it.
function Observer:off() list.remove(self) end

--- Calls fn for that kind from now on; returns the observer.
function observe.on(kind, fn)
  shared.observers[kind] = shared.observers[kind] or list.new()
  local observer = setmetatable({ fn = fn }, Observer)
  list.add(shared.observers[kind], observer)
  return observer
end

--- Calls the observers of a kind. An observer that fails does not keep others from being called.
function observe.notify(kind, ...)
  local observers = shared.observers[kind]
  if not observers or #observers == 0 then return end
  local called = {}
  for i = 1, list.copy(observers, called, 0) do
    local ok, err = pcall(called[i].fn, ...)
    if not ok then core.message(("lunik: an observer failed: %s\n"):format(core.text(err))) end
  end
end

return observe
