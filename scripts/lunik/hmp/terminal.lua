--- The monitor for people on a character device: a prompt, lines that are edited, answers.

local core = require "lunik.core"
local monitor = require "lunik.hmp.monitor"
local stream = require "lunik.stream"
local wait = require "lunik.wait"

local terminal = {}

local PROMPT = "(qemu) "
local LINE_MAX = 4096

local Terminal = {}
Terminal.__index = Terminal

-- Prints text; what a client does not read is lost.
local function print_out(self, text)
  local ok, err = pcall(self.stream.write, self.stream, (text:gsub("\n", "\r\n")))
  if not ok and err.code ~= "gone" and err.code ~= "no-space" then error(err, 0) end
end

local function run(self, line)
  local name = line:match "^%s*(%S*)"
  if (name == "quit" or name == "q") and self.on_quit then return self.on_quit() end
  wait.spawn(function()
    local text = self.human:run(line)
    core.deliver_events()
    print_out(self, text .. PROMPT)
  end)
end

local keys = {
  ["\b"] = function(self)
    if self.line == "" then return end
    self.line = self.line:sub(1, -2)
    print_out(self, "\b \b")
  end,
  ["\21"] = function(self) -- Ctrl-U
    print_out(self, ("\b \b"):rep(#self.line))
    self.line = ""
  end,
  ["\r"] = function(self)
    local line = self.line
    self.line = ""
    print_out(self, "\n")
    run(self, line)
  end,
}
keys["\127"], keys["\n"] = keys["\b"], keys["\r"]

local function take(self, bytes)
  for char in bytes:gmatch "." do
    local after_return = self.last == "\r" and char == "\n"
    self.last = char
    if keys[char] and not after_return then
      keys[char](self)
    elseif not keys[char] and char:find "[^%c]" and #self.line < LINE_MAX then
      self.line = self.line .. char
      print_out(self, char)
    end
  end
end

local function greet(self)
  self.line = ""
  print_out(self, ("Lunik %s monitor - type 'help' for the commands\n%s"):format(core.version,
    PROMPT))
end

--- Makes a monitor on a character device. on_quit: what the command quit does.
function terminal.new(m, chardev, on_quit)
  local self = setmetatable({ stream = stream.of(m, chardev), human = monitor.new(m), line = "",
    on_quit = on_quit }, Terminal)
  self.stream:on_open(function() greet(self) end)
  self.stream:on_data(function(bytes) take(self, bytes) end)
  if self.stream.connected then greet(self) end
  return self
end

return terminal
