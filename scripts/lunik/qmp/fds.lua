--- The sets of file descriptors that clients have handed over, which they name /dev/fdset/N.

local core = require "lunik.core"
local event = require "lunik.event"
local failure = require "lunik.qmp.failure"
local json = require "lunik.json"

local fds = {}

local function sets(m)
  local state = event.state(m)
  if not state.fdsets then
    -- Closes them with the machine's state.
    state.fdsets = setmetatable({}, { __gc = function(all)
      for _, set in pairs(all) do
        for _, member in ipairs(set) do core.close_fd(member.fd) end
      end
    end })
  end
  return state.fdsets
end

--- Adds a descriptor, which the set owns from now on, to a set; nil: a new one.
function fds.add(m, fd, id, opaque)
  local all = sets(m)
  if not id then
    id = 0
    while all[id] do id = id + 1 end
  end
  all[id] = all[id] or {}
  table.insert(all[id], { fd = fd, opaque = opaque })
  return id
end

--- Removes a descriptor of a set, or all. Returns whether there was one.
function fds.remove(m, id, fd)
  local set, found = sets(m)[id], false
  for i = #(set or {}), 1, -1 do
    if not fd or set[i].fd == fd then
      core.close_fd(table.remove(set, i).fd)
      found = true
    end
  end
  if set and #set == 0 then sets(m)[id] = nil end
  return found
end

--- Lists the sets by number.
function fds.list(m)
  local list = setmetatable({}, json.Array)
  for id, set in pairs(sets(m)) do
    local members = setmetatable({}, json.Array)
    for i, member in ipairs(set) do members[i] = { fd = member.fd, opaque = member.opaque } end
    list[#list + 1] = { ["fdset-id"] = id, fds = members }
  end
  table.sort(list, function(a, b) return a["fdset-id"] < b["fdset-id"] end)
  return list
end

--- Returns the path that opens what a client calls /dev/fdset/N; others as they are.
function fds.path(m, path)
  local id = path:match "^/dev/fdset/(%d+)$"
  if not id then return path end
  local set = sets(m)[tonumber(id)]
  if not set then failure.generic("file descriptor set %s not found", id) end
  return ("/proc/self/fd/%d"):format(set[1].fd)
end

--- Returns the number of a descriptor that a client names by it.
function fds.number(text)
  local fd = tonumber(text)
  if not fd then failure.generic("File descriptor named '%s' not found", tostring(text)) end
  return fd
end

--- Replaces such paths among the properties of an object.
function fds.paths(m, props)
  for name, value in pairs(props) do
    if type(value) == "string" then props[name] = fds.path(m, value) end
  end
end

return fds
