--- The contents of images, as tables: path -> {dir = true}, {file = path}, {data = string},
-- {link = target}, {char = {major, minor}} or {block = {major, minor}}, each with mode = "755".

local entries = {}

local TYPES = { dir = 0x4000, char = 0x2000, block = 0x6000, data = 0x8000, file = 0x8000,
  link = 0xa000 }
local DEFAULT_MODE = { dir = "755", char = "600", block = "600", data = "644", file = "644",
  link = "777" } -- octal

local function fail(what, ...)
  error(what .. ": " .. string.format(...), 0)
end

--- Returns the contents of a file. what: the caller's name, for errors.
function entries.read(what, path)
  local file, err = io.open(path, "rb")
  if not file then
    fail(what, "%s", err)
  end
  local data = file:read("a")
  file:close()
  if not data then
    fail(what, "%s: can't be read", path)
  end
  return data
end

--- Writes a file; zeroes follow up to the size, if one is given.
function entries.write(what, path, image, size)
  local file, err = io.open(path, "wb")
  if not file then
    fail(what, "%s", err)
  end
  local ok
  ok, err = file:write(image)
  if ok and size and size > #image then
    file:seek("set", size - 1)
    ok, err = file:write "\0"
  end
  ok, err = ok and file:close(), err
  if not ok then
    fail(what, "%s: %s", path, tostring(err))
  end
end

local function kind_of(what, path, entry)
  local found
  for kind in pairs(TYPES) do
    if entry[kind] ~= nil then
      if found then
        fail(what, "%s: is both '%s' and '%s'", path, found, kind)
      end
      found = kind
    end
  end
  for key in pairs(entry) do
    if key ~= found and key ~= "mode" then
      fail(what, "%s: '%s' is not an attribute (want dir, file, data, link, char, block or mode)",
        path, tostring(key))
    end
  end
  return found or fail(what, "%s: has no content (want dir, file, data, link, char or block)",
    path)
end

-- Adds the folders that lead to each entry. Keys lose their leading slash.
local function with_parents(what, given)
  local all = {}
  for path, entry in pairs(given) do
    local name = path:gsub("^/+", ""):gsub("/+$", "")
    if name == "" or ("/" .. name .. "/"):find("/%.%.?/") then
      fail(what, "'%s' is not a path inside the image", path)
    end
    all[name] = entry
    for slash in name:gmatch("()/") do
      local parent = name:sub(1, slash - 1)
      all[parent] = all[parent] or given["/" .. parent] or given[parent] or { dir = true }
    end
  end
  return all
end

local function resolve_one(what, name, entry)
  local kind = kind_of(what, name, entry)
  local found = { name = name, kind = kind, data = "", device = { 0, 0 } }
  if kind == "file" then
    found.data = entries.read(what, entry.file)
  elseif kind == "data" or kind == "link" then
    found.data = entry[kind]
  elseif kind == "char" or kind == "block" then
    found.device = entry[kind]
  end
  local mode = tonumber(tostring(entry.mode or DEFAULT_MODE[kind]), 8)
  if not mode then
    fail(what, "%s: mode '%s' is not an octal number (want \"755\")", name, tostring(entry.mode))
  end
  found.mode = TYPES[kind] | mode
  return found
end

--- Returns a list of {name=, kind=, mode=, data=, device=}: names without a leading slash, the
-- folders that lead to an entry before it; mode as in an inode. what: the caller's name, for
-- errors.
function entries.resolve(what, given)
  local names, list = {}, {}
  local all = with_parents(what, given)
  for name in pairs(all) do
    table.insert(names, name)
  end
  table.sort(names) -- folders come before their entries
  for i, name in ipairs(names) do
    list[i] = resolve_one(what, name, all[name])
  end
  return list
end

return entries
