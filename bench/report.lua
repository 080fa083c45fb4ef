-- What has been measured, as a table for people and as JSON.
local json = require "bench.json"
local stats = require "bench.stats"

local report = {}
local Report = {}
Report.__index = Report

function report.new(quick)
  return setmetatable({ quick = quick, rows = {} }, Report)
end

--- How many rounds to measure: as many as given, or one.
function Report:rounds(n)
  return self.quick and 1 or n
end

function Report:group(group)
  self.current = group.name
  print(("\n%s: %s\n"):format(group.name, group.title))
  print(("  %-28s %-5s %27s %10s %10s %8s %8s  %s"):format("", "", "Lunik: median   p10  spread",
    "limit", "QEMU", "/limit", "/QEMU", "target"))
end

local function ratio(a, b, field)
  return a and b and b[field] ~= 0 and a[field] / b[field] or nil
end

-- Whether a target is met, and what it says.
local function judge(row, target)
  local other = target.vs and row[target.vs]
  if not row.lunik or target.vs and not other then return nil, "" end
  local value = other and ratio(row.lunik, other, "median") or row.lunik.median
  local met = target.at_most and value <= target.at_most
    or target.at_least and value >= target.at_least
  if target.p10 then met = met and ratio(row.lunik, other, "p10") <= target.at_most end
  local text = ("%s %.4g%s"):format(target.at_most and "<=" or ">=",
    target.at_most or target.at_least, target.vs and " of " .. (target.vs == "qemu" and "QEMU"
    or target.vs) or "")
  return met or false, ("%s: %s"):format(text, met and "met" or "NOT MET")
end

local function number(value)
  if not value then return "" end
  return (value >= 1000 and "%.0f" or value >= 100 and "%.1f" or "%.3g"):format(value)
end

local function cells(s)
  if not s then return "" end
  return ("%s %s %4.0f%%"):format(number(s.median), number(s.p10), s.spread * 100)
end

--- Adds a row and prints it. lunik, limit, qemu: samples; what: a line that says what is measured;
-- target: {vs = "limit" | "qemu" | nil (the value itself), at_most =, at_least =, p10 = true}.
function Report:row(given)
  local row = { group = self.current, name = given.name, unit = given.unit, what = given.what }
  for _, system in ipairs { "lunik", "limit", "qemu" } do
    row[system] = stats.summary(given[system])
  end
  row.to_limit = ratio(row.lunik or row.qemu, row.limit, "median")
  row.to_qemu = ratio(row.lunik, row.qemu, "median")
  local verdict = ""
  if given.target then row.met, verdict = judge(row, given.target) end
  row.target = verdict ~= "" and verdict or nil
  self.rows[#self.rows + 1] = row
  print(("  %-28s %-5s %27s %10s %10s %8s %8s  %s"):format(row.name, row.unit, cells(row.lunik),
    number(row.limit and row.limit.median), number(row.qemu and row.qemu.median),
    number(row.to_limit), number(row.to_qemu), verdict))
  print("      " .. row.what)
  io.stdout:flush()
end

function Report:save(path, about)
  about.rows = self.rows
  local file = assert(io.open(path, "w"))
  assert(file:write(json.encode(about)))
  assert(file:close())
end

--- How many targets there are, and how many are met.
function Report:count()
  local targets, met = 0, 0
  for _, row in ipairs(self.rows) do
    if row.met ~= nil then targets = targets + 1 end
    if row.met then met = met + 1 end
  end
  return targets, met
end

return report
