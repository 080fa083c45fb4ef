--- Files and items of the firmware configuration, with functions that return their contents.

local core = require "lunik.core"
local event = require "lunik.event"
local options = require "lunik.options"

local fw_cfg = {}

--- Returns the functions of a machine: name or number -> function.
local function functions(m)
  local state = event.state(m)
  state.fw_cfg = state.fw_cfg or {}
  return state.fw_cfg
end

local function read_file(what, path)
  return options.read(what, options.value(what, path, "string"))
end

local function compute(fn)
  local data = fn()
  if type(data) ~= "string" then
    options.fail("invalid", "fw_cfg_add: contents: the function returned %s (want a string)",
      options.show(data))
  end
  return data
end

--- Adds a file or an item.
function fw_cfg.add(m, name, contents)
  local kind = type(contents)
  if kind == "function" then
    core.fw_cfg_add(m, name, compute(contents), true)
    functions(m)[name] = contents
    return
  elseif kind == "table" then
    options.known("fw_cfg_add: contents", contents, { file = true })
    contents = read_file("fw_cfg_add: contents: file", contents.file)
  elseif kind ~= "string" then
    options.fail("invalid", "fw_cfg_add: contents: %s is not possible (want a string, a function "
      .. "or {file = path})", options.show(contents))
  end
  core.fw_cfg_add(m, name, contents)
end

--- Returns the contents of a file or an item, or without a name the names of the files.
function fw_cfg.read(m, name)
  if name == nil then return core.fw_cfg_names(m) end
  return core.fw_cfg(m, name)
end

core.hooks.fw_cfg = function(m, name)
  local fn = functions(m)[name]
  return fn and fn()
end

return fw_cfg
