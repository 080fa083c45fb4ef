--- An open file or block device of a guest.

local options = require "lunik.options"
local protocol = require "lunik.agent.protocol"

local File = {}
File.__index = File
File.__name = "lunik.AgentFile"

local file = { File = File }

--- Makes the object for a handle of the agent.
function file.new(agent, handle, path)
  return setmetatable({ agent = agent, handle = handle, path = path }, File)
end

local function call(self, command, arguments, opts)
  if not self.handle then
    options.fail("gone", "%s: the file '%s' is closed", command, self.path)
  end
  arguments.handle = self.handle
  return self.agent:call(command, arguments, opts)
end

local integer, text = protocol.integer, protocol.text

local function number(what, value)
  return options.value(what, value, "address")
end

--- Reads size bytes from an offset on; fewer at the end. Without an offset: one read from where the
-- file stands.
function File:pread(offset, size)
  size = options.value("pread: size", size, "size")
  if offset == nil then
    return text(call(self, "pread", { size = math.min(size, protocol.DATA) }), "data")
  end
  local parts, at = {}, number("pread: offset", offset)
  while size > 0 do
    local want = math.min(size, protocol.DATA)
    local data = text(call(self, "pread", { offset = at, size = want }), "data")
    parts[#parts + 1] = data
    at, size = at + #data, size - #data
    if #data < want then break end
  end
  return table.concat(parts)
end

--- Writes data at an offset; without an offset, where the file stands.
function File:pwrite(offset, data)
  options.value("pwrite: offset", offset or 0, "address")
  if type(data) ~= "string" then
    options.fail("invalid", "pwrite: data: %s is not a string (want a string)",
      options.show(data))
  end
  local at = offset and number("pwrite: offset", offset)
  for from = 1, #data, protocol.DATA do
    local part = data:sub(from, from + protocol.DATA - 1)
    local done = integer(call(self, "pwrite", { offset = at, data = part }), "size")
    if done < #part then
      options.fail("no-space", "pwrite: '%s' took %d of %d bytes", self.path, from - 1 + done,
        #data)
    end
    at = at and at + #part
  end
end

--- Waits until what was written is on the disk.
function File:fsync()
  call(self, "fsync", {})
end

--- Returns the size in bytes and, of a block device, the sizes of its logical and physical blocks.
function File:size()
  local fields = call(self, "size", {})
  return integer(fields, "size"), protocol.maybe_integer(fields, "logical"),
    protocol.maybe_integer(fields, "physical")
end

local function of_range(command)
  return function(self, offset, size)
    call(self, command, { offset = number(command .. ": offset", offset),
      size = options.value(command .. ": size", size, "size") })
  end
end

--- Discards a range of a block device; makes a hole in a file.
File.discard = of_range "discard"
--- Makes a range read as zeroes.
File.zero = of_range "zero"
--- Allocates a range of a file.
File.allocate = of_range "allocate"

--- Sets the size of a file.
function File:truncate(size)
  call(self, "truncate", { size = options.value("truncate: size", size, "size") })
end

-- Arguments of a range that may be left out: to the end of the file.
local function range(what, offset, size, more)
  more.offset = offset and number(what .. ": offset", offset)
  more.size = size and options.value(what .. ": size", size, "size")
  return more
end

--- Returns the SHA-256 of a range, as the guest reads it, in hexadecimal digits, and how many bytes
-- that were. Not given: the whole file.
function File:sha256(offset, size, opts)
  local fields = call(self, "sha256", range("sha256", offset, size, {}), opts)
  return text(fields, "sha256"), integer(fields, "size")
end

--- Fills a range with a pattern that a seed makes; offset and size are multiples of 8.
function File:fill(offset, size, seed, opts)
  call(self, "fill", range("fill", offset, size, {
    seed = options.value("fill: seed", seed, "integer") }), opts)
end

--- Compares a range with the pattern of a seed. Returns true; or false and the offset of the first
-- 8 bytes that differ.
function File:verify(offset, size, seed, opts)
  local differs = integer(call(self, "verify", range("verify", offset, size, {
    seed = options.value("verify: seed", seed, "integer") }), opts), "differs")
  if differs == -1 then return true end
  return false, differs
end

--- Calls ioctl() with a number or with data, which the kernel may change. Returns its result and
-- the data.
function File:ioctl(request, value)
  request = options.value("ioctl: request", request, "address")
  local arguments = { request = request }
  if type(value) == "string" then
    arguments.data = value
  else
    arguments.value = value and options.value("ioctl: value", value, "integer")
  end
  local fields = call(self, "ioctl", arguments)
  return integer(fields, "result"), fields.data
end

--- Closes the file; does nothing the second time.
function File:close()
  if not self.handle then return end
  call(self, "close", {})
  self.handle = nil
end

function File:__tostring()
  return ("file '%s' of a guest (%s)"):format(self.path, self.handle and "open" or "closed")
end

options.guard(File.__name, File, File)

-- At the end of a scope: an agent that can't be asked any more has closed it.
function File:__close()
  pcall(File.close, self)
end

return file
