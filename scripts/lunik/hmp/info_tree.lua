--- info qtree, qom-tree: the machine's objects and devices.

local core = require "lunik.core"
local names = require "lunik.qmp.names"

local function shown(value)
  if type(value) == "string" then return ('"%s"'):format(value) end
  if math.type(value) == "integer" then return ("%d (0x%x)"):format(value, value) end
  if type(value) == "table" then return ("[%s]"):format(table.concat(value, ", ")) end
  return value == nil and "<null>" or tostring(value)
end

local function print_device(self, object, indent)
  self:print('%sdev: %s, id "%s"', indent, names.of_type(object.type), object.id)
  for _, p in ipairs(core.type(object.type).props) do
    local ok, value = pcall(object.get, object, p.name)
    if ok and p.name ~= "bus" then self:print("%s  %s = %s", indent, p.name, shown(value)) end
  end
end

-- Returns the devices by the path or id of the bus that they are on; "" for the others.
local function by_bus(m)
  local found = { [""] = {} }
  for _, object in ipairs(m:objects()) do
    if object.is_device then
      local ok, bus = pcall(object.get, object, "bus")
      local key = ok and bus or ""
      found[key] = found[key] or {}
      table.insert(found[key], object)
    end
  end
  return found
end

local function print_bus(self, devices, found, indent)
  for _, object in ipairs(devices) do
    print_device(self, object, indent)
    local on = object.id ~= "" and found[object.id] or found[object.path]
    if on then
      self:print("%s  bus: %s", indent, object.type == "i440fx" and "pci.0" or object.id)
      print_bus(self, on, found, indent .. "    ")
    end
  end
end

local function qtree(self)
  local found = by_bus(self.machine)
  self:print "bus: main-system-bus"
  self:print "  type System"
  print_bus(self, found[""], found, "  ")
end

-- Returns a tree of the objects' paths: each node has children by name, and an object or nil.
local function tree_of(m)
  local root = { children = {}, order = {} }
  for _, object in ipairs(m:objects()) do
    local node = root
    for part in names.path(object):gmatch "[^/]+" do
      if not node.children[part] then
        node.children[part] = { children = {}, order = {} }
        table.insert(node.order, part)
      end
      node = node.children[part]
    end
    node.object = object
  end
  return root
end

local function print_tree(self, node, indent)
  for _, name in ipairs(node.order) do
    local child = node.children[name]
    local kind = child.object and names.of_type(child.object.type) or "container"
    self:print("%s/%s (%s)", indent, name, kind)
    print_tree(self, child, indent .. "  ")
  end
end

return {
  { name = "qtree", help = "show device tree", run = qtree },
  {
    name = "qom-tree", help = "show QOM composition tree",
    run = function(self) print_tree(self, tree_of(self.machine), "") end,
  },
}
