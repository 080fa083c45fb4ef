--- Files, directories and huge pages that go away with their example.

local core = require "lunik.core"
local host = require "lunik.testing.host"
local runner = require "lunik.testing.runner"

local files = {}

local NR_HUGE = "/sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages"

--- The folder for memory in files: /dev/shm, or that of temporary files where there is none.
function files.memory_folder()
  if not files.folder then
    local probe = ("/dev/shm/lunik-%s"):format(os.tmpname():match "[^/]*$")
    local file = io.open(probe, "w")
    if file then
      file:close()
      os.remove(probe)
    end
    files.folder = file and "/dev/shm" or "/tmp"
  end
  return files.folder
end

local counter = 0

-- A path that is not in use. The name of a temporary file is unique to this process's call.
local function new_path(folder, suffix)
  counter = counter + 1
  local name = os.tmpname()
  os.remove(name)
  return ("%s/%s-%d%s"):format(folder, name:match "[^/]*$", counter, suffix or "")
end

local function remove_tree(path)
  if core.lstat(path) == "dir" then
    for _, name in ipairs(core.scandir(path) or {}) do remove_tree(path .. "/" .. name) end
  end
  os.remove(path)
end

--- Has a path removed at the end of the example, with all below it.
function files.remove_later(path)
  runner.add { finish = function() remove_tree(path) end }
  return path
end

--- Makes a temporary file with a text (default: none) and returns its path. memory = true: in the
-- folder for memory in files.
function files.file(text, options)
  local folder = options and options.memory and files.memory_folder() or "/tmp"
  local path = files.remove_later(new_path(folder, options and options.suffix))
  local file = assert(io.open(path, "wb"))
  assert(file:write(text or ""))
  assert(file:close())
  return path
end

--- Returns the path of a new temporary directory.
function files.directory()
  local path = files.remove_later(new_path("/tmp"))
  if not core.mkdir(path) then
    runner.fail(("directory: can't make %s"):format(path))
  end
  return path
end

local function write_number(path, number)
  local file = io.open(path, "w")
  if not file then return false end
  local ok = file:write(number)
  return file:close() and ok ~= nil
end

--- Makes sure that the host has so many free huge pages of a size (default: the smallest), and
-- gives those back that were added for it. Skips the example where that is not possible.
function files.huge_pages(count, size)
  local pages = host.huge_pages(size)
  if not pages then runner.skip "the host has no huge pages of that size" end
  local missing = count - (pages.free - pages.reserved)
  if missing <= 0 then return pages end
  local path, before = NR_HUGE:format(pages.size >> 10), pages.total
  write_number(path, before + missing)
  runner.add { finish = function() write_number(path, before) end }
  pages = host.huge_pages(pages.size)
  if pages.free - pages.reserved < count then
    runner.skip(("the host has %d free huge pages, and %d are needed (echo %d > %s)"):format(
      pages.free - pages.reserved, count, before + missing, path))
  end
  return pages
end

return files
