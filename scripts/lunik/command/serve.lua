--- The servers that the command line asks for: --qmp, --gdb and --prompt.

local core = require "lunik.core"

local serve = {}

-- Calls fn; if that fails, ends the command with what is wrong.
local function or_exit(complain, option, fn, given)
  local ok, err = pcall(fn, given)
  if not ok then
    complain(option .. ": " .. core.text(type(err) == "table" and err.message or err))
    os.exit(2)
  end
end

local function at_first_machine(serve_machine)
  local observer
  observer = require("lunik.observe").on("machine", function(m)
    observer:off()
    serve_machine(m)
  end)
end

local function serve_qmp(paths, lunik, complain)
  at_first_machine(function(m)
    for _, path in ipairs(paths) do
      or_exit(complain, "--qmp", lunik.qmp, { machine = m, path = path })
    end
    require("lunik.qmp.server").stay(m)
  end)
end

local function serve_gdb(address, complain)
  at_first_machine(function(m)
    or_exit(complain, "--gdb", function(given) m:gdb(given) end, { listen = address })
  end)
end

--- Begins to serve; complain(message) reports what is wrong.
function serve.start(options, lunik, complain)
  if options.qmp then serve_qmp(options.qmp, lunik, complain) end
  if options.gdb then serve_gdb(options.gdb, complain) end
  for _, path in ipairs(options.prompts or {}) do
    or_exit(complain, "--prompt", lunik.prompt, { path = path })
  end
  if options.prompts then require("lunik.command.prompt_globals").offer() end
end

return serve
