--- Progress bars on the terminal, for preallocating memory.

local progress = {}

local WIDTH = 40

local function size(bytes)
  if bytes >= 1 << 30 then return ("%.1f GiB"):format(bytes / (1 << 30)) end
  return ("%d MiB"):format(bytes >> 20)
end

--- Returns a line to be drawn over the previous one.
function progress.line(ev)
  local filled = ev.done * WIDTH // ev.total
  return ("\r%s [%s%s] %3d%% of %s"):format(ev.object, ("#"):rep(filled),
    ("."):rep(WIDTH - filled), ev.done * 100 // ev.total, size(ev.total))
end

--- Draws a bar for every preallocation of every machine on file, a terminal.
function progress.show(lunik, file)
  return lunik.on("prealloc-progress", function(ev)
    file:write(progress.line(ev), ev.done == ev.total and "\n" or "")
    file:flush()
  end)
end

return progress
