-- lines_of(command): what a shell command prints, as a list of lines.
return function(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    table.insert(lines, line)
  end
  pipe:close()
  return lines
end
