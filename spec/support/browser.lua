-- For specs: opens pages in a browser, without a window.
local command = require "spec.support.command"

local browser = {}

local OPTIONS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
  .. "--disable-background-networking --disable-component-update --disable-sync "
  .. "--enable-logging=stderr --log-level=0 --virtual-time-budget=4000 --timeout=20000"

function browser.found()
  return os.execute "command -v chromium >/dev/null" == true
end

-- Runs the browser for a page; returns its output and the messages of its console.
local function open(page, options)
  local profile = command.run "mktemp -d":gsub("\n", "")
  local out, err = command.run(("timeout 60 chromium %s --user-data-dir=%s %s file://%s"):format(
    OPTIONS, profile, options, page))
  os.execute(("rm -rf '%s'"):format(profile))
  local messages = {}
  for message in err:gmatch "CONSOLE[^\n]*" do messages[#messages + 1] = message end
  return out, messages
end

local ADDED = [[
<script nonce="%s">"use strict"; setTimeout(() => {
  const kept = [];
  const check = (name, value) => kept.push(name + "=" + value);
  try {
    %s
  } catch (error) { check("error", error); }
  document.body.replaceChildren(...kept.map((text) => {
    const line = document.createElement("pre");
    line.className = "kept";
    line.textContent = text;
    return line;
  }));
}, 500);</script></body>]]

local entities = { ["&lt;"] = "<", ["&gt;"] = ">", ["&amp;"] = "&" }

-- Opens the page, then runs `script`, statements in which check(name, value) keeps a value as text.
-- Returns the values by name, and the messages of the console.
function browser.run(page, script, options)
  local text = command.read(page)
  local nonce = assert(text:match '<script nonce="(%x+)"')
  local at = assert(text:find "</body>%s*</html>%s*$")
  local copy <close> = command.file(text:sub(1, at - 1) .. ADDED:format(nonce, script), ".html")
  local dom, messages = open(copy, "--dump-dom " .. (options or ""))
  local values = {}
  for name, value in dom:gmatch '<pre class="kept">([%w ]+)=(.-)</pre>' do
    values[name] = value:gsub("&%l+;", entities)
  end
  return values, messages
end

-- Prints the page to a file; returns that as text.
function browser.print(page)
  local pdf <close> = command.file("", ".pdf")
  local _, messages = open(page, ("--print-to-pdf=%s --no-pdf-header-footer"):format(pdf))
  return command.read(pdf), messages
end

return browser
