--- The host's view: what this process holds, and how the host backs a machine's memory. A sandbox
-- without /proc hides some of it.

local core = require "lunik.core"
local patience = require "lunik.testing.patience"
local wait = require "lunik.wait"

local host = {}

local PAGE = 4096
local RSS_SLACK = 48 << 20 -- bytes that allocators keep, and Lua: as much garbage as it uses
local MAPS_SLACK = 16
local GRACE = 3 -- seconds; memory is released a grace period after its last use
local HUGE = "/sys/kernel/mm/hugepages/"
local NODES = "/sys/devices/system/node/"

local function read(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

--- Resident memory of this process in bytes.
function host.rss()
  local pages = (read "/proc/self/statm" or ""):match "^%d+ (%d+)"
  return pages and math.tointeger(pages) * PAGE
end

--- Names of this process's threads. KVM's own are left out.
function host.threads()
  local names = {}
  for _, task in ipairs(core.scandir "/proc/self/task" or {}) do
    local name = (read(("/proc/self/task/%s/comm"):format(task)) or "kvm-"):gsub("\n", "")
    if not name:find "^kvm%-" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Number of open file descriptors.
function host.fds()
  local names = core.scandir "/proc/self/fd"
  return names and #names
end

--- Sizes of huge pages that the host knows, in bytes, smallest first.
function host.huge_page_sizes()
  local sizes = {}
  for _, name in ipairs(core.scandir(HUGE) or {}) do
    sizes[#sizes + 1] = math.tointeger(name:match "hugepages%-(%d+)kB") << 10
  end
  table.sort(sizes)
  return sizes
end

--- Counts of the host's huge pages of a size (default: the smallest): total, free, reserved,
-- surplus. nil if the host has no such size.
function host.huge_pages(size)
  size = size and core.parse_size(size, "huge_pages: size") or host.huge_page_sizes()[1]
  local folder = size and ("%shugepages-%dkB/"):format(HUGE, size >> 10)
  if not folder or not core.scandir(folder) then return nil end
  local function count(name)
    return math.tointeger(tonumber(read(folder .. name)))
  end
  return { size = size, total = count "nr_hugepages", free = count "free_hugepages",
    reserved = count "resv_hugepages", surplus = count "surplus_hugepages" }
end

--- Numbers of the host's NUMA nodes.
function host.nodes()
  local nodes = {}
  for _, name in ipairs(core.scandir(NODES) or {}) do
    local number = math.tointeger(tonumber(name:match "^node(%d+)$"))
    if number then nodes[#nodes + 1] = number end
  end
  table.sort(nodes)
  return nodes
end

-- ---- mappings ----------------------------------------------------------------------------------

-- Address in this process and size of the memory of a backend, a DIMM, or an id of one.
local function memory_of(m, object)
  if type(object) == "string" then
    object = m:object(object) or error(core.error("not-found",
      ("mapping: there is no object '%s'"):format(object)), 0)
  end
  local backend = object:is "memory-backend" and object or m:object(object.memdev)
  local region = m:region { kind = "ram", name = "host-view", memdev = backend }
  local address = math.tointeger(tonumber(("%p"):format(region.host)))
  region = nil -- luacheck: ignore 311
  collectgarbage()
  return address, backend.size
end

local FIELDS = { Rss = "resident", Locked = "locked", Shared_Hugetlb = "huge",
  Private_Hugetlb = "huge", Swap = "swapped" }

local function add_line(total, line)
  local key, kib = line:match "^([%w_]+):%s+(%d+) kB"
  if FIELDS[key] then
    total[FIELDS[key]] = total[FIELDS[key]] + (math.tointeger(kib) << 10)
  elseif key == "KernelPageSize" then
    total.page_size = math.tointeger(kib) << 10
  elseif line:find "^VmFlags:" then
    for flag in line:sub(9):gmatch "%S+" do total.flags[flag] = true end
  end
end

-- Adds up what smaps says of the range.
local function smaps(total, first, last)
  local inside = false
  for line in io.lines "/proc/self/smaps" do
    local from, to = line:match "^(%x+)%-(%x+) "
    if from then
      from, to = tonumber(from, 16), tonumber(to, 16)
      inside = from < last and to > first
      if inside then
        total.path = total.path or line:match "^%S+ %S+ %S+ %S+ %S+%s+(.-)%s*$"
        total.address = total.address or from
      end
    elseif inside then
      add_line(total, line)
    end
  end
end

-- The policy of the range, and how many pages each of the host's nodes has.
local function numa_maps(total)
  for line in (read "/proc/self/numa_maps" or ""):gmatch "[^\n]+" do
    local at, policy, rest = line:match "^(%x+) (%S+) ?(.*)$"
    if tonumber(at, 16) == total.address then
      total.policy = policy
      for node, pages in rest:gmatch "%f[%w]N(%d+)=(%d+)" do
        total.nodes[math.tointeger(node)] = math.tointeger(pages)
      end
      return
    end
  end
end

--- How the host backs the memory of a backend or DIMM of machine m: {size=, resident=, locked=,
-- swapped=, huge= (bytes), page_size=, flags = {mg = true, ...}, policy = "bind:0", nodes = {[0] =
-- pages}, path=}.
function host.mapping(m, object)
  local address, size = memory_of(m, object)
  local total = { size = size, resident = 0, locked = 0, huge = 0, swapped = 0, flags = {},
    nodes = {} }
  smaps(total, address, address + size)
  numa_maps(total)
  -- The kernel may have merged the mapping with a neighbour.
  total.resident = math.min(total.resident + total.huge, size)
  return total
end

-- ---- what is left behind -----------------------------------------------------------------------

--- Whether a sanitizer's own memory comes on top.
function host.sanitized()
  return (read "/proc/self/maps" or ""):find "lib[at]san" ~= nil
end

-- Bytes in huge pages that this process has mapped. The host's own counts are not of this process
-- alone.
local function huge_bytes()
  local kib = (read "/proc/self/status" or ""):match "HugetlbPages:%s*(%d+) kB"
  return kib and math.tointeger(kib) << 10
end

--- Number of mappings.
function host.mappings()
  local _, lines = (read "/proc/self/maps" or ""):gsub("\n", "")
  return lines
end

local function counts()
  return { ["file descriptors"] = host.fds(), threads = #host.threads(),
    machines = #core.machines(), ["bytes in huge pages"] = huge_bytes(),
    mappings = host.mappings(), ["bytes resident"] = host.rss() }
end

--- What this process holds now without garbage, for left_behind().
function host.holds()
  collectgarbage()
  collectgarbage()
  return counts()
end

local function excess(before, after, sizes)
  local extra = {}
  local slack = { mappings = MAPS_SLACK, ["bytes resident"] = RSS_SLACK }
  for what, count in pairs(after) do
    local allowed = slack[what]
    if (sizes or not allowed) and before[what] and count > before[what] + (allowed or 0) then
      extra[#extra + 1] = ("%s: %d, not %d"):format(what, count, before[what])
    end
  end
  table.sort(extra)
  return extra[1] and table.concat(extra, "; ")
end

--- Waits until the process holds no more than before; returns words for what is too much, or nil.
-- Resident memory and mappings may grow a little, and any amount under a sanitizer.
function host.left_behind(before)
  -- Garbage can only add to the counts: it is not collected where nothing is too much.
  if not excess(before, counts(), true) then return nil end
  local deadline = core.now() + GRACE * patience
  local sizes
  repeat
    local extra = excess(before, host.holds(), sizes ~= false)
    if not extra then return nil end
    if sizes == nil then sizes = not host.sanitized() end
    if core.now() > deadline then return extra end
    wait.sleep(0.01)
  until false
end

return host
