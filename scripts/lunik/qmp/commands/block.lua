--- Commands about disks.

local json = require "lunik.json"
local event = require "lunik.event"
local failure = require "lunik.qmp.failure"
local fds = require "lunik.qmp.fds"
local names = require "lunik.qmp.names"

local function array(list) return setmetatable(list or {}, json.Array) end

-- The disk device of each back end, by id.
local function users(m)
  local found = {}
  for _, object in ipairs(m:objects()) do
    if object.type == "virtio-blk-pci" then found[object:get "drive"] = object end
  end
  return found
end

local function filename(object)
  return object.type == "blockdev-file" and object:get "filename" or object.id
end

local function node(object)
  return {
    file = filename(object), ["node-name"] = object.id, ro = object.readonly,
    drv = names.of_type(object.type), encrypted = false, detect_zeroes = "off",
    image = { filename = filename(object), format = "raw", ["virtual-size"] = object.size,
      ["dirty-flag"] = false },
  }
end

local function backends(m)
  local list = {}
  for _, object in ipairs(m:objects()) do
    if object:is "blockdev" then list[#list + 1] = object end
  end
  return list
end

local function query_block(m)
  local list, used = array(), users(m)
  for _, object in ipairs(backends(m)) do
    local device = used[object.id]
    if device then
      list[#list + 1] = { device = "", qdev = names.path(device), type = "unknown",
        removable = false, locked = false, inserted = node(object) }
    end
  end
  return list
end

local function query_nodes(m)
  local list = array()
  for i, object in ipairs(backends(m)) do list[i] = node(object) end
  return list
end

local function stats(object)
  return {
    rd_bytes = object.read_bytes, rd_operations = object.read_operations,
    wr_bytes = object.write_bytes, wr_operations = object.write_operations,
    flush_operations = object.flush_operations, unmap_bytes = object.discard_bytes,
    unmap_operations = object.discard_operations, failed_rd_operations = 0,
    failed_wr_operations = object.errors, invalid_rd_operations = 0, invalid_wr_operations = 0,
    rd_total_time_ns = 0, wr_total_time_ns = 0, flush_total_time_ns = 0, rd_merged = 0,
    wr_merged = 0, wr_highest_offset = 0, account_invalid = true, account_failed = true,
    timed_stats = array(),
  }
end

local function query_blockstats(m)
  local list, used = array(), users(m)
  for _, object in ipairs(backends(m)) do
    local device = used[object.id]
    list[#list + 1] = { device = "", qdev = device and names.path(device),
      ["node-name"] = object.id, stats = stats(object) }
  end
  return list
end

-- ---- blockdev-add ------------------------------------------------------------------------------

local cache_members = { direct = true, ["no-flush"] = true }

-- Properties of a "file" node's arguments.
local function file_properties(m, args)
  local props = { filename = fds.path(m, args.filename
    or failure.generic("Parameter 'filename' is missing")), aio = args.aio,
    readonly = args["read-only"], locking = args.locking == "on" or nil }
  if type(args.cache) == "table" then
    for name in pairs(args.cache) do
      if not cache_members[name] then
        failure.generic("Parameter 'cache.%s' is unexpected", tostring(name))
      end
    end
    props.direct = args.cache.direct
  end
  if args.discard == "unmap" or args.discard == "ignore" then props.discard = args.discard end
  return props
end

-- Other names of nodes, by node.
local function node_names(m)
  local state = event.state(m)
  state.node_names = state.node_names or {}
  return state.node_names
end

local function find(m, name)
  local object = m:object(names.node(m, name))
  if not object or not object:is "blockdev" then
    failure.generic("Failed to find node with node-name='%s'", name)
  end
  return object
end

-- Makes `name` another name of a node.
local function add_name(m, name, of)
  local object = find(m, of)
  if m:object(name) or node_names(m)[name] then
    failure.generic("Duplicate nodes with node-name='%s'", name)
  end
  node_names(m)[name] = object.id
end

-- A raw node shows the file node below it as it is: both are one back end.
local function blockdev_add(m, args)
  local name = args["node-name"]
    or failure.generic("'node-name' must be specified for the root node")
  local file = args
  if args.driver == "raw" then
    if type(args.file) == "string" then return add_name(m, name, args.file) end
    file = args.file or failure.generic("Parameter 'file' is missing")
  end
  if file.driver ~= "file" and file.driver ~= "host_device" then
    failure.generic("Parameter 'driver' does not accept value '%s'", tostring(file.driver))
  elseif m:object(name) or node_names(m)[name] then
    failure.generic("Duplicate nodes with node-name='%s'", name)
  end
  local props = file_properties(m, file)
  if args["read-only"] ~= nil then props.readonly = args["read-only"] end
  props.id = name
  m:object_add("blockdev-file", props)
end

-- Deletes a name of a node, or the node if it has no other.
local function blockdev_del(m, args)
  local name, other = args["node-name"], node_names(m)
  local object = find(m, name)
  for _, id in pairs(name == object.id and other or {}) do
    if id == name then failure.generic("Node '%s' is busy: node is used as 'file'", name) end
  end
  if users(m)[object.id] then failure.generic("Node %s is in use", name) end
  if other[name] then
    other[name] = nil
  else
    m:object_del(object)
  end
end

local function block_resize(m, args)
  local name = args["node-name"] or args.device
    or failure.generic("Need exactly one of 'device' and 'node-name'")
  if args.size < 0 then failure.generic("Parameter 'size' expects a >0 size") end
  find(m, name).size = args.size
end

return {
  { name = "query-block", returns = "[BlockInfo]", run = query_block },
  { name = "query-named-block-nodes", args = { flat = "?bool" }, returns = "[BlockDeviceInfo]",
    run = query_nodes },
  { name = "query-block-jobs", returns = "[JobInfo]", run = function() return array() end },
  { name = "query-blockstats", args = { ["query-nodes"] = "?bool" }, returns = "[BlockStats]",
    run = query_blockstats },
  { name = "blockdev-add", args = { driver = "str", ["node-name"] = "?str", ["..."] = true },
    run = blockdev_add },
  { name = "blockdev-del", args = { ["node-name"] = "str" }, run = blockdev_del },
  { name = "block_resize", args = { device = "?str", ["node-name"] = "?str", size = "int" },
    run = block_resize },
}
