-- For specs: a command on a pseudo-terminal, and keys typed to it.
local uv = require "luv"

local terminal = {}

-- A shell with jobs, "bash-" as its prompt and messages in English.
terminal.SHELL = "env -u PS1 LC_ALL=C bash --norc --noprofile -i"

-- In place of keys: the terminal goes away.
terminal.HANGUP = {}

local TIMEOUT = 60000 -- ms, for a whole conversation

-- Runs a command on a terminal, in the shell's place: one that waits for it would die of a Ctrl-C
-- that the command takes. Each step is {text to wait for, keys to type then}; what was
-- waited for is not looked at again. Raises an error that shows the screen if the command ends
-- before the last step, or takes too long. env: "NAME=value" strings, on top of this process's.
-- Returns the output without carriage returns and the exit code.
function terminal.run(command_line, steps, env)
  local output, position, step = "", 1, 1
  local input, out = uv.new_pipe(false), uv.new_pipe(false)
  local deadline = uv.new_timer()
  local code, process

  local function converse()
    while steps[step] do
      local _, last = output:find(steps[step][1], position, true)
      if not last then
        return
      end
      position = last + 1
      if steps[step][2] == terminal.HANGUP then
        process:kill "sigkill"
      elseif steps[step][2] then
        input:write(steps[step][2])
      end
      step = step + 1
    end
  end

  local environment = {}
  for name, value in pairs(uv.os_environ()) do
    table.insert(environment, name .. "=" .. value)
  end
  for _, setting in ipairs(env or {}) do
    table.insert(environment, setting)
  end
  process = assert(uv.spawn("script", {
    args = { "-qec", "exec " .. command_line, "/dev/null" },
    stdio = { input, out, 2 }, env = environment,
  }, function(exit_code)
    code = exit_code
    process:close()
    input:close()
    deadline:close()
  end))
  out:read_start(function(_, data)
    if not data then
      return out:close()
    end
    output = output .. data:gsub("\r", "")
    converse()
  end)
  deadline:start(TIMEOUT, 0, function() process:kill "sigkill" end)
  uv.run()
  if steps[step] then
    error(("waited in vain for %q (exit code %s):\n%s"):format(steps[step][1], code, output))
  end
  return output, code
end

-- Why there are no pseudo-terminals here, or nil.
function terminal.missing()
  if not os.execute "script -qec true /dev/null </dev/null >/dev/null 2>&1" then
    return "no pseudo-terminals (is devpts mounted?)"
  end
end

-- A terminal.run for a spec. Without pseudo-terminals it calls skip with the reason instead, which
-- is to end the test: function(reason) pending(reason) end.
function terminal.runner(skip)
  local reason = terminal.missing()
  return reason and function() skip(reason) end or terminal.run
end

return terminal
