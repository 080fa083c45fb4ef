--- What a report says about the host.

local host = {}

local function read(path, what)
  local file = io.open(path)
  local text = file and file:read(what or "l")
  if file then file:close() end
  return text
end

local function processors()
  local text = read("/proc/cpuinfo", "a") or ""
  local count = 0
  for _ in text:gmatch "\nprocessor%s*:" do count = count + 1 end
  if text:find "^processor" then count = count + 1 end
  local model = text:match "\nmodel name%s*: ([^\n]*)"
  return count > 0 and ("%d%s"):format(count, model and ", " .. model or "") or "unknown"
end

local function memory()
  local kib = tonumber((read("/proc/meminfo", "a") or ""):match "MemTotal:%s*(%d+) kB")
  return kib and ("%.1f GiB"):format(kib / (1 << 20)) or "unknown"
end

-- Whether this process may use KVM; if not, why.
local function kvm()
  local file, why = io.open("/dev/kvm", "r+")
  if not file then return why end
  file:close()
  return "usable"
end

--- Returns {{name, value}, ...}.
function host.facts()
  return {
    { "kernel", ("Linux %s"):format(read "/proc/sys/kernel/osrelease" or "unknown") },
    { "processors", processors() }, { "memory", memory() }, { "KVM", kvm() },
  }
end

return host
