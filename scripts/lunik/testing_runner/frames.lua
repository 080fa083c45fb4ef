--- The part of a traceback that says something about a test.

local function is_of_test(frame)
  return not frame:find "/busted/" and not frame:find "/luassert/" and not frame:find "%[C%]"
    and not frame:find "/lunik/testing/" and not frame:find "%(%.%.%.tail calls%.%.%.%)"
end

--- Returns a traceback's frames, with a heading, down to the test's function and without those of C
-- functions, busted and the test kit; nil if there are less than `least`.
return function(traceback, least)
  local frames = {}
  for frame in traceback:gmatch "\n?(\t[^\n]+)" do
    if frame:find("[C]: in function 'xpcall'", 1, true) then break end
    if is_of_test(frame) then frames[#frames + 1] = frame end
  end
  return frames[least] and "stack traceback:\n" .. table.concat(frames, "\n") or nil
end
