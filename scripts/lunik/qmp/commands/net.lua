--- Commands about networks.

local failure = require "lunik.qmp.failure"
local types = require "lunik.qemu.netdevs"

local function netdev_add(m, args)
  local kind = types[args.type]
  if not kind then failure.generic("Parameter 'type' does not accept value '%s'", args.type) end
  if m:object(args.id) then failure.generic("Duplicate ID '%s' for netdev", args.id) end
  local props = { id = args.id }
  for name, value in pairs(args) do
    if name ~= "type" and name ~= "id" then
      local own = kind[2][name]
      if own == nil then failure.generic("Parameter '%s' is unexpected", name) end
      if own then props[own] = value end
    end
  end
  m:object_add(kind[1], props)
end

local function netdev_del(m, args)
  local object = m:object(args.id)
  if not object or not object:is "netdev" then failure.no_device(args.id) end
  m:object_del(object)
end

-- Takes the card's id, or that of its back end.
local function set_link(m, args)
  for _, object in ipairs(m:objects()) do
    if object.type == "virtio-net-pci"
      and (object.id == args.name or object:get "netdev" == args.name) then
      object.link = args.up
      return
    end
  end
  failure.no_device(args.name)
end

return {
  { name = "netdev_add", args = { type = "str", id = "str", ["..."] = true }, run = netdev_add },
  { name = "netdev_del", args = { id = "str" }, run = netdev_del },
  { name = "set_link", args = { name = "str", up = "bool" }, run = set_link },
}
