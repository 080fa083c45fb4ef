--- Puts a report's data, its style and its scripts into one page, which needs nothing else.

local core = require "lunik.core"
local json = require "lunik.json"
local markup = require "lunik.markup"
local options = require "lunik.options"

local page = {}

-- In the order in which they are run, after page.js; each in a block, which keeps its names apart.
local SCRIPTS = { "ansi.js", "list.js", "lanes.js", "chart.js", "timeline.js",
  "flights.js", "events.js", "console.js", "memory.js", "machines.js", "start.js" }

local function read(name)
  return options.read("report", core.shared.directory .. "/report/" .. name)
end

--- Returns the style sheet.
function page.style() return read "page.css" end

--- Returns the parts of the page, read from the library's files: the sandbox may keep them from
-- being read later.
function page.parts()
  local scripts = { read "page.js" }
  for _, name in ipairs(SCRIPTS) do scripts[#scripts + 1] = "{\n" .. read(name) .. "}" end
  return { page = read "page.html", style = page.style(), script = table.concat(scripts, "\n") }
end

-- Returns a word that no guest knows in advance: only scripts and styles that carry it are run.
local function nonce()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(16)
  if file then file:close() end
  if not bytes then
    local numbers = { math.random(0), math.random(0) }
    bytes = string.pack("jj", table.unpack(numbers))
  end
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Returns the page as text.
function page.make(parts, data)
  local values = {
    nonce = parts.nonce or nonce(), title = markup.text(data.title), style = parts.style,
    script = parts.script, data = json.for_script(data), version = markup.text(data.lunik),
  }
  return (parts.page:gsub("{{(%l+)}}", values))
end

page.nonce = nonce

return page
