-- lunik --qmp: a client drives the machine of the command.
local command = require "spec.support.command"
local qmp = require "spec.support.qmp_client"

describe("lunik --qmp", function()
  local function exists(path)
    local _, _, errno = io.open(path)
    return errno ~= 2
  end

  local function run(arguments)
    return io.popen(("timeout 60 %s %s 2>&1; echo exit code $?"):format(command.lunik, arguments))
  end

  local SCRIPT = [[lunik.machine { board = "pc", accel = "none", memory = "16M", name = "driven" }]]

  it("serves the first machine until a client has it quit, also while it is not started", function()
    local path = os.tmpname()
    os.remove(path)
    local pipe = run(("--qmp unix:%s -e '%s'"):format(path, SCRIPT))
    qmp.wait_for(function() return exists(path) end)
    local client = qmp.dial(path)
    client:greet()
    assert.equal("driven", client:command('{"execute":"query-name"}')["return"].name)
    for _, name in ipairs { "cont", "stop", "cont" } do
      client:command(('{"execute":"%s"}'):format(name))
    end
    assert.is_true(client:command('{"execute":"query-status"}')["return"].running)
    local _, events = client:command '{"execute":"quit"}'
    assert.equal("SHUTDOWN", events[1].event)
    qmp.wait_for(function() return client.gone end)
    client:close()
    assert.equal("exit code 0\n", pipe:read "a")
    pipe:close()
    assert.is_false(exists(path))
  end)

  it("ends when a machine that has not been started quits", function()
    local path = os.tmpname()
    os.remove(path)
    local pipe = run(("--qmp unix:%s -e '%s'"):format(path, SCRIPT))
    qmp.wait_for(function() return exists(path) end)
    local client = qmp.dial(path)
    client:greet()
    assert.same({}, client:command('{"execute":"quit"}')["return"])
    assert.equal("exit code 0\n", pipe:read "a")
    pipe:close()
    client:close()
  end)

  it("refuses a path that it can't serve", function()
    local pipe = run(("--qmp unix:/nonexistent/s -e '%s'"):format(SCRIPT))
    local text = pipe:read "a"
    pipe:close()
    assert.matches("^lunik: %-%-qmp: chardev%-socket: path: can't bind to", text)
    assert.matches("exit code 2\n$", text)
  end)
end)
