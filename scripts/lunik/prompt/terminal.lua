--- The terminal that the running code has been typed at: the command's own or that of an attached
-- client. It has write(text), clear(), keys(fn), which hands fn what is typed until it returns
-- true, stop_keys(), and interactive, whether it is a terminal at all.

local core = require "lunik.core"

local terminal = {}

local shared = core.shared
shared.terminals = shared.terminals or setmetatable({}, { __mode = "k" }) -- coroutine -> terminal

--- Sets the terminal of code outside of attached prompts; nil: none.
function terminal.set_main(t) shared.main_terminal = t end

--- Sets the terminal of a coroutine.
function terminal.set(thread, t) shared.terminals[thread] = t end

--- Returns the attached terminal of the running coroutine, or nil.
function terminal.attached() return shared.terminals[coroutine.running()] end

--- Returns the terminal of the running code, or nil.
function terminal.current()
  return terminal.attached() or select(2, coroutine.running()) and shared.main_terminal or nil
end

return terminal
