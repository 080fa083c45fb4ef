--- The sandbox: what the process gives up before a machine starts. runtime/sandbox.c does it.

local core = require "lunik.core"
local boards = require "lunik.boards"
local options = require "lunik.options"

local sandbox = {}

local GROUPS = { files = 1, sockets = 2, network = 4, exec = 8 }
local NAMES = { "files", "sockets", "network", "exec" }

local FIELDS = { allow = "table", read = "table", write = "table", user = "any", group = "any" }

-- Kept when the library is loaded again: at_start, what to enter when the first machine starts;
-- by_default: nobody asked for it.
local shared = core.shared

-- ---- policies ----------------------------------------------------------------------------------

local function strings(what, list)
  local out = {}
  for i, value in ipairs(list or {}) do
    out[i] = options.value(("%s: [%d]"):format(what, i), value, "string")
  end
  options.known(what, list or {}, out)
  return out
end

local function id(what, value)
  if value == nil then return nil end
  if math.type(value) == "integer" and value >= 0 then return tostring(value) end
  if type(value) ~= "string" then
    options.fail("invalid", "%s: %s is not a user or a group (want a name or a number)", what,
      options.show(value))
  end
  return options.value(what, value, "string")
end

--- A checked policy of true (nothing is allowed), a table, or false (no sandbox).
function sandbox.parse(what, given)
  if given == false then return false end
  if given == true then given = {} end
  local t = options.parse(what, given, FIELDS)
  local policy = { allow = 0, user = id(what .. ": user", t.user),
    group = id(what .. ": group", t.group), read = strings(what .. ": read", t.read),
    write = strings(what .. ": write", t.write) }
  for _, name in ipairs(strings(what .. ": allow", t.allow)) do
    policy.allow = policy.allow | GROUPS[options.choice(what .. ": allow", name, NAMES)]
  end
  return policy
end

-- What the library itself reads later: its modules, and the boards of further machines.
local function add_own_paths(policy)
  local read = { table.unpack(policy.read) }
  for _, directory in ipairs { shared.directory, table.unpack(boards.directories) } do
    if core.scandir(directory) then read[#read + 1] = directory end
  end
  return { allow = policy.allow, user = policy.user, group = policy.group, read = read,
    write = policy.write }
end

-- ---- named errors ------------------------------------------------------------------------------

local NO_PROGRAMS = "the sandbox does not allow programs to be started: call lunik.sandbox { "
  .. 'allow = { "exec", "files" } } before a machine starts, or run lunik --no-sandbox; never on a '
  .. "vCPU's thread"
local REFUSED = { [1] = true, [13] = true } -- EPERM, EACCES

-- Standard functions that return nil, message, errno, and what is wrong when they fail at all.
local STANDARD = {
  [io] = { open = false, popen = NO_PROGRAMS, tmpfile = false },
  [os] = { execute = NO_PROGRAMS, remove = false, rename = false },
}

local function explained(known, ...)
  local ok, message, code = ...
  if ok or message == "exit" or message == "signal" then return ... end
  local denial = known or REFUSED[code] and core.sandbox_denial()
  if not denial then return ... end
  return ok, ("%s (%s)"):format(message, denial), code
end

local function name_denials()
  for library, names in pairs(STANDARD) do
    for name, known in pairs(names) do
      local fn = library[name]
      library[name] = function(...)
        core.sandbox_denial() -- an old one
        return explained(known, fn(...))
      end
    end
  end
end

-- ---- entering ----------------------------------------------------------------------------------

local function enter(policy)
  local paths = #policy.read + #policy.write > 0
  if policy.allow & GROUPS.files ~= 0 then
    core.sandbox(policy)
  else
    local ok, err = pcall(core.sandbox, add_own_paths(policy))
    -- Without Landlock there are no paths: nothing can be opened, unless that was asked for.
    if not ok and (err.code ~= "unsupported" or paths) then error(err, 0) end
    if not ok then core.sandbox(policy) end
  end
  shared.at_start = nil
  name_denials()
end

--- lunik.sandbox(policy)
function sandbox.sandbox(...)
  if select("#", ...) == 0 then
    local bits = core.sandboxed()
    if not bits then return nil end
    local allow = {}
    for _, name in ipairs(NAMES) do
      if bits & GROUPS[name] ~= 0 then allow[#allow + 1] = name end
    end
    return { allow = allow, paths = bits & 16 ~= 0 }
  end
  local policy = sandbox.parse("sandbox", (...))
  if policy then
    enter(policy)
  elseif core.sandboxed() then
    options.fail("state", "sandbox: there is no way out of it")
  else
    shared.at_start = nil
  end
end

--- Has the first start of a machine enter get()'s policy. by_default: where that can't be, the
-- machine starts without.
function sandbox.at_start(get, by_default)
  shared.at_start, shared.by_default = get, by_default
end

-- What keeps a process from entering that has not been asked to: the host, threads that are there.
local BEYOND_IT = { unsupported = true, state = true }

local function enter_at_start()
  local ok, err = pcall(function() enter(shared.at_start()) end)
  if ok then return end
  if not shared.by_default or not BEYOND_IT[err.code] then error(err, 0) end
  shared.at_start = nil
  warn("lunik: not entered: ", err.message)
end

--- A machine is about to start; own: its option "sandbox", parsed, or nil.
function sandbox.before_start(own)
  if own == false or core.sandboxed() then return end
  if own then return enter(own) end
  if shared.at_start then enter_at_start() end
end

-- Modules that do what the sandbox would forbid, and what they need.
local NEEDS = {
  luv = { "network", "exec" }, socket = { "network" }, ["socket.core"] = { "network" },
  posix = { "network", "exec" }, cqueues = { "network" },
}

--- The lunik command's policy: what a script can be expected to do once its machines run.
function sandbox.for_script()
  if core.sanitized() then
    options.fail("unsupported", "sandbox: this build's sanitizer does what a sandbox refuses")
  end
  local allow = { "files", "sockets" }
  for module, groups in pairs(NEEDS) do
    if package.loaded[module] then
      for _, group in ipairs(groups) do allow[#allow + 1] = group end
    end
  end
  return sandbox.parse("sandbox", { allow = allow })
end

return sandbox
