--- A test's console: everything the guest has printed, and waits for it.

local await = require "lunik.testing.await"
local core = require "lunik.core"
local options = require "lunik.options"
local runner = require "lunik.testing.runner"

local Console = {}
Console.__index = Console

-- The guest begins to boot: has it all that was printed before, so that ready() looks only at what
-- comes now.
local function mark_boot(self)
  if self.port then core.hooks.console(self.port.object) end
  self.booting, self.boots = #self.printed + 1, self.boots + 1
end

-- Looks for fatal patterns in lines that have not been looked at.
local function look(self)
  while true do
    local line, rest = self.printed:match("^([^\n]*)\n()", self.seen)
    if not line then return end
    self.seen = rest
    for _, pattern in ipairs(self.fatal) do
      if line:find(pattern) and not self.failure then
        self.failure = ("the console printed '%s', which matches '%s',"):format(line, pattern)
      end
    end
  end
end

-- The text that is printed and not taken, for a message.
local function untaken(self)
  local text = self.printed:sub(self.position)
  return text == "" and "no text" or ("'%s'"):format(text:sub(-200):gsub("\n", "\\n"))
end

--- A console of test t that takes what the machine's serial port prints, if that is kept.
function Console.new(t)
  local self = setmetatable({
    test = t, printed = "", position = 1, booting = 1, boots = 0, fatal = {}, seen = 1,
  }, Console)
  local ok, port = pcall(t.m.console, t.m)
  if ok then
    self.port = port
    port:feed(function(bytes) self:append(bytes) end)
  end
  self.subscription = t.m:on_reset(function() mark_boot(self) end)
  return self
end

--- Adds text as if the guest had printed it.
function Console:append(text)
  self.printed = self.printed .. text:gsub("\r", "")
  look(self)
end

--- Whether text that matches has been printed since the last boot began; takes it if it was.
function Console:is_ready(pattern)
  local _, last = self.printed:find(pattern, self.booting)
  if last and self.position <= last then self.position = last + 1 end
  return last ~= nil
end

--- The test fails as soon as a line matches the pattern, whatever it waits for.
function Console:fail_on(pattern)
  table.insert(self.fatal, options.value("fail_on: pattern", pattern, "string"))
  self.seen = 1
  look(self)
end

--- Types text.
function Console:send(text)
  if not self.port then runner.fail "the machine's console can't be typed at" end
  self.port:write(text)
end

--- Takes a line that has been printed; nil if there is none.
function Console:line()
  local text, rest = self.printed:match("^([^\n]*)\n()", self.position)
  if text then self.position = rest end
  return text
end

--- Waits for text that matches the pattern and takes everything up to its end; returns the
-- captures, or the match. Options: timeout in seconds, plain = true for plain text.
function Console:expect(pattern, opts)
  opts = options.parse("expect", opts, { timeout = "seconds", plain = "boolean" })
  local what = ("'%s' on the console"):format(pattern:gsub("\n", "\\n"))
  local timeout = opts.timeout or self.test.timeout
  local found = table.pack(await.on(self.test, what, timeout, function()
    local result = table.pack(self.printed:find(pattern, self.position, opts.plain))
    if result[1] then
      self.position = result[2] + 1
      if result.n > 2 then return table.unpack(result, 3, result.n) end
      return self.printed:sub(result[1], result[2])
    end
  end, function() return untaken(self) end))
  return table.unpack(found, 1, found.n)
end

--- All text; with a number: the last so many lines.
function Console:text(lines)
  if not lines then return self.printed end
  local all = {}
  for line in self.printed:gmatch "([^\n]*)\n?" do all[#all + 1] = line end
  while all[#all] == "" do all[#all] = nil end
  return table.concat(all, "\n", math.max(1, #all - lines + 1))
end

return Console
