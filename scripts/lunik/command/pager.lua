--- Texts on a terminal: a page at a time, errors in colour. Elsewhere they are printed as they are.

local host = require "lunik.host"
local lineedit = require "lunik.lineedit"

local pager = {}

local MORE = "-- more: Enter; q ends -- "

local function is_dumb()
  return os.getenv "TERM" == "dumb"
end

--- Returns the text in that colour (SGR code), if descriptor fd is a terminal that has some.
function pager.paint(fd, code, text)
  local plain = not host.isatty(fd) or is_dumb() or (os.getenv "NO_COLOR" or "") ~= ""
  return plain and text or ("\27[%sm%s\27[0m"):format(code, text)
end

-- Returns how many rows a line takes.
local function rows_of(line, columns)
  return math.max(1, -(-(utf8.len(line) or #line) // columns))
end

--- Prints a text of lines. What does not fit on the terminal is printed page by page, each when
-- Enter is typed.
function pager.print(text)
  local whole = not (host.isatty(0) and host.isatty(1)) or is_dumb()
  local columns, page, used = host.columns(1), host.rows(1) - 1, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local rows = rows_of(line, columns)
    if not whole and used > 0 and used + rows > page then
      local answer = lineedit.read(MORE)
      if not answer or answer:find "^%s*[qQ]" then return end
      used = 0
    end
    io.stdout:write(line, "\n")
    used = used + rows
  end
end

return pager
