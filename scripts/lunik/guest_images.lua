--- The project's own small guests, as files: in the build folder and in an installation.
--
--   lunik.machine { kernel = require("lunik.guest_images").path "small.elf" }
--
-- "small.elf" is the guest that takes and returns memory (in a checkout spec/guests); "agent" is a
-- program for Linux guests that lunik.agent talks to, as /init of an initramfs or of a disk.
local options = require "lunik.options"

local images = {}

-- The folders next to the C module "lunik.core": of a build, an installation, a rock.
local FOLDERS = { "/../../guests/", "/../../../lunik/guests/", "/lunik/guests/" }

local function exists(path)
  local file = io.open(path, "rb")
  return file and file:close()
end

-- Returns the folder of lunik/core.so. The command has the module built in, and knows the folder
-- all the same.
local function module_folder()
  local path = package.searchpath("lunik.core", package.cpath)
  return path and path:match "^(.*)/[^/]*$"
end

--- Returns the path of an image; nil and where it was looked for if there is none. $LUNIK_GUEST_DIR
-- and the build folder $LUNIK_BUILD come first.
function images.find(name)
  local guests, build = os.getenv "LUNIK_GUEST_DIR", os.getenv "LUNIK_BUILD"
  local module = module_folder()
  local places = { guests and guests .. "/" }
  table.insert(places, build and build .. "/guests/")
  for _, place in ipairs(module and FOLDERS or {}) do
    table.insert(places, module .. place)
  end
  for _, place in ipairs(places) do
    if exists(place .. name) then return place .. name end
  end
  return nil, ("%s is in none of %s"):format(name, table.concat(places, ", "))
end

--- Returns the path of an image; raises "not-found" where Lunik is installed without it.
function images.path(name)
  local path, missing = images.find(name)
  return path or options.fail("not-found", "guest_images: %s (want small.elf or agent)", missing)
end

return images
