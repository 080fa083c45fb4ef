--- Text in XML, HTML and SVG, whatever bytes it is made of.

local markup = {}

local BAD = "\u{fffd}" -- stands for what such a file cannot contain

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;", ["\t"] = "&#9;", ["\n"] = "&#10;", ["\r"] = "&#13;" }

--- Returns the text with each byte that is no part of UTF-8 replaced.
function markup.utf8(text)
  local parts, at = {}, 1
  while true do
    local ok, bad = utf8.len(text, at)
    if ok then break end
    parts[#parts + 1] = text:sub(at, bad - 1)
    parts[#parts + 1] = BAD
    at = bad + 1
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

-- Returns the text without the characters that are in no XML file, not even as references.
local function allowed(text)
  return (markup.utf8(text):gsub("[\0-\8\11\12\14-\31\127]", BAD):gsub("\xef\xbf[\xbe\xbf]", BAD))
end

--- Returns the text as it may stand between tags. Lines stay lines.
function markup.text(text)
  return (allowed(text):gsub("[&<>\"'\r]", ENTITIES))
end

--- Returns the text as it may stand in the quotes of an attribute.
function markup.attribute(text)
  return (allowed(text):gsub("[&<>\"'\t\n\r]", ENTITIES))
end

return markup
