-- Reports measurements as a table for people and as JSON.
local json = require "bench.json"
local stats = require "bench.stats"

local report = {}
local Report = {}
Report.__index = Report

-- kvm: whether rows that need it can be measured.
function report.new(quick, kvm)
  return setmetatable({ quick = quick, kvm = kvm, rows = {} }, Report)
end

--- Returns how many rounds to measure: the given number, or one if QUICK is set.
function Report:rounds(n)
  return self.quick and 1 or n
end

function Report:group(group)
  self.current = group.name
  print(("\n%s: %s\n"):format(group.name, group.title))
  print(("  %-28s %-5s %27s %10s %10s %8s %8s  %s"):format("", "", "Lunik: median   p10  spread",
    "limit", "QEMU", "/limit", "/QEMU", "target"))
end

local OTHERS = { qemu = " of QEMU", limit = " of limit" }

-- Returns the comparison of a row for its target, and how far it is from that.
local function judge(given, row, target)
  local value, p10 = row.lunik and row.lunik.median, nil
  if target.vs then
    value = stats.ratio(given.lunik, given[target.vs], 0.5)
    p10 = target.p10 and stats.ratio(given.lunik, given[target.vs], 0.1)
  end
  if not value then return nil end
  local bound = target.at_most or target.at_least
  local met
  if target.at_most then
    met = value <= bound and (p10 or 0) <= bound
  else
    met = value >= bound
  end
  return met, ("%s %.4g%s: %s"):format(target.at_most and "<=" or ">=", bound,
    OTHERS[target.vs] or "", met and "met" or "NOT MET")
end

-- Sets the row's verdict on its targets.
local function judge_all(given, row)
  local texts = {}
  for _, target in ipairs(given.targets or { given.target }) do
    local met, text = judge(given, row, target)
    if met ~= nil then
      texts[#texts + 1] = text
      row.targets = (row.targets or 0) + 1
      row.targets_met = (row.targets_met or 0) + (met and 1 or 0)
    end
  end
  row.target = texts[1] and table.concat(texts, "; ")
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
-- target: {vs = "limit" | "qemu" | nil (the value itself), at_most =, at_least =, p10 = true: not
-- only the median}; targets: a list of them. Ratios are of rounds, see stats.lua.
function Report:row(given)
  local row = { group = self.current, name = given.name, unit = given.unit, what = given.what }
  for _, system in ipairs { "lunik", "limit", "qemu" } do
    row[system] = stats.summary(given[system])
  end
  row.to_limit = stats.ratio(given.lunik or given.qemu, given.limit, 0.5)
  row.to_qemu = stats.ratio(given.lunik, given.qemu, 0.5)
  judge_all(given, row)
  self.rows[#self.rows + 1] = row
  print(("  %-28s %-5s %27s %10s %10s %8s %8s  %s"):format(row.name, row.unit, cells(row.lunik),
    number(row.limit and row.limit.median), number(row.qemu and row.qemu.median),
    number(row.to_limit), number(row.to_qemu), row.target or ""))
  print("      " .. row.what)
  io.stdout:flush()
end

function Report:save(path, about)
  about.rows = self.rows
  local file = assert(io.open(path, "w"))
  assert(file:write(json.encode(about)))
  assert(file:close())
end

--- Returns how many targets there are, and how many are met.
function Report:count()
  local targets, met = 0, 0
  for _, row in ipairs(self.rows) do
    targets, met = targets + (row.targets or 0), met + (row.targets_met or 0)
  end
  return targets, met
end

return report
