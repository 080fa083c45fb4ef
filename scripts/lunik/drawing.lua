--- Drawings as text and as SVG: formats and files.

local core = require "lunik.core"
local options = require "lunik.options"

local drawing = {}

local FORMATS = { svg = "svg", txt = "text" }

--- Returns "text" or "svg" for the options format and file, whose name decides if it is given.
function drawing.format(what, opt)
  local format = opt.format and options.choice(what .. ": format", opt.format, { "text", "svg" })
  if not opt.file then return format or "text" end
  local by_name = FORMATS[opt.file:match "%.(%w+)$"]
  if not by_name then
    options.fail("invalid", "%s: file: '%s' is in no known format (want a name that ends in .svg "
      .. "or .txt)", what, opt.file)
  elseif format and format ~= by_name then
    options.fail("invalid", "%s: format: '%s' is not that of '%s' (want '%s', or none)", what,
      format, opt.file, by_name)
  end
  return by_name
end

--- Writes a text to a file; raises an error if that fails.
function drawing.write(what, path, text)
  local file = options.open(what, path, "w")
  local _, _, refused = file:write(text)
  local _, _, lost = file:close()
  local errno = refused or lost
  if errno then error(core.sys_error(errno, ("%s: %s"):format(what, path)), 0) end
end

--- Writes a drawing to the option file and returns nothing; without that option, returns it.
function drawing.finish(what, opt, picture)
  if not opt.file then return picture end
  drawing.write(what .. ": file", opt.file, picture)
end

return drawing
