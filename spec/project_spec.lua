-- A project outside the tree, as a user has one (spec/project/): with a rockspec and specs of its
-- own. It is copied to a temporary folder, built there, and its specs are run.
local command = require "spec.support.command"
local testing = require "lunik.testing"

-- The tree's modules, as an installation has them: the project is not in the tree.
local here = command.run("pwd"):match "[^\n]+"
local build = command.build:find "^/" and command.build or here .. "/" .. command.build
local LUNIK_PATH = ("%s/scripts/?.lua;%s/scripts/?/init.lua"):format(here, here)

local function project()
  local folder = testing.directory()
  local _, err, code = command.run(("cp -r spec/project/. %s"):format(folder))
  assert.same({ "", 0 }, { err, code })
  return folder
end

-- Runs a line in a folder with modules below path; returns what it prints and the exit code.
local function run(folder, path, line)
  local out, err, code = command.run(
    ("cd %s && env -u LUNIK_BUILD LUA_PATH='%s/?.lua;%s;;' LUA_CPATH='%s/lua/?.so;;' "
      .. "LUNIK_GUESTS=scripted %s"):format(folder, path, LUNIK_PATH, build, line))
  return out .. err, code
end

local BUSTED = command.interpreter .. " /usr/bin/busted --ignore-lua -o TAP"
local PASSED = [[
ok 1 - on the scripted guest climbs up and down
ok 2 - on the scripted guest stops where the guest refuses
ok 3 - is refused a step that is no size
1..3
]]

describe("a user's project", function()
  it("has specs that run where it is", function()
    local folder = project()
    local out, code = run(folder, folder .. "/src", BUSTED)
    assert.same({ PASSED, 0 }, { out, code })
  end)

  it("has specs that lunik test runs", function()
    local folder = project()
    local out, code = run(folder, folder .. "/src", build .. "/lunik test")
    assert.matches("tests/test_memory_ladder.lua +3 passed", out)
    assert.equal(0, code, out)
  end)

  it("is built by luarocks, and runs as it is installed", function()
    if not os.execute "command -v luarocks >/dev/null" then testing.skip "luarocks is not there" end
    local folder = project()
    local out, err, code = command.run(("cd %s && luarocks --lua-version=5.4 --tree=%s/tree make")
      :format(folder, folder))
    assert.equal(0, code, out .. err)
    local installed = folder .. "/tree/share/lua/5.4"
    assert.equal(command.read "spec/project/src/memory_ladder.lua",
      command.read(installed .. "/memory_ladder.lua"))
    os.remove(folder .. "/src/memory_ladder.lua")
    out, code = run(folder, installed, BUSTED)
    assert.same({ PASSED, 0 }, { out, code })
  end)

  it("sees that a spec fails", function()
    local folder = project()
    local path = folder .. "/src/memory_ladder.lua"
    command.write(path, (command.read(path):gsub("self.count > target", "self.count < target")))
    local out, code = run(folder, folder .. "/src", BUSTED)
    assert.matches("not ok 1 - on the scripted guest climbs up and down\n", out, 1, true)
    assert.equal(1, code)
  end)
end)
