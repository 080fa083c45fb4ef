-- symbols.lua VERSION BUILD: adds the libraries' new symbols to the lists from which Debian's tools
-- find out what version of a library a program needs at least. A symbol that is listed keeps the
-- version in which it came. Symbols that have vanished stay, so that the package's build fails.
local version, build = arg[1], arg[2]

local LIBRARIES = { ["liblunik.so.0"] = "liblunik0", ["liblunik-lua.so.0"] = "lua-lunik" }

-- Returns the symbols, and the versions, that a library defines: "NAME@VERSION".
local function defined(library)
  local names = {}
  local nm <close> = assert(io.popen(("nm -D --defined-only '%s/%s'"):format(build, library)))
  for line in nm:lines() do
    local kind, name = line:match "^%x+ (%a) (%S+)$"
    table.insert(names, kind == "A" and name .. "@" .. name or (name:gsub("@@", "@")))
  end
  return names
end

-- Reads a list: symbol -> the version in which it came.
local function listed(path)
  local since = {}
  for line in io.lines(path) do
    local name, came = line:match "^ (%S+) (%S+)$"
    if name then since[name] = came end
  end
  return since
end

for library, package in pairs(LIBRARIES) do
  local path = ("packaging/debian/%s.symbols"):format(package)
  local since, names = listed(path), {}
  for _, name in ipairs(defined(library)) do since[name] = since[name] or version end
  for name in pairs(since) do table.insert(names, name) end
  table.sort(names)
  local file <close> = assert(io.open(path, "w"))
  file:write(library, " ", package, " #MINVER#\n")
  for _, name in ipairs(names) do file:write(" ", name, " ", since[name], "\n") end
end
