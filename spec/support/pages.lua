-- For specs: pages made by reports.
local command = require "spec.support.command"
local json = require "spec.support.json"

local pages = {}

-- Returns the data in a page.
function pages.data(path)
  local text = command.read(path)
  return json.decode((assert(text:match '<script type="application/json" id="data">(.-)</script>',
    "there is no data in the page")))
end

-- Runs a script with the command and its options, with a report of it; returns the page's path,
-- which is to be closed, standard output, standard error, and exit code.
function pages.run(script, arguments, prefix)
  local path, page = command.file(script, ".lua"), command.file("", ".html")
  local _ <close> = path
  local out, err, code = command.run(("%s %s run --report %s %s %s"):format(prefix or "timeout 60",
    command.lunik, page, path, arguments or ""))
  return page, out, err, code
end

return pages
