--- Lunik: virtual machines on Linux/KVM, composed and driven from Lua.
--
-- Puts the API together, which library/lunik.lua describes.

local core = require "lunik.core"

-- The folder of this file as messages name it; if that does not exist, since an installation has
-- been moved, the folder in which it was found.
local named = debug.getinfo(1, "S").source:match "^@(.*)/init%.lua$" or "."
local place = (select(2, ...) or ""):match "^(.*)/init%.lua$" or named
local directory = core.scandir(named) and named or place
core.set_library_dirs(named .. "/", directory .. "/")
core.shared.directory = directory

local ending = require "lunik.ending"
local event = require "lunik.event"
local wait = require "lunik.wait"
local boards = require "lunik.board_loader"
local machine = require "lunik.machine"
local options = require "lunik.options"
local device = require "lunik.device"
local sandbox = require "lunik.sandbox"

-- In a checkout, and in an installation.
boards.directories = { directory .. "/../boards", directory .. "/boards" }

os.exit = ending.exit -- luacheck: ignore 122

local lunik = {
  version = core.version,
  SIZE_MAX = core.SIZE_MAX,
  machine = machine.new,
  machines = machine.list,
  device = device.define,
  spawn = wait.spawn,
  sleep = wait.sleep,
  defer = wait.defer,
  run = wait.run,
  stop = wait.stop,
  now = wait.now,
  on = event.on_any,
  on_error = event.on_error,
  on_rejected = event.on_any_rejected,
  log_rejected = require("lunik.reject_log").start,
  types = core.types,
  suggest = core.suggest,
  boards = boards.list,
  sandbox = sandbox.sandbox,
}

--- Draws values over time.
function lunik.plot(opts)
  return require("lunik.plot").plot(opts)
end

--- Returns the description of a type; raises an error for an unknown name.
function lunik.type(name)
  local found = core.type(name)
  if not found then
    local near = core.suggest(name, core.types())
    local hint = near and (" (did you mean '%s'?)"):format(near) or ""
    options.fail("not-found", "type: '%s' is not a known type%s", name, hint)
  end
  return found
end

--- Loads lunik.agent late: it is for Linux guests with an agent.
function lunik.agent(m, opts) return require("lunik.agent").new(m, opts) end

--- Loads lunik.qmp.server late, as few scripts need it.
function lunik.qmp(given) return require("lunik.qmp.server").new(given) end

--- Loads lunik.prompt.server late: it is for people.
function lunik.prompt(given) return require("lunik.prompt.server").new(given) end

--- Loads lunik.report late, as few scripts need it.
function lunik.report(given) return require("lunik.report").new(given) end

--- Loads lunik.disassemble late, as few scripts need it.
function lunik.disassemble(...) return require("lunik.disassemble")(...) end

--- Returns the number of bytes for "512M" or 536870912.
function lunik.size(value)
  return core.parse_size(value, "size")
end

--- Makes an error object, to be raised with error().
function lunik.error(code, message)
  return core.error(code, message)
end

--- Makes a luv loop drive Lunik's.
function lunik.use_luv(uv)
  return require("lunik.luv").attach(uv)
end

return lunik
