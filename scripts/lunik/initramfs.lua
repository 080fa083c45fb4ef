-- Builds initramfs images: a cpio archive in the "newc" format (Linux
-- Documentation/driver-api/early-userspace/buffer-format.rst), which the kernel unpacks at boot.
--
--   local initramfs = require "lunik.initramfs"
--   initramfs.write("initrd.img", {
--       ["/init"] = { file = "build/guests/init", mode = "755" },
--       ["/etc/motd"] = { data = "hello\n" },
--       ["/bin/sh"] = { link = "busybox" },
--       ["/dev/console"] = { char = { 5, 1 } },
--       ["/proc"] = { dir = true },
--   })
-- Parent folders are added. from_folder() and modules() return such tables.
local core = require "lunik.core"

local initramfs = {}

local TYPES = { dir = 0x4000, char = 0x2000, block = 0x6000, data = 0x8000, file = 0x8000,
  link = 0xa000 }
local DEFAULT_MODE = { dir = "755", char = "600", block = "600", data = "644", file = "644",
  link = "777" } -- octal

local function fail(...)
  error("initramfs: " .. string.format(...), 0)
end

local function read_file(path)
  local file, err = io.open(path, "rb")
  if not file then
    fail("%s", err)
  end
  local data = file:read("a")
  file:close()
  if not data then
    fail("%s: can't be read", path)
  end
  return data
end

-- ---- the archive -------------------------------------------------------------------------------

local function padding(size)
  return ("\0"):rep(-size % 4)
end

-- Returns one member: a header of 13 eight-digit hexadecimal fields, name and contents, each padded
-- to 4.
local function member(name, inode, mode, data, major, minor)
  if #data > 0xffffffff then
    fail("%s: %d bytes are more than an archive member can have", name, #data)
  end
  local header = ("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X"):format(inode,
    mode, 0, 0, 1, 0, #data, 0, 0, major, minor, #name + 1, 0)
  local head = header .. name .. "\0"
  return head .. padding(#head) .. data .. padding(#data)
end

local function kind_of(path, entry)
  local found
  for kind in pairs(TYPES) do
    if entry[kind] ~= nil then
      if found then
        fail("%s: is both '%s' and '%s'", path, found, kind)
      end
      found = kind
    end
  end
  for key in pairs(entry) do
    if key ~= found and key ~= "mode" then
      fail("%s: '%s' is not an attribute (want dir, file, data, link, char, block or mode)",
        path, tostring(key))
    end
  end
  return found or fail("%s: has no content (want dir, file, data, link, char or block)",
    path)
end

-- Adds the folders that lead to each entry. Keys lose their leading slash.
local function with_parents(entries)
  local all = {}
  for path, entry in pairs(entries) do
    local name = path:gsub("^/+", ""):gsub("/+$", "")
    if name == "" or ("/" .. name .. "/"):find("/%.%.?/") then
      fail("'%s' is not a path inside the image", path)
    end
    all[name] = entry
    for slash in name:gmatch("()/") do
      local parent = name:sub(1, slash - 1)
      all[parent] = all[parent] or entries["/" .. parent] or entries[parent]
        or { dir = true }
    end
  end
  return all
end

-- Builds the image for a table of entries; returns it as a string.
function initramfs.build(entries)
  local all = with_parents(entries)
  local names, parts = {}, {}
  for name in pairs(all) do
    table.insert(names, name)
  end
  table.sort(names) -- folders come before their entries
  for inode, name in ipairs(names) do
    local entry = all[name]
    local kind = kind_of(name, entry)
    local data, device = "", { 0, 0 }
    if kind == "file" then
      data = read_file(entry.file)
    elseif kind == "data" or kind == "link" then
      data = entry[kind]
    elseif kind == "char" or kind == "block" then
      device = entry[kind]
    end
    local mode = tonumber(tostring(entry.mode or DEFAULT_MODE[kind]), 8)
    if not mode then
      fail("%s: mode '%s' is not an octal number (want \"755\")", name, tostring(entry.mode))
    end
    table.insert(parts, member(name, inode, TYPES[kind] | mode, data, device[1], device[2]))
  end
  table.insert(parts, member("TRAILER!!!", 0, 0, "", 0, 0))
  return table.concat(parts)
end

-- Writes the image to a file.
function initramfs.write(path, entries)
  local image = initramfs.build(entries)
  local file, err = io.open(path, "wb")
  if not file then
    fail("%s", err)
  end
  local ok
  ok, err = file:write(image)
  ok, err = ok and file:close(), err
  if not ok then
    fail("%s: %s", path, tostring(err))
  end
end

-- ---- entries -----------------------------------------------------------------------------------

local function add_folder(entries, folder, below)
  for _, name in ipairs(core.scandir(folder) or fail("%s: can't be read", folder)) do
    local path, inside = folder .. "/" .. name, below .. "/" .. name
    local kind, mode, target = core.lstat(path)
    local entry = { mode = mode and ("%o"):format(mode) }
    if kind == "dir" then
      entry.dir = true
      add_folder(entries, path, inside)
    elseif kind == "file" then
      entry.file = path
    elseif kind == "link" then
      entry.link = target
    else
      fail("%s: is neither file, folder nor symbolic link", path)
    end
    entries[inside] = entry
  end
end

-- Returns entries for a folder of the host: files, folders and symbolic links, with their modes.
function initramfs.from_folder(folder)
  local entries = {}
  add_folder(entries, folder, "")
  return entries
end

-- Returns entries for the named kernel modules and those that they need, from /lib/modules/RELEASE
-- or the given folder. Second result: the paths inside the image, in the order to load them.
function initramfs.modules(release, names, folder)
  folder = folder or "/lib/modules/" .. release
  local needs, path_of = {}, {}
  for path, list in read_file(folder .. "/modules.dep"):gmatch("([^\n:]+):([^\n]*)") do
    local name = path:match("([^/]+)%.ko[%.%a]*$"):gsub("-", "_")
    path_of[name] = path
    needs[path] = list
  end
  local entries, order = {}, {}
  local function add(path)
    local target = "/lib/modules/" .. release .. "/" .. path
    if entries[target] then
      return
    end
    entries[target] = { file = folder .. "/" .. path }
    for needed in needs[path]:gmatch("%S+") do
      add(needed)
    end
    table.insert(order, target)
  end
  for _, name in ipairs(names) do
    local path = path_of[name:gsub("-", "_")]
    if path then
      add(path)
    elseif not read_file(folder .. "/modules.builtin"):gsub("-", "_")
      :find("/" .. name:gsub("-", "_") .. ".ko", 1, true) then
      fail("module '%s' is not in %s", name, folder)
    end
  end
  return entries, order
end

return initramfs
