--- Returns the path that a link in a page means. Also loaded by pandoc's Lua.
return function(page, target)
  local path = (page:match "^(.*/)" or "") .. target
  local parts = {}
  for part in path:gmatch "[^/]+" do
    if part == ".." and #parts > 0 then
      table.remove(parts)
    elseif part ~= "." then
      table.insert(parts, part)
    end
  end
  return table.concat(parts, "/")
end
