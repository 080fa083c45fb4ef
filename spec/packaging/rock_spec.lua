-- `luarocks make` builds the tree and installs it where LuaRocks keeps modules.
-- Runs alone: it runs make in the build folder.
local command = require "spec.support.command"
local process = require "spec.support.process"

-- Runs a shell command that has to work; its output.
local function output(line, ...)
  local out, err, code = command.run(line:format(...))
  assert.equal(0, code, err)
  return out
end

describe("the rock", function()
  local top, tree, environment

  setup(function()
    top = output "mktemp -d":gsub("\n", "")
    tree = top .. "/rocks"
  end)

  teardown(function() os.execute(("rm -rf '%s'"):format(top)) end)

  -- Returns why there is no rock, or nil.
  local function missing()
    if select(3, command.run "command -v luarocks") ~= 0 then return "there is no luarocks" end
    if process.sanitized() then return "the sanitizer belongs to the command" end
  end

  it("is built and installed by LuaRocks", function()
    if missing() then return pending(missing()) end
    output("luarocks --lua-version=5.4 make --tree='%s'", tree)
    assert.matches("\nlunik\n", output("luarocks --lua-version=5.4 --tree='%s' list --porcelain "
      .. "| cut -f 1 | sed '1i\\ '", tree))
    environment = output("luarocks --lua-version=5.4 path --tree='%s'", tree):gsub("\n", "; ")
  end)

  it("has the module, boards and guests", function()
    if missing() then return pending(missing()) end
    local out = output([[cd / && %s env -u LUNIK_BUILD lua5.4 -e 'local lunik = require "lunik"
      local m <close> = lunik.machine { accel = "none", board = "micro" }
      print(lunik.version, table.concat(lunik.boards(), " "))
      print(require("lunik.guest_images").path "small.elf")']], environment)
    assert.equal(("%s\tmicro pc\n"):format(require("lunik").version), out:match "^[^\n]*\n")
    assert.matches(tree .. "/.*/small.elf\n", out)
  end)

  it("has the command, with line editing", function()
    if missing() then return pending(missing()) end
    assert.equal("function\n", output([[cd / && '%s/bin/lunik' -e 'print(type(
      require "lunik.lineedit".read))' /dev/null]], tree))
    assert.matches(tree .. "/.*/lunik/init.lua", output(
      [[cd / && '%s/bin/lunik' -e 'print(package.searchpath("lunik", package.path))' /dev/null]],
      tree))
  end)

  it("can be removed", function()
    if missing() then return pending(missing()) end
    output("luarocks --lua-version=5.4 --tree='%s' remove lunik", tree)
    assert.equal("", output("find '%s' -name '*lunik*' ! -type d", tree))
  end)
end)
