--- The reference of the Lua API (library/*.lua), for help and completion at the prompt.

local core = require "lunik.core"
local luacats = require "lunik.command.luacats"

local reference = {}

local FILES = { "lunik", "agent", "testing" }

local index -- { classes = name -> item, functions = list, by_name = last name -> list }

--- Returns the folder of the files, in a checkout or an installation; nil: they are not installed.
function reference.folder()
  for _, folder in ipairs { "/../../library", "/../../../lunik/library" } do
    local path = core.shared.directory .. folder
    if core.lstat(path) == "dir" then return path end
  end
end

-- Returns a definition file's text, or nil.
local function read(name)
  local folder = reference.folder()
  local file = folder and io.open(("%s/%s.lua"):format(folder, name))
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function add_function(item)
  local last = item.name:match "[%w_]+$"
  local same = index.by_name[last] or {}
  index.by_name[last] = same
  same[#same + 1] = item
  index.functions[item.name] = item
end

local function load_file(name)
  local text = read(name)
  for _, section in ipairs(text and luacats.parse(text).sections or {}) do
    for _, item in ipairs(section.items) do
      if item.kind == "function" then add_function(item) end
      if item.kind == "class" then index.classes[item.name] = item end
    end
  end
end

local function get()
  if not index then
    index = { classes = {}, functions = {}, by_name = {} }
    for _, name in ipairs(FILES) do load_file(name) end
  end
  return index
end

--- Reads the files, which a sandbox may not allow later.
function reference.load() get() end

--- Returns the class of that name ("Machine", "lunik.Machine"), or nil.
function reference.class(name)
  return get().classes[name] or get().classes["lunik." .. name]
end

--- Returns the functions whose last name that is: of "wait" Machine:wait, Watch:wait, ...
function reference.functions(name)
  return get().by_name[name] or {}
end

--- Returns the function of that whole name ("Machine:wait", "lunik.machine"), or nil.
function reference.named(name)
  return get().functions[name] or get().functions["lunik." .. name]
end

--- Returns the names of all classes, functions and methods, without duplicates.
function reference.names()
  local names = {}
  for name in pairs(get().by_name) do names[name] = true end
  for name in pairs(get().classes) do names[name:match "([^.]+)$"] = true end
  return names
end

-- Returns the class that a type means ("lunik.Machine?", "table<...>": none), or nil.
local function class_of_type(text)
  return text and get().classes[text:match "^[%w_.-]+" or ""]
end

--- Returns the class of what a function returns first, and whether that is a list of them.
function reference.result(item)
  local result = item.returns[1]
  return class_of_type(result and result.type), result and result.type:find "%[%]" ~= nil
end

--- Returns the fields of the option table that a function takes as argument number n, or nil.
function reference.options(item, n)
  local param = item.params[n]
  local class = class_of_type(param and param.type)
  if class then return class.fields end
  local fields = {}
  for name, kind in (param and param.type or ""):gsub("^{(.*)}$", "%1"):gmatch
    "([%a_][%w_]*)%??:%s*([^,]+)" do
    fields[#fields + 1] = { name = name, type = kind, doc = "" }
  end
  return #fields > 0 and fields or nil
end

--- Returns the names of a class, and of those it is derived from: {methods = set, fields = set}.
function reference.members(class)
  local out = { methods = {}, fields = {} }
  while class do
    for _, field in ipairs(class.fields) do
      if field.name:find "^[%a_]" then out.fields[field.name] = true end
    end
    local short = class.name:gsub("^lunik%.", "")
    for name in pairs(get().functions) do
      local method = name:match("^" .. short:gsub("%p", "%%%0") .. ":([%w_]+)$")
      if method then out.methods[method] = true end
    end
    class = class.parent and get().classes[class.parent]
  end
  return out
end

return reference
