--- What the process of a test reports on its standard output, between what the test prints: one
-- line for each record, with a kind and fields.
--
--   start NAME PLACE                        an example begins
--   end STATUS NAME PLACE SECONDS DETAIL... it has ended: passed, failed or skipped
--   waiting WHAT SECONDS                    it has waited that long; WHAT is empty: no more
--   stopped TRACEBACK                       a signal ends the process

local records = {}

local MARK = "\30lunik "
local ESCAPES = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\30"] = "\\e" }
local CHARACTERS = { ["\\"] = "\\", n = "\n", t = "\t", e = "\30" }

--- Writes a record to standard output.
function records.write(kind, ...)
  local fields = { kind, ... }
  for i, field in ipairs(fields) do fields[i] = tostring(field):gsub("[\\\n\t\30]", ESCAPES) end
  io.stdout:write(MARK, table.concat(fields, "\t"), "\n")
  io.stdout:flush()
end

--- Splits a line into the text before a record, and the record as an array, or nil. A test may have
-- printed the text without a line feed.
function records.parse(line)
  local start, last = line:find(MARK, 1, true)
  if not start then return line end
  local record = {}
  for field in (line:sub(last + 1) .. "\t"):gmatch "([^\t]*)\t" do
    record[#record + 1] = field:gsub("\\(.)", CHARACTERS)
  end
  return line:sub(1, start - 1), record
end

return records
