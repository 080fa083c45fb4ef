-- `make dist`, and what is built from it: the same bytes wherever and whenever.
-- Runs alone: it runs make in the build folder, and keeps all CPUs busy.
local command = require "spec.support.command"
local process = require "spec.support.process"

-- Runs a shell command that has to work; its output.
local function output(line, ...)
  local out, err, code = command.run(line:format(...))
  assert.equal(0, code, out .. err)
  return out
end

-- make's settings here are not for the other tree.
local CLEAN = "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u LUNIK_BUILD -u LUA_PATH -u LUA_CPATH "
local name = "lunik-" .. require("lunik").version

-- Packs the tree in a folder; returns the file. before: variables of the environment.
local function dist(folder, before)
  output("cd '%s' && %s %s make --no-print-directory dist BUILD=build", folder, CLEAN, before or "")
  return ("%s/build/dist/%s.tar.gz"):format(folder, name)
end

describe("the tarball", function()
  local top, first, second

  setup(function()
    top = output "mktemp -d":gsub("\n", "")
    first, second = top .. "/first.tar.gz", top .. "/a longer folder"
    output("cp '%s' '%s' && mkdir '%s'", dist ".", first, second)
    output("tar -C '%s' -xf '%s'", second, first)
    second = second .. "/" .. name
  end)

  teardown(function() os.execute(("rm -rf '%s'"):format(top)) end)

  it("has files of one folder, of nobody, of one time", function()
    local times = {}
    for line in output("tar -tvf '%s' --full-time --numeric-owner", first):gmatch "[^\n]+" do
      local mode, time, path = line:match "^(%S+) 0/0%s+%d+ (%S+ %S+) (.*)$"
      assert.is_truthy(mode and mode:find "^%-rw[-x]r%-[-x]r%-[-x]$", line)
      assert.equal(name .. "/", path:match "^[^/]*/", line)
      times[time] = true
    end
    assert.is_truthy(next(times))
    assert.is_nil(next(times, next(times)))
  end)

  it("is the same when packed again, in a tree without git", function()
    output("touch '%s/build.log' && rm '%s/build.log'", second, second)
    local again = dist(second)
    output("cmp '%s' '%s'", first, again)
    os.execute(("rm -r '%s/build'"):format(second))
  end)

  it("takes its time from SOURCE_DATE_EPOCH", function()
    local again = dist(second, "SOURCE_DATE_EPOCH=86400")
    assert.matches(" 1970%-01%-02 00:00:00 ", output("TZ=UTC tar -tvf '%s' --full-time", again))
    os.execute(("rm -r '%s/build'"):format(second))
  end)

  it("builds without git, and installs the same bytes as this tree", function()
    if process.sanitized() then return pending "sanitizers are for the tree" end
    local to = "PREFIX=/usr/local LIBDIR=/usr/local/lib DESTDIR=" .. top
    -- The pages are built again by the specs of the documentation.
    output("rm -rf '%s/docs'", command.build)
    output("make --no-print-directory BUILD='%s' install %s/here", command.build, to)
    for _, targets in ipairs { "all", "install " .. to .. "/there" } do
      output("cd '%s' && GIT_DIR=/nonexistent %s make -j$(nproc) %s", second, CLEAN, targets)
    end
    output("diff -r --no-dereference '%s/here' '%s/there'", top, top)
    local modes = "cd '" .. top .. "/%s' && find . -printf '%%p %%M %%l\\n' | sort"
    assert.equal(output(modes, "here"), output(modes, "there"))
  end)
end)
