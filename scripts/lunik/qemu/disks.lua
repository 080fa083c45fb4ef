--- -drive and -blockdev as arguments of blockdev-add.

local option_value = require "lunik.qemu.option_value"
local options = require "lunik.options"

local disks = {}

local switches = { ["read-only"] = true, ["auto-read-only"] = true, direct = true,
  ["no-flush"] = true }

-- Gives what JSON would have to values of an option string, and of the objects in it.
local function typed(given)
  for name, value in pairs(given) do
    if type(value) == "table" then
      typed(value)
    elseif switches[name] then
      given[name] = option_value.switch(name, value)
    end
  end
  return given
end

--- Returns the arguments for the value of -blockdev.
function disks.blockdev(given, is_json)
  return is_json and given or typed(given)
end

local known = { file = true, id = true, readonly = "read-only", ["read-only"] = true,
  format = true, ["if"] = true, media = true, cache = true, index = false, snapshot = true,
  aio = true, discard = true, werror = true, rerror = true, serial = true,
  ["file.locking"] = "locking" }

local aios = { threads = "threads", native = "auto", io_uring = "io_uring" }
local uncached = { none = true, directsync = true }

local function check(drive)
  options.choice("format", drive.format or "raw", { "raw" })
  options.choice("if", drive["if"] or "virtio", { "virtio", "none" })
  options.choice("media", drive.media or "disk", { "disk" })
  options.choice("snapshot", drive.snapshot or "off", { "off" })
  if not drive.file then options.fail("invalid", "file is missing") end
end

--- Returns the arguments for the value of -drive, and the properties of the device that it also
-- asks for, or nil. number: of the drive.
function disks.drive(given, number)
  local drive = option_value.renamed("drive", given, known)
  check(drive)
  local interface = drive["if"] or "virtio"
  local id = drive.id or interface .. number
  local node = { driver = "raw", ["node-name"] = id, ["read-only"] = drive["read-only"] == "on",
    file = { driver = "file", filename = drive.file, discard = drive.discard,
      aio = drive.aio and aios[options.choice("aio", drive.aio, options.keys(aios))],
      locking = drive.locking, cache = { direct = uncached[drive.cache] or false } } }
  if interface == "none" then return node end
  return node, { driver = "virtio-blk-pci", drive = id, serial = drive.serial,
    werror = drive.werror, rerror = drive.rerror }
end

return disks
