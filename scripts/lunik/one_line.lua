--- Returns the text as one line that is shorter than `columns`: control characters become spaces,
-- and what is too long is cut between characters. Needs nothing else of the library.
return function(text, columns)
  text = text:gsub("%c", " ")
  local cut = utf8.len(text) and utf8.offset(text, columns)
  return cut and text:sub(1, cut - 1) or text:sub(1, columns - 1)
end
