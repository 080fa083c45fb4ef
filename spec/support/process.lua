-- For specs: what this process holds, to see that it is given back.
local core = require "lunik.core"
local lunik = require "lunik"

local process = {}

local function lines(path)
  local file = assert(io.open(path))
  local count = 0
  for _ in file:lines() do count = count + 1 end
  file:close()
  return count
end

--- Resident memory in MiB.
function process.rss()
  local file = assert(io.open "/proc/self/statm")
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096 >> 20
end

--- True if a sanitizer's own memory comes on top.
function process.sanitized()
  local file = assert(io.open "/proc/self/maps")
  local text = file:read "a"
  file:close()
  return text:find "lib[at]san" ~= nil
end

--- File descriptors, threads, mappings.
function process.holds()
  collectgarbage()
  collectgarbage()
  return {
    fds = #core.scandir "/proc/self/fd", threads = #core.scandir "/proc/self/task",
    maps = lines "/proc/self/maps",
  }
end

--- Waits until the process holds no more than before: memory is freed a grace period after its last
-- use. maps: how many mappings more are as good (the allocator's). Returns what is too much, or nil.
function process.left_behind(before, maps)
  local deadline = lunik.now() + 5
  while true do
    local now = process.holds()
    local extra = {}
    for what, count in pairs(now) do
      local most = before[what] + (what == "maps" and (maps or 8) or 0)
      if count > most then extra[#extra + 1] = ("%d %s, not %d"):format(count, what, before[what]) end
    end
    if #extra == 0 then return nil end
    if lunik.now() > deadline then
      table.sort(extra)
      return table.concat(extra, "; ")
    end
    lunik.sleep(0.01)
  end
end

return process
