-- Where the files of disks are, and how they are opened.
local places = {}

local SIZE = 256 << 20 -- of a file
local SMALL = 32 << 20 -- where nothing is to be measured

--- Folders, and whether the page cache is used there. LUNIK_BENCH_DISK: a folder on a disk.
places.list = {
  { name = "tmpfs", folder = "/dev/shm", mode = "cached" },
  { name = "disk, O_DIRECT", folder = os.getenv "LUNIK_BENCH_DISK" or "/var/tmp", mode = "direct" },
}

--- Makes a file with contents, so that no block of it is a hole; it is removed when the result is
-- closed, whose name it has.
function places.file(place, quick)
  local path = ("%s/lunik-bench-%d"):format(place.folder, math.random(1 << 30))
  local made = setmetatable({ name = path }, { __close = function() os.remove(path) end })
  local file = assert(io.open(path, "wb"))
  local block = ("lunik"):rep((1 << 20) // 5 + 1):sub(1, 1 << 20)
  for _ = 1, (quick and SMALL or SIZE) >> 20 do assert(file:write(block)) end
  assert(file:close())
  return made
end

return places
