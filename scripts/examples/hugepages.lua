-- A DIMM in huge pages: a file on hugetlbfs, shared with other processes.
--
--     lunik run scripts/examples/hugepages.lua [GUEST]
--
-- What you should see: the size of the pages that back the DIMM. On a host without free huge pages
-- the script says how to get some, and takes an ordinary file instead.
-- GUEST is "scripted" (the default, needs no KVM) or "small".
local testing = require "lunik.testing"

local SIZE = 64 << 20

-- Where a hugetlbfs is mounted, and the size of its pages.
local function hugetlbfs()
  for line in io.lines "/proc/mounts" do
    local path, options = line:match "^%S+ (%S+) hugetlbfs (%S+)"
    if path then return path, options:match "pagesize=(%w+)" end
  end
end

-- Returns the directory for the DIMM's file; or nil and what is missing.
local function huge_directory()
  local path, page_size = hugetlbfs()
  if not path then return nil, "mount -t hugetlbfs none /dev/hugepages" end
  local pages = testing.host.huge_pages(page_size)
  local needed = SIZE // pages.size
  if pages.free - pages.reserved >= needed then return path end
  return nil, ("echo %d > /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages"):format(
    pages.total + needed, pages.size >> 10)
end

local directory, missing = huge_directory()
if missing then print("no huge pages; as root: " .. missing) end

-- In a directory, mem_path makes a file without a name, which goes away with the backend.
local t <close> = testing.machine { guest = arg[1] }
t:plug {
  id = "dimm1", backend = "file", size = SIZE, mem_path = directory or "/dev/shm", share = true,
  prealloc = true, -- takes the pages now: later it may be too late
}
local mapping = t.host.mapping(t.m, "dimm1")
print(("dimm1 is backed by pages of %d KiB"):format(mapping.page_size >> 10))
t:check()
t:unplug "dimm1"
t:check()
