-- Signals to the lunik command while Lua code runs that does not end by itself.
local command = require "spec.support.command"
local small = require "spec.support.small_guest"
local terminal = require "spec.support.terminal"

local on_terminal = terminal.runner(function(reason) pending(reason) end)

-- With a call in the loop: ThreadSanitizer delivers signals at calls only.
local LOOP = "while true do os.time() end"

local HEAD = ([[
  local lunik = require "lunik"
  local function up() print "up" io.stdout:flush() end
  local function forever() up() %s end
]]):format(LOOP)

local MACHINE = [[
  local m = lunik.machine { board = "micro", accel = "none", memory = "1M", name = "spec" }
]]

local KVM = ([[
  lunik.device { name = "stuck", ports = { base = 0x900, size = 1, read = forever } }
  local m = lunik.machine { kernel = "%s", serial = "buffer", name = "spec",
    devices = { { "stuck", { id = "stuck" } } } }
  m:start()
  m:console():expect("guest: ready", { timeout = %d })
  m:console():write "in 0x900\n"
]]):format(small.image "small.elf", small.TIMEOUT)

local CATCH = [[
  local function stubborn() while true do pcall(forever) end end
]]

-- What runs for ever, and what is reported of it (a pattern; nil: nothing).
local cases = {
  ["a handler"] = {
    MACHINE .. "m:on('x', forever) m:emit 'x'", "a handler of 'x': .-interrupted!" },
  ["a device"] = { MACHINE .. [[
    m.io.root:add(m:region { kind = "io", size = 1, read = forever }, 0x500)
    m:inb(0x500)]], "a read handler: .-interrupted!" },
  ["a device in a coroutine"] = { MACHINE .. [[
    m.io.root:add(m:region { kind = "io", size = 1, read = forever }, 0x500)
    lunik.spawn(function() m:inb(0x500) end)]], "a read handler: .-interrupted!" },
  ["a deferred function"] = { "lunik.defer(forever)", "a timer: .-interrupted!" },
  ["a coroutine"] = { "lunik.spawn(forever)" },
  ["a coroutine that has waited"] = {
    "lunik.spawn(function() lunik.sleep(0.001) forever() end)", "a coroutine: .-interrupted!" },
  ["a coroutine of a handler's"] = {
    "lunik.defer(function() coroutine.wrap(forever)() end)", "a timer: .-interrupted!" },
  ["a coroutine that is closed"] = { [[
    local task = lunik.spawn(function()
      local _ <close> = setmetatable({}, { __close = forever })
      lunik.sleep(10)
    end)
    task:cancel()]] },
  ["a handler that catches errors"] = { CATCH .. "lunik.defer(stubborn)", "interrupted!" },
  ["a script that catches errors"] = { CATCH .. "stubborn()" },
  ["an error's text"] = { MACHINE .. [[
    local endless = setmetatable({}, { __tostring = forever })
    m:on("x", function() error(endless) end)
    m:emit "x"]],
    "a handler of 'x': %(error object is a table value%)" },
  ["a device on a vCPU's thread"] = { KVM, "a read handler: .-interrupted!", kvm = true },
  ["a device on a vCPU's thread, again"] = {
    CATCH .. KVM:gsub("forever", "stubborn", 1), "interrupted!", kvm = true },
}

for signal, code in pairs { INT = 130, TERM = 143 } do
  describe("SIG" .. signal .. " ends", function()
    for what, case in pairs(cases) do
      it(what, function()
        if case.kvm and small.unavailable() then return pending(small.unavailable()) end
        local script <close> = command.file(HEAD .. case[1])
        local out <close> = command.file ""
        -- A shell's background commands ignore SIGINT unless told otherwise.
        local _, err, status = command.run(([[
          env --default-signal=INT %s --no-sandbox %s >%s & pid=$!
          until grep -q up %s; do kill -0 $pid || break; sleep 0.01; done
          kill -%s $pid; wait $pid]]):format(command.lunik, script, out, out, signal))
        assert.are.equal(code, status, err)
        if case[2] then
          assert.is_truthy(err:find(case[2]), err)
        else
          assert.are.equal("", err)
        end
      end)
    end
  end)
end

describe("Ctrl-C at the prompt", function()
  local PROMPT = "lunik> "
  local function type_in(steps)
    local out, code = on_terminal(command.lunik, steps, { "LUNIK_HISTORY=/dev/null" })
    assert.are.equal(0, code, out)
    return out
  end
  local machine = { PROMPT,
    "m = lunik.machine { board = 'micro', accel = 'none', memory = '1M' }\n" }
  local handler = { PROMPT, ("m:on('x', function() print('be' .. 'gun') %s end);\n"):format(LOOP) }

  it("ends a handler while a line is typed, and the prompt goes on", function()
    type_in { machine, handler, { PROMPT, "m:emit 'x'\n" }, { "begun", "\3" },
      { "interrupted!\n" }, { PROMPT, "6 * 7\n" }, { "\n42\n" }, { PROMPT, "\4" } }
  end)

  it("ends a handler, and the wait that runs it", function()
    type_in { machine, handler, { PROMPT, "m:start();\n" },
      { PROMPT, "m:emit 'x' m:wait 'y'\n" }, { "begun", "\3" }, { "interrupted!\n" },
      { PROMPT, "m.state\n" }, { '"running"' }, { PROMPT, "\4" } }
  end)

  it("ends a coroutine", function()
    local spawn = ("t = lunik.spawn(function() print('be' .. 'gun') %s end)\n"):format(LOOP)
    type_in { { PROMPT, spawn }, { "begun", "\3" }, { "interrupted!\n" },
      { PROMPT, "t.done\n" }, { "true\n" }, { PROMPT, "\4" } }
  end)
end)
