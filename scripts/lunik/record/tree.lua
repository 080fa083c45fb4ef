--- A flight as a tree of its steps, in text.

local words = require "lunik.record.words"

local tree = {}

--- "plug of dimm1 (pc-dimm) by demo.lua:12: accepted after 1.2 ms"
function tree.heading(flight)
  local text = flight.title .. (flight.where and " by " .. flight.where or "")
  text = ("%s: %s"):format(text, flight.outcome)
  if flight.duration then text = ("%s after %s"):format(text, words.time(flight.duration)) end
  return flight.why and ("%s: %s"):format(text, flight.why) or text
end

local function line(flight, step)
  local text = ("%12s  %10s  %-8s %s%s"):format(
    "+" .. words.time(step.time - flight.start), step.duration and words.time(step.duration) or "",
    step.thread, ("  "):rep(step.depth), step.text)
  return step.failed and ("%s -- failed: %s"):format(text, step.failed) or text
end

function tree.draw(flight)
  local lines = { tree.heading(flight) }
  for _, step in ipairs(flight.steps) do lines[#lines + 1] = line(flight, step) end
  if flight.dropped > 0 then
    lines[#lines + 1] = ("  %d more steps were not kept"):format(flight.dropped)
  end
  return table.concat(lines, "\n") .. "\n"
end

return tree
