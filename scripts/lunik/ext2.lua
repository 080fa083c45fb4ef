-- Builds images of an ext2 file system, such as a guest's root disk: one block group, at most 128
-- MiB (Linux Documentation/filesystems/ext2.rst; "The Second Extended File System", D. Poirier).
--
--   local ext2 = require "lunik.ext2"
--   ext2.write("root.img", {
--       ["/init"] = { file = "build/guests/agent", mode = "755" },
--       ["/dev"] = { dir = true }, ["/proc"] = { dir = true }, ["/sys"] = { dir = true },
--   }, { size = "16M" })
-- The entries are those of lunik.initramfs.
local image_entries = require "lunik.image_entries"
local options = require "lunik.options"

local ext2 = {}

local BLOCK = 4096
local MOST_BLOCKS = 8 * BLOCK -- what the bitmap of a group can have
local INODE_SIZE = 128
local INODES_OF_BLOCK = BLOCK // INODE_SIZE
local ROOT, LOST_FOUND = 2, 11
local DIRECT, POINTERS = 12, BLOCK // 4
local TABLE_START = 4 -- after superblock, group descriptor and both bitmaps
local DIRECTORY, LINK = 0x4000, 0xa000
local INLINE_LINK = 60 -- bytes: a shorter link's target is in its inode
-- Of a directory entry, by the type in the inode's mode.
local FILE_TYPES = { [0x8000] = 1, [0x4000] = 2, [0x2000] = 3, [0x6000] = 4, [0xa000] = 7 }

local function fail(...)
  error("ext2: " .. string.format(...), 0)
end

-- ---- blocks ------------------------------------------------------------------------------------

-- Takes the next free block for data; returns its number.
local function put_block(fs, data)
  local number = fs.next_block
  if number >= fs.blocks then
    fail("the files do not fit into %d bytes", fs.blocks * BLOCK)
  end
  fs.next_block = number + 1
  fs.content[number] = data .. ("\0"):rep(BLOCK - #data)
  return number
end

-- Writes a block of pointers to the blocks of data from offset `at` on; depth 0: the data itself.
-- Returns its number and the offset that follows.
local function put_tree(fs, data, at, depth)
  if depth == 0 then return put_block(fs, data:sub(at, at + BLOCK - 1)), at + BLOCK end
  local pointers = {}
  while at <= #data and #pointers < POINTERS do
    local number
    number, at = put_tree(fs, data, at, depth - 1)
    pointers[#pointers + 1] = ("<I4"):pack(number)
  end
  return put_block(fs, table.concat(pointers)), at
end

-- Writes data; returns the 15 pointers of an inode.
local function put_data(fs, data)
  local pointers, at = {}, 1
  for i = 1, DIRECT + 3 do
    pointers[i] = 0
    if at <= #data then
      pointers[i], at = put_tree(fs, data, at, math.max(i - DIRECT, 0))
    end
  end
  return ("<" .. ("I4"):rep(DIRECT + 3)):pack(table.unpack(pointers))
end

-- ---- inodes ------------------------------------------------------------------------------------

local function device_pointers(device)
  local major, minor = device[1], device[2]
  if major < 256 and minor < 256 then return ("<I4"):pack(major << 8 | minor) end
  return ("<I4I4"):pack(0, minor & 0xff | major << 8 | (minor & ~0xff) << 12)
end

-- Fills in an inode: node has mode, data and device.
local function put_inode(fs, number, node, links)
  local first = fs.next_block
  local pointers
  local kind = node.mode & 0xf000
  if kind == LINK and #node.data < INLINE_LINK then
    pointers = node.data
  elseif node.device and node.device[1] > 0 then
    pointers = device_pointers(node.device)
  else
    pointers = put_data(fs, node.data)
  end
  local sectors = (fs.next_block - first) * (BLOCK // 512)
  fs.inodes[number] = ("<I2I2I4I4I4I4I4I2I2I4I4I4c60I4I4I4I4c12"):pack(node.mode, 0, #node.data,
    0, 0, 0, 0, 0, links, sectors, 0, 0, pointers, 0, 0, 0, 0, "")
end

-- ---- directories -------------------------------------------------------------------------------

local function directory_entry(number, kind, name, length)
  return ("<I4I2BB"):pack(number, length, #name, kind) .. name
    .. ("\0"):rep(length - 8 - #name)
end

-- Returns the contents of a directory: the last entry of each block reaches to its end.
local function directory_data(list)
  local blocks, used, pending = {}, 0, {}
  local function finish()
    local parts = {}
    for i, entry in ipairs(pending) do
      local length = (8 + #entry.name + 3) // 4 * 4
      if i == #pending then length = length + BLOCK - used end
      parts[i] = directory_entry(entry.number, entry.kind, entry.name, length)
    end
    blocks[#blocks + 1] = table.concat(parts)
    used, pending = 0, {}
  end
  for _, entry in ipairs(list) do
    local length = (8 + #entry.name + 3) // 4 * 4
    if used + length > BLOCK then finish() end
    used = used + length
    pending[#pending + 1] = entry
  end
  finish()
  return table.concat(blocks)
end

-- Adds "." and ".." and writes a directory.
local function put_directory(fs, folder)
  local list = { { name = ".", number = folder.number, kind = 2 },
    { name = "..", number = folder.parent.number, kind = 2 } }
  local links = 2
  for _, node in ipairs(folder.children) do
    list[#list + 1] = { name = node.base, number = node.number,
      kind = FILE_TYPES[node.mode & 0xf000] }
    if node.children then links = links + 1 end
  end
  fs.directories = fs.directories + 1
  folder.data = directory_data(list)
  put_inode(fs, folder.number, folder, links)
end

-- ---- the tree ----------------------------------------------------------------------------------

-- Returns all nodes, each with its number; folders have their children.
local function make_tree(list)
  local root = { number = ROOT, mode = DIRECTORY | 493, children = {} } -- 0755
  local lost = { number = LOST_FOUND, mode = DIRECTORY | 448, children = {}, base = "lost+found",
    parent = root } -- 0700
  root.parent = root
  root.children[1] = lost
  local nodes, by_name = { root, lost }, { [""] = root }
  for _, node in ipairs(list) do
    local above, base = node.name:match "^(.-)/?([^/]*)$"
    if #base > 255 then fail("%s: the name is longer than 255 bytes", node.name) end
    node.base, node.number, node.parent = base, LOST_FOUND + #nodes - 1, by_name[above]
    if not node.parent then fail("%s: '%s' is not a folder", node.name, above) end
    if node.kind == "dir" then
      node.children = {}
      by_name[node.name] = node
    end
    table.insert(node.parent.children, node)
    nodes[#nodes + 1] = node
  end
  return nodes
end

-- ---- the file system ---------------------------------------------------------------------------

-- A bitmap of `count` bits, of which those in use are the first `used`; bits from `size` on do not
-- exist and are set.
local function bitmap(used, size)
  local bytes = {}
  for at = 0, BLOCK - 1 do
    local byte = 0
    for bit = 0, 7 do
      local n = at * 8 + bit
      if n < used or n >= size then byte = byte | 1 << bit end
    end
    bytes[at + 1] = string.char(byte)
  end
  return table.concat(bytes)
end

local function superblock(fs)
  return ("<I4I4I4I4I4I4I4I4I4I4I4I4I4I2I2I2I2I2I2I4I4I4I4I2I2I4I2I2I4I4I4c16c16"):pack(
    fs.inode_count, fs.blocks, 0, fs.blocks - fs.next_block, fs.inode_count - fs.last_inode,
    0, 2, 2, MOST_BLOCKS, MOST_BLOCKS, fs.inode_count, -- first block, log2 of the sizes, per group
    0, 0, 0, 0xffff, 0xef53, 1, 1, 0, -- times, mounts, magic, clean, go on after errors
    0, 0, 0, 1, 0, 0, -- checks, Linux, revision 1, reserved blocks' owner
    LOST_FOUND, INODE_SIZE, 0, 0, 2, 1, -- features: types in directories; sparse superblocks
    fs.uuid, "")
end

local function descriptor(fs)
  return ("<I4I4I4I2I2I2"):pack(2, 3, TABLE_START, fs.blocks - fs.next_block,
    fs.inode_count - fs.last_inode, fs.directories)
end

-- Returns the blocks up to the data.
local function metadata(fs)
  local parts = { ("\0"):rep(1024) .. superblock(fs), descriptor(fs),
    bitmap(fs.next_block, fs.blocks), bitmap(fs.last_inode, fs.inode_count) }
  for i, part in ipairs(parts) do parts[i] = part .. ("\0"):rep(BLOCK - #part) end
  for number = 1, fs.inode_count do
    parts[#parts + 1] = fs.inodes[number] or ("\0"):rep(INODE_SIZE)
  end
  return table.concat(parts)
end

local function new(size, nodes)
  local blocks = size // BLOCK
  if blocks > MOST_BLOCKS then
    fail("size: %d is too much (want at most %d)", size, MOST_BLOCKS * BLOCK)
  end
  local used = math.max(LOST_FOUND, LOST_FOUND + #nodes - 2)
  local inode_count = (math.max(used + 64, blocks // 4) + INODES_OF_BLOCK - 1) // INODES_OF_BLOCK
    * INODES_OF_BLOCK
  return {
    blocks = blocks, inode_count = inode_count, last_inode = used, inodes = {}, content = {},
    next_block = TABLE_START + inode_count // INODES_OF_BLOCK, directories = 0,
    uuid = "lunik ext2 image",
  }
end

-- Returns the image without the free blocks at its end, and its size.
local function build(entries, opts)
  opts = options.parse("ext2", opts, { size = "size" })
  local nodes = make_tree(image_entries.resolve("ext2", entries))
  local fs = new(opts.size or 16 << 20, nodes)
  local first = fs.next_block
  if first >= fs.blocks then fail("size: %d is too little for anything", opts.size) end
  for _, node in ipairs(nodes) do
    if node.children then
      put_directory(fs, node)
    else
      put_inode(fs, node.number, node, 1)
    end
  end
  local parts = { metadata(fs) }
  for number = first, fs.next_block - 1 do parts[#parts + 1] = fs.content[number] end
  return table.concat(parts), fs.blocks * BLOCK
end

--- Builds the image for a table of entries; returns it as a string. Options: size, default "16M".
function ext2.build(entries, opts)
  local image, size = build(entries, opts)
  return image .. ("\0"):rep(size - #image)
end

--- Writes the image to a file, in which free blocks take no room.
function ext2.write(path, entries, opts)
  image_entries.write("ext2", path, build(entries, opts))
end

return ext2
