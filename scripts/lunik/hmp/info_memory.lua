--- info mtree, memory-devices, memory_size_summary, memdev, ramblock: of the guest's memory.

-- Prints a flat view, and below each one the sections that addresses are looked up in.
local function with_dispatch(self, text)
  local sections
  local function finish()
    if not sections then return end
    self:print "  Dispatch"
    self:print "    Physical sections"
    for i, section in ipairs(sections) do self:print("      #%d @%s", i - 1, section) end
    sections = nil
  end
  for line in text:gmatch "([^\n]*)\n" do
    local from, last, name = line:match "^  (%x+)%-(%x+) %b(): (.+)$"
    if line:find "^FlatView" then finish() end
    self:print("%s", line)
    if from then
      sections = sections or {}
      sections[#sections + 1] = ("%s..%s %s"):format(from, last, name)
    end
  end
  finish()
end

local function mtree(self, args)
  local options = {}
  while not args:done() do
    local known = false
    for letter, name in pairs { f = "flat", d = "dispatch", o = "owner", D = "disabled" } do
      if args:flag(letter) then options[name], known = true, true end
    end
    if not known then break end
  end
  args:finish()
  local dispatch = options.dispatch
  options.dispatch = nil
  if dispatch and options.flat then
    return with_dispatch(self, self.machine:mtree(options))
  end
  for line in self.machine:mtree(options):gmatch "([^\n]*)\n" do self:print("%s", line) end
end

-- What each kind of memory device shows: title and field of its data, in order.
local HEX, DECIMAL = "0x%x", "%d"
local FIELDS = {
  dimm = {
    { "addr", "addr", HEX }, { "slot", "slot", DECIMAL }, { "node", "node", DECIMAL },
    { "size", "size", DECIMAL }, { "memdev", "memdev" }, { "hotplugged", "hotplugged" },
    { "hotpluggable", "hotpluggable" },
  },
  ["virtio-mem"] = {
    { "memaddr", "addr", HEX }, { "node", "node", DECIMAL },
    { "requested-size", "requested_size", DECIMAL }, { "size", "size", DECIMAL },
    { "max-size", "max_size", DECIMAL }, { "block-size", "block_size", DECIMAL },
    { "memdev", "memdev" },
  },
}
FIELDS.nvdimm = FIELDS.dimm

local function memory_devices(self)
  for _, device in ipairs(self.machine:memory_devices()) do
    self:print('Memory device [%s]: "%s"', device.type, device.data.id or "")
    for _, field in ipairs(FIELDS[device.type] or FIELDS.dimm) do
      local value = device.data[field[2]]
      if value ~= nil then
        self:print("  %s: %s", field[1], (field[3] or "%s"):format(field[3] and value
          or tostring(value)))
      end
    end
  end
end

local function summary(self)
  local sizes = self.machine:qmp "query-memory-size-summary"
  self:print("base memory: %d", sizes["base-memory"])
  self:print("plugged memory: %d", sizes["plugged-memory"])
end

local function memdev(self)
  for _, object in ipairs(self.machine:objects()) do
    if object:is "memory-backend" then
      self:print("memory backend: %s", object.id)
      self:print("  size:  %d", object.size)
      for _, name in ipairs { "merge", "dump", "prealloc", "share", "reserve" } do
        self:print("  %s: %s", name, object:get(name))
      end
      self:print("  policy: %s", object.policy)
      self:print("  host nodes: %s", table.concat(object:get "host-nodes" or {}, ","))
    end
  end
end

return {
  {
    name = "mtree", params = "[-f][-d][-o][-D]",
    help = "show memory tree (-f: dump flat view for address spaces;-d: dump dispatch tree, valid "
      .. "with -f only);-o: dump region owners info;-D: dump disabled regions", run = mtree,
  },
  { name = "memory-devices", help = "show memory devices", run = memory_devices },
  {
    name = "memory_size_summary",
    help = "show the amount of initially allocated and present hotpluggable (if enabled) memory in "
      .. "bytes.", run = summary,
  },
  { name = "memdev", help = "show memory backends", run = memdev },
}
