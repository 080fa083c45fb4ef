-- make install and make uninstall.
-- Runs alone: it runs make in the build folder.
local command = require "spec.support.command"

local run, write = command.run, command.write
local sanitized = command.interpreter ~= "lua5.4"

-- Runs a shell command that has to work; its output.
local function output(line, ...)
  local out, err, code = run(line:format(...))
  assert.same({ "", 0 }, { err, code }, line)
  return out
end

-- make's warnings about its parent's other jobs are of no interest.
local function make(target, variables)
  local out, err, code = run(("make --no-print-directory %s %s"):format(target, variables))
  assert.equal(0, code, err)
  return out
end

local function exists(path)
  return os.rename(path, path) == true
end

describe("an installation", function()
  local top -- a folder that the loader does not know, with a space in its name
  local prefix, said

  setup(function()
    top = output "mktemp -d":gsub("\n", "")
    prefix = top .. "/a b & c"
    said = make("install", ("PREFIX='%s'"):format(prefix))
  end)

  teardown(function()
    os.execute(("rm -rf '%s'"):format(top))
  end)

  -- Returns what the installed command prints.
  local function lunik(arguments)
    return output("'%s/bin/lunik' %s", prefix, arguments)
  end

  it("has a command that finds its modules and boards", function()
    assert.equal("micro pc\n", lunik [[-e 'print(table.concat(require "lunik".boards(), " "))']])
    assert.equal("function\n", lunik [[-e 'print(type(require "lunik.lineedit".read))']])
    assert.equal(prefix .. "/share/lua/5.4/lunik/command/cli.lua\n",
      lunik [[-e 'print((debug.getinfo(require "lunik.command.cli".main, "S").source:sub(2)))']])
  end)

  it("has the command that takes QEMU's command line", function()
    assert.truthy(output("'%s/bin/lunik-qemu' -version", prefix):find "^Lunik ")
    assert.truthy(output("'%s/bin/lunik-qemu' -device help", prefix):find('"pc-dimm"', 1, true))
  end)

  it("has the parts of a report", function()
    local page = top .. "/page.html"
    assert.equal("run\n", lunik(("run --report '%s' -e 'print \"run\"'"):format(page)))
    assert.is_truthy(command.read(page):find("<title>lunik</title>", 1, true))
    os.remove(page)
  end)

  it("has examples that run, and texts", function()
    local examples = prefix .. "/share/lunik/examples"
    assert.matches("shutdown: exit%-device", lunik(("'%s/embed.lua'"):format(examples)))
    assert.matches("device_add dimm1", lunik(("'%s/listener-log.lua'"):format(examples)))
    assert.is_true(exists(prefix .. "/share/lunik/boards/pc.lua"))
    assert.equal("ELF", lunik [[-e 'local path = require("lunik.guest_images").path "small.elf"
      io.write((io.open(path, "rb"):read(4):sub(2)))']])
    for _, name in ipairs { "bash-completion/completions/lunik", "zsh/site-functions/_lunik" } do
      assert.is_true(exists(prefix .. "/share/" .. name), name)
    end
    assert.is_true(exists(prefix .. "/share/lunik/library/lunik.lua"))
    for _, name in ipairs { "README.md", "SECURITY.md", "LICENSE" } do
      assert.equal(command.read(name), command.read(prefix .. "/share/doc/lunik/" .. name))
    end
  end)

  it("has templates, and runs the specs made of them", function()
    local project = ("cd '%s' && '%s/bin/lunik'"):format(top, prefix)
    assert.matches("wrote thing/spec/hotplug_spec.lua\n",
      output("%s new project thing", project), 1, true)
    assert.matches("\n[456] passed, 0 failed, [0-9]+ skipped\n$",
      output("cd '%s/thing' && '%s/bin/lunik' test", top, prefix))
  end)

  it("says how other programs find it", function()
    local text = ("The loader does not look for libraries in %s/lib: "):format(prefix)
    assert.matches(text, said, 1, true)
    local setting = said:match "lua5.4 finds the module with ([^\n]*)%.\n"
    if not sanitized then
      local boards = output([[%s lua5.4 -e 'print(require "lunik".boards()[1])']], setting)
      assert.equal("micro\n", boards)
    end
  end)

  it("serves C programs", function()
    if sanitized then return pending("the sanitizer belongs to the program") end
    local source <close> = command.file([[
      #include <lunik_memory.h> /* without the others */
      #include <lunik_device.h>
      #include <lunik.h>
      #include <stdio.h>
      int main(void) { return printf("%s\n", lunik_version()) < 0; }]], ".c")
    local version = output("PKG_CONFIG_PATH='%s/lib/pkgconfig' pkg-config --modversion lunik",
      prefix)
    assert.equal(require "lunik".version .. "\n", version)
    local flags = output("PKG_CONFIG_PATH='%s/lib/pkgconfig' pkg-config --cflags --libs lunik",
      prefix)
    flags = flags:gsub("\n", "")
    assert.equal(version, output("cc -o '%s/program' %s %s && '%s/program'", top, source, flags,
      top))
    local device = prefix .. "/share/lunik/examples/pci_device.c"
    assert.matches("111 squared is 12321", output("cc -o '%s/device' '%s' %s && '%s/device'", top,
      device, flags, top))
  end)

  it("serves C programs that have a Lua state", function()
    if sanitized then return pending("the sanitizer belongs to the program") end
    local flags = output("PKG_CONFIG_PATH='%s/lib/pkgconfig' pkg-config --cflags --libs lunik-lua",
      prefix):gsub("\n", "")
    local source = prefix .. "/share/lunik/examples/embed_lua.c"
    local lua = prefix .. "/share/lua/5.4"
    output("cc -o '%s/embed_lua' '%s' %s", top, source, flags)
    assert.matches("Lua: the guest answers for dimm1: status 0",
      output("LUA_PATH='%s/?.lua;%s/?/init.lua' '%s/embed_lua'", lua, lua, top))
  end)

  it("uses what is written in its Lua half", function()
    local path = prefix .. "/share/lua/5.4/lunik/command/help.lua"
    local text = command.read(path)
    assert.matches("^usage: lunik", lunik "--help")
    write(path, (text:gsub("usage: ", "USAGE: ")))
    assert.matches("^USAGE: lunik", lunik "--help")
    write(path, (text:gsub("usage: ", "How to use it: ")))
    output("touch -d 2000-01-01 '%s'", path)
    assert.matches("^How to use it: lunik", lunik "--help")
    write(path, "x = = 1")
    local _, err, code = run(("'%s/bin/lunik' --help"):format(prefix))
    assert.equal(1, code)
    assert.matches("lunik/command/help.lua:1: unexpected symbol near '='", err, 1, true)
    os.remove(path)
    assert.matches("^usage: lunik", lunik "--help")
    write(path, text)
    output("touch -d 2000-01-01 '%s'", path)
    assert.matches("^usage: lunik", lunik "--help")
  end)

  it("can be removed, but for what others put there", function()
    local other = prefix .. "/share/lua/5.4/other.lua"
    write(other, "")
    make("uninstall", ("PREFIX='%s'"):format(prefix))
    assert.equal(other .. "\n", output("find '%s' ! -type d", prefix))
    assert.equal(prefix .. "/share/lua/5.4\n", output("find '%s' -type d -links 2", prefix))
    os.remove(other)
    make("install", ("PREFIX='%s'"):format(prefix))
    make("uninstall", ("PREFIX='%s'"):format(prefix))
    assert.is_true(exists(prefix .. "/share/lua/5.4"), "was there before")
    assert.is_false(exists(prefix .. "/bin"))
  end)

  it("has its libraries where LIBDIR says, and can be moved", function()
    local libdir = "/opt/x y/lib/multi/arch"
    local variables = ("PREFIX='/opt/x y' LIBDIR='%s' DESTDIR='%s/dest'"):format(libdir, top)
    local out = make("install", variables)
    assert.not_matches("The loader", out, 1, true)
    output("mv '%s/dest' '%s/moved'", top, top)
    prefix = top .. "/moved/opt/x y"
    assert.is_true(exists(prefix .. "/lib/multi/arch/liblunik.so.0"))
    assert.equal("multi\n", output("ls '%s/lib'", prefix))
    assert.equal("micro pc\n", lunik [[-e 'print(table.concat(require "lunik".boards(), " "))']])
    assert.equal("function\n", lunik [[-e 'print(type(require "lunik.lineedit".read))']])
    output("mv '%s/moved' '%s/dest'", top, top)
    make("uninstall", variables)
    assert.equal("", output("find '%s/dest' -mindepth 1", top))
  end)

  it("is not made in a folder that depends on where make runs", function()
    local _, err, code = run "make install PREFIX=build/there"
    assert.equal(2, code)
    assert.matches("'build/there' is not an absolute path", err, 1, true)
    assert.is_false(exists "build/there")
  end)
end)
