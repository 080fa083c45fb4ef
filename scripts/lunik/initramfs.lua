-- Builds initramfs images: a cpio archive in the "newc" format (Linux
-- Documentation/driver-api/early-userspace/buffer-format.rst), which the kernel unpacks at boot.
--
--   local initramfs = require "lunik.initramfs"
--   initramfs.write("initrd.img", {
--       ["/init"] = { file = "build/guests/agent", mode = "755" },
--       ["/etc/motd"] = { data = "hello\n" },
--       ["/bin/sh"] = { link = "busybox" },
--       ["/dev/console"] = { char = { 5, 1 } },
--       ["/proc"] = { dir = true },
--   })
-- Parent folders are added. from_folder() and modules() return such tables.
local core = require "lunik.core"
local image_entries = require "lunik.image_entries"

local initramfs = {}

local function fail(...)
  error("initramfs: " .. string.format(...), 0)
end

local function read_file(path)
  return image_entries.read("initramfs", path)
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

-- Builds the image for a table of entries; returns it as a string.
function initramfs.build(entries)
  local parts = {}
  for inode, entry in ipairs(image_entries.resolve("initramfs", entries)) do
    table.insert(parts, member(entry.name, inode, entry.mode, entry.data, entry.device[1],
      entry.device[2]))
  end
  table.insert(parts, member("TRAILER!!!", 0, 0, "", 0, 0))
  return table.concat(parts)
end

-- Writes the image to a file.
function initramfs.write(path, entries)
  image_entries.write("initramfs", path, initramfs.build(entries))
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
