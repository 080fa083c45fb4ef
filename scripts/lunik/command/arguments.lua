--- Parses the command line by the table of options.

local core = require "lunik.core"
local known = require "lunik.command.options_table"

local arguments = {}

local Usage = { __tostring = function(err) return err.message end }

--- Raises an error that names what is wrong with the command line.
function arguments.fail(...)
  error(setmetatable({ message = string.format(...) }, Usage), 0)
end

--- Whether an error was raised by arguments.fail().
function arguments.is_usage(err)
  return getmetatable(err) == Usage
end

--- Returns the command of that name, or nil; without a name, the one that needs not be named.
function arguments.command(name)
  for _, command in ipairs(known.commands) do
    if name == nil or command.name == name then return command end
  end
end

--- Returns the names of all commands.
function arguments.commands()
  local names = {}
  for i, command in ipairs(known.commands) do names[i] = command.name end
  return names
end

local function find(command, name)
  for _, option in ipairs(command.options) do
    for _, candidate in ipairs(option.names) do
      if candidate == name then return option end
    end
  end
end

local function unrecognized(command, word)
  local name, names = word:match "^[^=]+", {}
  for _, option in ipairs(command.options) do
    table.move(option.names, 1, #option.names, #names + 1, names)
  end
  table.sort(names)
  local near = #name > 2 and core.suggest(name, names)
  arguments.fail("unrecognized option '%s'%s", word,
    near and (" (did you mean '%s'?)"):format(near) or "")
end

-- Splits a word into the option, its name and the value that the word has, or nil: "-eSTAT",
-- "--name=VALUE".
local function split(command, word)
  local name, value
  if word:sub(1, 2) == "--" then
    name, value = word:match "^([^=]+)=?(.*)$"
    value = word:find "=" and value or nil
  else
    name, value = word:sub(1, 2), word:sub(3)
    value = value ~= "" and value or nil
  end
  local option = find(command, name) or unrecognized(command, word)
  if value and not option.value then
    if name == word:sub(1, 2) then unrecognized(command, word) end
    arguments.fail("'%s' takes no value", name)
  end
  return option, name, value
end

local function store(parsed, option, value)
  table.insert(parsed.given, { option.key, value })
  if option.many then
    parsed[option.key] = parsed[option.key] or {}
    table.insert(parsed[option.key], value)
  else
    parsed[option.key] = value
  end
end

-- Parses the option at argv[i]; returns the index after it, and whether it ends the options.
local function take(command, parsed, argv, i)
  local option, name, value = split(command, argv[i])
  i = i + 1
  if option.value and not value and not option.optional then
    value = argv[i] or arguments.fail("'%s' needs an argument", name)
    i = i + 1
  end
  store(parsed, option, value or option.optional or true)
  return i, name == "--"
end

--- Parses the options of a command from argv[first] on, up to the first other word, or all of them
-- if the command's options may be anywhere. Returns the options by key; `given`, an array of {key,
-- value} in their order; `words`, an array of the other words; and `rest`, the index of the first
-- one, or nil.
function arguments.parse(command, argv, first)
  local parsed, i, ended = { given = {}, words = {} }, first, false
  while argv[i] do
    if not ended and argv[i]:find "^%-." then
      i, ended = take(command, parsed, argv, i)
    else
      parsed.rest = parsed.rest or i
      ended = ended or not command.mixed
      table.insert(parsed.words, argv[i])
      i = i + 1
    end
  end
  return parsed
end

--- Takes those options out of argv that may also follow the first other word, up to "--", which is
-- taken out as well.
function arguments.parse_late(command, parsed, argv)
  local i = parsed.rest + 1
  while argv[i] and argv[i] ~= "--" do
    local option = find(command, argv[i]:match "^[^=]*")
    if option and option.late then
      for _ = i + 1, (take(command, parsed, argv, i)) do table.remove(argv, i) end
    else
      i = i + 1
    end
  end
  if argv[i] then table.remove(argv, i) end
end

return arguments
