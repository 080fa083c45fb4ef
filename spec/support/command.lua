-- For specs: runs commands and keeps what they say.
local command = {}

command.build = os.getenv("LUNIK_BUILD") or "build"
command.lunik = command.build .. "/lunik"
command.interpreter = os.getenv("LUNIK_INTERPRETER") or "lua5.4"

-- A folder for memory in files: /dev/shm, or that of temporary files where there is none to write.
command.memory_folder = os.execute "test -w /dev/shm" and "/dev/shm" or "/tmp"

-- Returns the contents of a file.
function command.read(path)
  local file = assert(io.open(tostring(path), "rb"))
  local text = file:read("a")
  file:close()
  return text
end

-- Writes a file.
function command.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

-- A temporary file that goes when its variable goes out of scope: local path <close> = file(text).
-- Use it as a string.
function command.file(text, suffix)
  local path = os.tmpname()
  if suffix then
    os.remove(path)
    path = path .. suffix
  end
  command.write(path, text)
  return setmetatable({}, {
    __tostring = function() return path end,
    __concat = function(a, b) return tostring(a) .. tostring(b) end,
    __close = function() os.remove(path) end,
  })
end

-- Runs a shell command: standard output, standard error, exit code (128 + N for signal N).
function command.run(line, input)
  local files = { input = os.tmpname(), out = os.tmpname(), err = os.tmpname() }
  command.write(files.input, input or "")
  local _, how, code = os.execute(("{ %s; } <%s >%s 2>%s"):format(line, files.input, files.out,
    files.err))
  local out, err = command.read(files.out), command.read(files.err)
  for _, path in pairs(files) do
    os.remove(path)
  end
  return out, err, how == "signal" and 128 + code or code
end

-- Runs a Lua script that has the library as lunik, in the interpreter of the specs; prefix goes
-- before the interpreter in the shell's line. Returns as run() does.
function command.script(text, prefix)
  local path <close> = command.file(([[
    package.path = "scripts/?.lua;scripts/?/init.lua;" .. package.path
    package.cpath = "%s/lua/?.so;" .. package.cpath
    local lunik = require "lunik"
  ]]):format(command.build) .. text)
  return command.run(("%s %s %s"):format(prefix or "", command.interpreter, path))
end

-- Whether vCPUs can be had here.
function command.kvm()
  local file = io.open("/dev/kvm", "r+")
  if file then
    file:close()
  end
  return file ~= nil
end

-- Whether this is root.
function command.root()
  return os.execute("test $(id -u) = 0") == true
end

return command
