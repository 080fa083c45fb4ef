-- For specs: what this process holds, to see that it is given back.
local core = require "lunik.core"
local host = require "lunik.testing.host"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local process = {}

--- Resident memory in MiB.
function process.rss() return host.rss() >> 20 end

--- True if a sanitizer's own memory comes on top.
process.sanitized = host.sanitized

-- KVM's memory slots of all machines.
local function slots()
  local count = 0
  for _, m in ipairs(lunik.machines()) do count = count + m.stats.memslots end
  return count
end

--- File descriptors, threads, memory slots, mappings.
function process.holds()
  machines.collect()
  return {
    fds = host.fds(), threads = #host.threads(), slots = slots(), maps = host.mappings(),
  }
end

--- How often threads of that name have gone to sleep since they began.
function process.sleeps(name)
  local count = 0
  for _, task in ipairs(core.scandir "/proc/self/task") do
    local file = io.open(("/proc/self/task/%s/status"):format(task))
    local text = file and file:read "a" or ""
    if file then file:close() end
    if text:match "Name:%s*([^\n]*)" == name then
      count = count + tonumber(text:match "\nvoluntary_ctxt_switches:%s*(%d+)")
    end
  end
  return count
end

local function excess(before, maps)
  local extra = {}
  for what, count in pairs(process.holds()) do
    if count > before[what] + (what == "maps" and maps or 0) then
      extra[#extra + 1] = ("%d %s, not %d"):format(count, what, before[what])
    end
  end
  table.sort(extra)
  return extra[1] and table.concat(extra, "; ")
end

--- Waits until the process holds no more than before: memory is freed a grace period after its
-- last use. maps: how many mappings more are as good, since the allocator has its own, and a
-- sanitizer any number. Returns what is too much, or nil.
function process.left_behind(before, maps)
  local deadline = lunik.now() + 5
  if process.sanitized() then maps = math.huge end
  repeat
    local extra = excess(before, maps or 8)
    if not extra or lunik.now() > deadline then return extra end
    lunik.sleep(0.01)
  until false
end

return process
