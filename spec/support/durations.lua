-- How long files took when they ran last, kept in the build folder: those that take long are
-- started first, so that none of them is left running alone at the end.
local durations = {}

-- Reads the file; returns seconds by path, empty if there is no such file.
function durations.read(path)
  local seconds = {}
  local file <close> = io.open(path)
  for line in file and file:lines() or function() end do
    local value, name = line:match "^(%S+) (.+)$"
    if tonumber(value) then seconds[name] = tonumber(value) end
  end
  return seconds
end

-- Writes the file anew, if it can.
function durations.write(path, seconds)
  local names = {}
  for name in pairs(seconds) do table.insert(names, name) end
  table.sort(names)
  local file <close> = io.open(path .. ".new", "w")
  if not file then return end
  for _, name in ipairs(names) do file:write(("%.2f %s\n"):format(seconds[name], name)) end
  file:close()
  os.rename(path .. ".new", path)
end

-- Sorts jobs (name, alone): first those that run with no other, then those that took long or were
-- not run yet; otherwise as they were.
function durations.sort(jobs, seconds)
  local places = {}
  for i, job in ipairs(jobs) do places[job] = i end
  local function time(job) return seconds[job.name] or math.huge end
  table.sort(jobs, function(a, b)
    if a.alone ~= b.alone then return a.alone end
    if time(a) ~= time(b) then return time(a) > time(b) end
    return places[a] < places[b]
  end)
end

return durations
