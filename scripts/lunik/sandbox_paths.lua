--- The paths of the default sandbox: files that scripts usually need once their machines run.

local core = require "lunik.core"

local paths = {}

-- Programs, libraries and the files that they read about the host. Not all of /etc, which has
-- passwords that root can read, and of /dev, which has disks.
local READ = {
  "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/boot", "/nix/store", "/gnu/store",
  "/proc", "/sys/bus", "/sys/class", "/sys/devices", "/sys/fs/cgroup", "/sys/kernel/mm",
  "/sys/module", "/dev/random", "/dev/urandom",
  "/etc/alternatives", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/gai.conf",
  "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd",
  "/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl/certs", "/etc/terminfo",
  "/etc/timezone",
}

-- The terminal by its descriptors, not all of /dev/pts, which has the terminals of other programs.
local WRITE = {
  "/dev/shm", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/proc/self/fd/0",
  "/proc/self/fd/1", "/proc/self/fd/2",
}

-- Paths named by options. Kept when the library is loaded again.
core.shared.named = core.shared.named or { read = {}, write = {} }
local named = core.shared.named

--- Notes a file or directory that an option names; how: "read" or "write".
function paths.name(how, path)
  if type(path) == "string" and path ~= "" then table.insert(named[how], path) end
end

-- "dir/file" -> "dir"; "file" -> "."; "/file" -> "/"
local function folder_of(path)
  local folder = path:match "^(.*)/"
  return folder == "" and "/" or folder or "."
end

-- Adds the folders in which package.path or package.cpath looks.
local function add_search_path(list, templates)
  for template in templates:gmatch "[^;]+" do
    local before = template:match "^([^?]*)%?"
    if before then list[#list + 1] = folder_of(before) end
  end
end

-- Adds the command's script, its folder and its arguments.
local function add_arguments(list)
  local arguments = type(_G.arg) == "table" and _G.arg or {}
  for i = 0, #arguments do
    if type(arguments[i]) == "string" then list[#list + 1] = arguments[i] end
  end
  if type(arguments[0]) == "string" then list[#list + 1] = folder_of(arguments[0]) end
end

-- Adds the mounts of huge pages, for memory backends.
local function add_huge_pages(list)
  local mounts = io.open "/proc/self/mounts"
  if not mounts then return end
  for line in mounts:lines() do
    local directory = line:match "^%S+ (%S+) hugetlbfs "
    if directory then
      table.insert(list, (directory:gsub("\\(%d%d%d)", function(octal)
        return string.char(tonumber(octal, 8))
      end)))
    end
  end
  mounts:close()
end

-- Returns the list without duplicates.
local function unique(list)
  local out, seen = {}, {}
  for _, path in ipairs(list) do
    if not seen[path] then
      seen[path] = true
      out[#out + 1] = path
    end
  end
  return out
end

--- Returns the lists of paths that may be read, and written, if they exist. The root directory may
-- be among them; the runtime ignores it.
function paths.lists()
  local read, write = table.move(READ, 1, #READ, 1, {}), table.move(WRITE, 1, #WRITE, 1, {})
  table.insert(write, ".")
  table.insert(write, os.getenv "TMPDIR" or "/tmp")
  add_huge_pages(write)
  add_search_path(read, package.path)
  add_search_path(read, package.cpath)
  add_arguments(read)
  table.move(named.read, 1, #named.read, #read + 1, read)
  table.move(named.write, 1, #named.write, #write + 1, write)
  return unique(read), unique(write)
end

return paths
