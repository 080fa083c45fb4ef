-- For specs: the texts of m:mtree() as tables, by a grammar that takes nothing else.
local mtree = {}

local HEX = ("%x"):rep(16)
local KINDS = { ram = true, rom = true, romd = true, ["i/o"] = true }
local OWNERS = { ["dev id"] = true, ["dev path"] = true, ["obj path"] = true }

local function check(ok, what, line)
  return ok or error(("%s: %q"):format(what, line), 0)
end

-- The text without a last word, and whether it was there; or what the word has in brackets.
local function strip(text, pattern)
  local before, inside = text:match("^(.-) " .. pattern .. "$")
  if not before then return text, false end
  return before, inside or true
end

-- Reads "FIRST-LAST (prio N, KIND): " into range; returns what follows.
local function read_range(range, text, owners)
  local rest
  range.first, range.last, range.priority, range.kind, rest =
    text:match("^(" .. HEX .. ")%-(" .. HEX .. ") %(prio (%-?%d+), (%S+)%): (%S.*)$")
  check(rest, "no range", text)
  range.priority = math.tointeger(range.priority)
  range.kind, range.nonvolatile = range.kind:gsub("^nv%-", "")
  check(KINDS[range.kind], "no kind", text)
  if owners then
    local slot
    rest, slot = strip(rest, "KVM")
    rest, range.owner = strip(rest, "owner:{(%l+ %l+=[^{} ]+)}")
    check(range.owner and OWNERS[range.owner:match "^[^=]+"], "no owner", text)
    if slot then rest = rest .. " KVM" end
  end
  return rest
end

local function read_region(line, owners)
  local overflow = line:match "^%[DETECTED OVERFLOW!%] (.*)$"
  local indent, text = (overflow or line):match "^( +)(%S.*)$"
  check(text and #indent % 2 == 0, "no indentation", line)
  local region = { depth = #indent // 2, overflow = overflow ~= nil, children = {} }
  local rest = read_range(region, text, owners)
  check(overflow or region.first <= region.last, "ends before it begins", line)
  rest, region.disabled = strip(rest, "%[disabled%]")
  if rest:find "^alias " then
    region.name, region.target, region.target_first, region.target_last =
      rest:match("^alias (%S+) @(%S+) (" .. HEX .. ")%-(" .. HEX .. ")$")
  else
    region.name = rest:match "^%S+$"
  end
  check(region.name, "no name", line)
  return region
end

-- The lines of a text that ends each section with an empty one.
local function sections(text)
  check(text:sub(-2) == "\n\n", "no empty line in the end", text:sub(-80))
  local list = {}
  for section in text:gmatch "(.-\n)\n" do
    local lines = {}
    for line in section:gmatch "(.-)\n" do lines[#lines + 1] = line end
    list[#list + 1] = lines
  end
  return list
end

-- Takes the heads off the front of lines: "TITLE: NAME".
local function read_heads(lines)
  local names, title = {}, lines[1]:match "^([%l-]+): "
  check(title == "address-space" or title == "memory-region", "no head", lines[1])
  while lines[1] and lines[1]:sub(1, #title + 2) == title .. ": " do
    names[#names + 1] = table.remove(lines, 1):sub(#title + 3)
  end
  check(title == "address-space" or #names == 1, "one head too many", names[2])
  return title, names
end

-- Puts a region below the last one that is less deep: siblings by address, then priority.
local function hang(above, region, line)
  check(region.depth <= #above + 1, "too deep", line)
  for depth = #above, region.depth, -1 do above[depth] = nil end
  local parent = above[#above]
  if parent then
    local before = parent.children[#parent.children]
    check(not before or region.overflow or before.overflow or before.first < region.first
      or before.first == region.first and before.priority >= region.priority, "out of order", line)
    table.insert(parent.children, region)
  end
  above[#above + 1] = region
end

--- The text of m:mtree{owner=, disabled=}: a list of {title=, names=, [1]= the region}.
function mtree.tree(text, options)
  local list, known, wanted = {}, {}, {}
  for _, lines in ipairs(sections(text)) do
    local section, above = {}, {}
    section.title, section.names = read_heads(lines)
    if section.title == "memory-region" then known[section.names[1]] = true end
    for i, line in ipairs(lines) do
      local region = read_region(line, options and options.owner)
      check((region.depth == 1) == (i == 1), "no root, or a second one", line)
      check(not region.disabled or options and options.disabled, "is disabled", line)
      hang(above, region, line)
      section[1] = section[1] or region
      if region.target then wanted[region.target] = line end
    end
    list[#list + 1] = section
  end
  for name, line in pairs(wanted) do check(known[name], "no section for " .. name, line) end
  return list
end

local function read_flat_range(line, owners)
  local range = {}
  local rest = read_range(range, check(line:match "^  (%S.*)$", "no range", line), owners)
  check(range.first <= range.last, "ends before it begins", line)
  rest, range.slot = strip(rest, "KVM")
  rest, range.offset = strip(rest, "@(" .. HEX .. ")")
  check(range.offset ~= ("0"):rep(16), "an offset of zero", line)
  range.name = check(rest:match "^%S+$", "no name", line)
  return range
end

local function read_space(line)
  local space = {}
  space.name, space.root, space.alias = line:match '^ AS "([^"]+)", root: (%S+), alias (%S+)$'
  if not space.name then
    space.name, space.root = line:match '^ AS "([^"]+)", root: (%S+)$'
  end
  check(space.name, "no space", line)
  return space
end

--- The text of m:mtree{flat=true, owner=}: a list of {spaces= {{name=, root=, alias=}}, root=, the
--- ranges}.
function mtree.flat(text, options)
  local list = {}
  for i, lines in ipairs(sections(text)) do
    local view = { spaces = {} }
    check(table.remove(lines, 1) == ("FlatView #%d"):format(i - 1), "no heading", lines[1])
    while lines[1]:find "^ AS " do
      table.insert(view.spaces, read_space(table.remove(lines, 1)))
    end
    check(#view.spaces > 0, "no space", lines[1])
    view.root = check(lines[1]:match "^ Root memory region: (%S+)$", "no root", lines[1])
    if view.root == "(none)" then
      check(#lines == 2 and lines[2] == "  No rendered FlatView", "has no root", lines[2])
    else
      for n = 2, #lines do
        local range = read_flat_range(lines[n], options and options.owner)
        check(n == 2 or view[n - 2].last < range.first, "out of order", lines[n])
        view[n - 1] = range
      end
      check(#view > 0, "shows nothing", lines[1])
    end
    list[i] = view
  end
  return list
end

return mtree
