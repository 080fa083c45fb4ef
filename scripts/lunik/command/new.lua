--- lunik new: writes a small start, from the templates.

local core = require "lunik.core"
local arguments = require "lunik.command.arguments"

local new = {}

local fail = arguments.fail

-- The files of each kind: {template, path}. In both @NAME@ is the name, and @MODULE@ the name as a
-- Lua module's. name: what the template gets for it; module: it gets the module's name for it.
local KINDS = {
  board = { { "board.lua", "@NAME@.lua" } },
  device = { { "device.lua", "@NAME@.lua" } },
  spec = { { "spec.lua", "spec/@NAME@_spec.lua" } },
  project = {
    { "project/README.md", "@NAME@/README.md" },
    { "project/Makefile", "@NAME@/Makefile" },
    { "project/busted", "@NAME@/.busted" },
    { "project/project.rockspec", "@NAME@/@NAME@-0.1-1.rockspec" },
    { "board.lua", "@NAME@/boards/@NAME@.lua" },
    { "device.lua", "@NAME@/src/@MODULE@.lua", module = true },
    { "project/project_spec.lua", "@NAME@/spec/@NAME@_spec.lua" },
    { "spec.lua", "@NAME@/spec/hotplug_spec.lua", name = "hotplug" },
  },
}
local NAMES = { "board", "device", "spec", "project" }

-- What to do next. %s: the options that the host needs.
local NEXT = {
  board = "lunik @NAME@.lua%s", device = "lunik @NAME@.lua", spec = "lunik test @NAME@_spec",
  project = "cd @NAME@ && lunik test && lunik boards/@NAME@.lua%s",
}

local function template(name)
  local directory = core.shared.directory
  for _, folder in ipairs { directory .. "/../templates", directory .. "/templates" } do
    local file <close> = io.open(("%s/%s"):format(folder, name), "rb")
    if file then return file:read "a" end
  end
  error(core.error("not-found", ("new: the template '%s' is missing below '%s'"):format(name,
    directory)), 0)
end

-- Returns the name as a Lua module's.
local function module_name(name) return (name:gsub("%-", "_")) end

local function filled(text, name)
  return (text:gsub("@(%u+)@", { NAME = name, MODULE = module_name(name) }))
end

local function check_kind(kind)
  if KINDS[kind] then return end
  local near = kind and core.suggest(kind, NAMES)
  fail("new: %s%s (want board, device, spec or project)",
    kind and ("'%s' is not known"):format(kind) or "nothing is given",
    near and (" (did you mean '%s'?)"):format(near) or "")
end

local function check_name(kind, name)
  if not name then fail("new: %s: there is no name", kind) end
  local type_name = kind == "device" and name or kind == "project" and module_name(name)
  if #name > 60 or not name:find "^%a[%w_-]*$" then
    fail("new: %s: '%s' is not a name (want a letter, then letters, digits, '-' and '_', up to 60)",
      kind, name)
  elseif type_name and core.type(type_name) then
    fail("new: %s: '%s' is a type of the library (want another name)", kind, type_name)
  end
end

local function exists(path)
  return os.rename(path, path) ~= nil
end

--- Checks what is to be made; raises an error for a wrong command line.
function new.prepare(options)
  local kind, name, more = table.unpack(options.words)
  check_kind(kind)
  if kind == "spec" and name then name = name:gsub("%.lua$", ""):gsub("_spec$", "") end
  check_name(kind, name)
  if more then fail("new: '%s': there is a name already", more) end
  local plan = { kind = kind, name = name, files = {} }
  for _, entry in ipairs(KINDS[kind]) do
    local path = filled(entry[2], name)
    if exists(path) then fail("new: '%s' exists (it is left as it is)", path) end
    local own = entry.name or entry.module and module_name(name) or name
    table.insert(plan.files, { path = path, text = filled(template(entry[1]), own) })
  end
  if kind == "project" and exists(name) then
    fail("new: '%s' exists (it is left as it is)", name)
  end
  return plan
end

-- Makes the folders above a path. If that fails, so does opening the file, which says why.
local function make_folders(path)
  local folder = path:match "^(.*)/[^/]*$"
  if not folder or exists(folder) then return end
  make_folders(folder)
  os.execute(("mkdir '%s' 2>/dev/null"):format(folder))
end

local function write(path, text)
  make_folders(path)
  local file, err = io.open(path, "wb")
  local ok = file
  if file then
    ok, err = file:write(text)
    local closed, why = file:close()
    ok, err = ok and closed, err or why
  end
  if not ok then error(core.error("io", "new: " .. err), 0) end
end

local function has_kvm()
  local file = io.open("/dev/kvm", "r+")
  if file then file:close() end
  return file ~= nil
end

--- Writes the files that prepare() has planned, and prints what to do next; returns the exit code.
function new.run(plan)
  for _, file in ipairs(plan.files) do
    write(file.path, file.text)
    print("wrote " .. file.path)
  end
  local hint = NEXT[plan.kind]:gsub("%%s", has_kvm() and "" or " -o accel=none")
  print("try: " .. filled(hint, plan.name))
  return 0
end

return new
