--- The sandbox, which the process enters before a machine starts: its policies. runtime/sandbox/
-- enforces it.

local core = require "lunik.core"
local boards = require "lunik.board_loader"
local options = require "lunik.options"
local paths = require "lunik.sandbox_paths"

local sandbox = {}

local GROUPS = { files = 1, sockets = 2, network = 4, exec = 8, listen = 32 }
local NAMES = { "files", "listen", "sockets", "network", "exec" }

local FIELDS = { allow = "table", read = "table", write = "table", default = "boolean",
  user = "any", group = "any" }

-- Kept when the library is loaded again: at_start, a function that returns the policy to enter when
-- the first machine starts; by_default: whether the script has not asked for it.
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

--- Converts true (nothing is allowed) or a table to a checked policy; false (no sandbox) stays
-- false.
function sandbox.parse(what, given)
  if given == false then return false end
  if given == true then given = {} end
  local t = options.parse(what, given, FIELDS)
  local policy = { allow = t.default and GROUPS.listen or 0, default = t.default or false,
    user = id(what .. ": user", t.user), group = id(what .. ": group", t.group),
    read = strings(what .. ": read", t.read), write = strings(what .. ": write", t.write) }
  for _, name in ipairs(strings(what .. ": allow", t.allow)) do
    policy.allow = policy.allow | GROUPS[options.choice(what .. ": allow", name, NAMES)]
  end
  return policy
end

-- Returns the policy with the paths that the library reads later, its modules and boards; and, if
-- it is the default policy, with the default paths.
local function with_own_paths(policy)
  local read, write = {}, {}
  if policy.default then read, write = paths.lists() end
  table.insert(read, shared.directory)
  table.move(boards.directories, 1, #boards.directories, #read + 1, read)
  return { allow = policy.allow, user = policy.user, group = policy.group, read = policy.read,
    write = policy.write, read_if_there = read, write_if_there = write }
end

-- ---- named errors ------------------------------------------------------------------------------

local NO_PROGRAMS = "the sandbox does not allow programs to be started: call lunik.sandbox { "
  .. 'allow = { "exec", "files" } } before a machine starts, or run lunik --no-sandbox; never on a '
  .. "vCPU's thread"
local REFUSED = { [1] = true, [13] = true } -- EPERM, EACCES

-- Standard functions that return nil, message, errno; text: the reason whenever they fail.
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
        core.sandbox_denial() -- clears that of an earlier call
        return explained(known, fn(...))
      end
    end
  end
end

-- ---- entering ----------------------------------------------------------------------------------

local function enter(policy)
  if policy.allow & GROUPS.files ~= 0 and not policy.default then
    core.sandbox(policy)
  else
    local ok, err = pcall(core.sandbox, with_own_paths(policy))
    -- Without Landlock, enters without paths, so that no file can be opened; fails if the policy
    -- asks for paths.
    local asked = policy.default or #policy.read + #policy.write > 0
    if not ok and (err.code ~= "unsupported" or asked) then error(err, 0) end
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
    options.fail("state", "sandbox: false: the process is in a sandbox and can't leave it")
  else
    shared.at_start = nil
  end
end

--- Makes the first start of a machine enter get()'s policy. by_default: if the host refuses, the
-- machine starts without.
function sandbox.at_start(get, by_default)
  shared.at_start, shared.by_default = get, by_default
end

-- Errors for which a default sandbox is not entered: the host can't, or the process has threads.
local BEYOND_IT = { unsupported = true, state = true }

-- Enters the default sandbox with all files allowed, for hosts without Landlock.
local function enter_without_paths(policy)
  if not policy.default then return false end
  local ok, err = pcall(enter, { allow = policy.allow | GROUPS.files, read = {}, write = {} })
  if not ok and not BEYOND_IT[err.code] then error(err, 0) end
  return ok
end

local function enter_at_start()
  local policy
  local ok, err = pcall(function()
    policy = shared.at_start()
    enter(policy)
  end)
  if ok then return end
  if not shared.by_default or not BEYOND_IT[err.code] then error(err, 0) end
  if err.code == "unsupported" and policy and enter_without_paths(policy) then
    return warn("lunik: entered with all files allowed: ", err.message)
  end
  shared.at_start = nil
  warn("lunik: not entered: ", err.message)
end

--- To be called before a machine starts. own: its option "sandbox", parsed, or nil.
function sandbox.before_start(own)
  if own == false or core.sandboxed() then return end
  if own then return enter(own) end
  if shared.at_start then enter_at_start() end
end

-- Modules that need more than the default sandbox allows, and the groups that they need.
local NEEDS = {
  luv = { "network", "exec" }, socket = { "network" }, ["socket.core"] = { "network" },
  posix = { "network", "exec" }, cqueues = { "network" },
}

-- Whether a machine has a network that is made of sockets of this process.
local function has_user_network()
  for _, m in ipairs(core.machines()) do
    for _, object in ipairs(m:objects()) do
      if object.type == "netdev-user" then return true end
    end
  end
  return false
end

--- Returns the lunik command's policy, which allows what scripts usually do once their machines
-- run. more: a parsed policy to add.
function sandbox.for_script(more)
  if core.sanitized() then
    options.fail("unsupported", "sandbox: this build's sanitizer needs calls that it refuses")
  end
  local policy = sandbox.parse("sandbox", { default = true })
  policy.allow = policy.allow | (more and more.allow or 0)
  policy.read, policy.write = more and more.read or {}, more and more.write or {}
  if has_user_network() then policy.allow = policy.allow | GROUPS.network end
  for module, groups in pairs(NEEDS) do
    if package.loaded[module] then
      for _, group in ipairs(groups) do policy.allow = policy.allow | GROUPS[group] end
    end
  end
  -- The files that programs need are not known: allows all.
  if policy.allow & GROUPS.exec ~= 0 then policy.allow = policy.allow | GROUPS.files end
  if policy.allow & GROUPS.files ~= 0 then policy.default = false end
  return policy
end

--- Parses --sandbox=LIST: "on" for the default policy, groups, "read:PATH" and "write:PATH"; "none"
-- adds nothing. Returns a function that returns the policy.
function sandbox.from_list(list)
  local given, base = { allow = {}, read = {}, write = {} }, false
  for word in list:gmatch "[^,]+" do
    local how, path = word:match "^(%l+):(.+)$"
    if word == "on" then
      base = true
    elseif how == "read" or how == "write" then
      table.insert(given[how], path)
    elseif word ~= "none" then
      table.insert(given.allow, word)
    end
  end
  local policy = sandbox.parse("--sandbox", given)
  return base and function() return sandbox.for_script(policy) end or function() return policy end
end

return sandbox
