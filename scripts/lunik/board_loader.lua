--- Finds boards and reads their options.
--
-- A board is a Lua file that returns {name=, description=, options={name = default, ...},
-- build=function(m, opt), finish=function(m, opt)}. An option's kind follows from its default, or
-- is given: {kind=, default=, doc=, choices=}.

local core = require "lunik.core"
local options = require "lunik.options"

local fail = options.fail

local boards = { directories = {} }

--- Lists the names of the boards that come with the library.
function boards.list()
  local names, seen = {}, {}
  for _, directory in ipairs(boards.directories) do
    for _, file in ipairs(core.scandir(directory) or {}) do
      local name = file:match "^([^.].*)%.lua$"
      if name and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

local function find(name)
  if name:find "/" or name:find "%.lua$" then return name end
  for _, directory in ipairs(boards.directories) do
    local path = directory .. "/" .. name .. ".lua"
    local file, _, errno = io.open(path)
    if file then
      file:close()
      return path
    end
    local err = core.sys_error(errno, "machine: board: " .. path)
    if err.code ~= "not-found" then error(err, 0) end
  end
  local known = boards.list()
  fail("not-found", "machine: board: '%s' is not a known board%s (want %s or a file's path)", name,
    options.hint(name, known), table.concat(known, ", "))
end

local fields = { name = "string", description = "string", options = "table", build = "function",
  finish = "function" }

local function check(what, board)
  if type(board) ~= "table" then
    fail("invalid", "%s: returns %s (want a board's table)", what, options.show(board))
  end
  options.known(what, board, fields)
  for key, kind in pairs(fields) do
    if board[key] ~= nil then options.value(what .. ": " .. key, board[key], kind) end
  end
  if not board.build then fail("invalid", "%s: has no build function", what) end
  return board
end

--- Loads a board by its name or its file's path; a table is taken as a board itself.
function boards.load(spec)
  if type(spec) == "table" then return check("machine: board", spec) end
  if type(spec) ~= "string" then
    fail("invalid", "machine: board: %s is not a board (want %s, a file's path, or a board's "
      .. "table)", options.show(spec), table.concat(boards.list(), ", "))
  end
  local path = find(spec)
  options.open("machine: board", path):close()
  local chunk, err = loadfile(path)
  if not chunk then fail("script", "machine: board: %s", err) end
  return check("board " .. path, chunk())
end

local size_pattern = "^%d+[KMGTPE]$"

--- Derives {kind=, default=, choices=} from an option's default.
local function describe(name, default)
  if type(default) == "table" then
    local what = ("board: options: %s"):format(name)
    options.known(what, default, { kind = true, default = true, doc = true, choices = true })
    if default.kind then options.choice(what .. ": kind", default.kind, options.kinds) end
    return { kind = default.kind or (default.choices and "string" or "any"),
      default = default.default, choices = default.choices }
  elseif math.type(default) == "integer" then
    return { kind = "integer", default = default }
  elseif type(default) == "string" and default:find(size_pattern) then
    return { kind = "size", default = default }
  end
  return { kind = type(default), default = default }
end

--- Returns the options of a board: name -> {kind=, default=, choices=}.
function boards.options(board)
  local out = {}
  for name, default in pairs(board.options or {}) do
    if type(name) ~= "string" then
      fail("invalid", "board: options: %s is not a name (want name = default)", options.show(name))
    end
    out[name] = describe(name, default)
  end
  return out
end

return boards
