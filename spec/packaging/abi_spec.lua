-- packaging/abi.sh: what programs that are built already rely on.
local command = require "spec.support.command"
local process = require "spec.support.process"

local run, write = command.run, command.write

local HEADER = [[
struct lunik_thing { int a; %s };
enum lunik_kind { LUNIK_ONE%s };
struct lunik_hidden;
int lunik_first(struct lunik_thing *thing, enum lunik_kind kind%s);
%s
]]
local SOURCE = [[
#include "thing.h"
struct lunik_hidden { int a; %s };
int lunik_first(struct lunik_thing *thing, enum lunik_kind kind%s) { return thing->a + kind; }
%s
]]
local OTHER = "int lunik_other(struct lunik_hidden *hidden)"

local function missing()
  for _, program in ipairs { "abidw", "abidiff", "readelf" } do
    if select(3, run("command -v " .. program)) ~= 0 then return "there is no " .. program end
  end
end

describe("the check of the binary interface", function()
  local folder

  setup(function() folder = run "mktemp -d":gsub("\n", "") end)
  teardown(function() os.execute(("rm -rf '%s'"):format(folder)) end)

  -- Builds a small library, with one more field, enumerator, argument, private field or function;
  -- records or checks it. Returns output and exit code.
  local function try(action, with, flags)
    local argument, functions = with.argument or "", with.functions or { OTHER }
    local declared, defined = "", ""
    for _, text in ipairs(functions) do
      declared, defined = declared .. text .. ";\n", defined .. text .. " { return 1; }\n"
    end
    write(folder .. "/thing.h", HEADER:format(with.field or "", with.enumerator or "", argument,
      declared))
    write(folder .. "/thing.c", SOURCE:format(with.private or "", argument, defined))
    local _, err, code = run(("cc -shared -fPIC %s -o '%s/thing.so' '%s/thing.c'"):format(
      flags or "-g", folder, folder))
    assert.equal(0, code, err)
    local out, complaint, status = run(("sh packaging/abi.sh %s '%s/thing.so' '%s/record.abi' "
      .. "'%s/thing.h'"):format(action, folder, folder, folder))
    return out .. complaint, status
  end

  it("accepts what programs don't notice", function()
    if missing() then return pending(missing()) end
    assert.equal(0, select(2, try("record", {})))
    for _, with in ipairs { {}, { private = "int b;" },
      { functions = { OTHER, "int lunik_more(void)" } }, { enumerator = ", LUNIK_TWO" } } do
      local out, code = try("check", with)
      assert.equal(0, code, out)
    end
  end)

  it("refuses what breaks them", function()
    if missing() then return pending(missing()) end
    assert.equal(0, select(2, try("record", {})))
    local function fails(with, words)
      local out, code = try("check", with)
      assert.equal(1, code, out)
      assert.matches(words, out)
      assert.matches("abi.sh: the binary interface of [^\n]* differs from [^\n]*record.abi", out)
    end
    fails({ functions = {} }, "1 Removed function.*lunik_other")
    fails({ argument = ", int more" }, "lunik_first.*parameter 3")
    fails({ field = "int b;" }, "type size changed")
  end)

  it("reports that it can't compare", function()
    if missing() then return pending(missing()) end
    local out, code = try("check", {}, "-g0")
    assert.equal(2, code)
    assert.matches("thing.so has no debug information", out)
  end)
end)

describe("the libraries' binary interface", function()
  it("is the recorded one, or has more", function()
    if missing() then return pending(missing()) end
    if process.sanitized() then return pending "the sanitizer's functions are in it" end
    local out, err, code = run(("make --no-print-directory abi-check BUILD='%s'"):format(
      command.build))
    if err:find "has no debug information" then return pending(err) end
    assert.equal(0, code, out .. err)
  end)

  it("has a version for every name", function()
    for library, node in pairs { ["liblunik"] = "LUNIK_0", ["liblunik-lua"] = "LUNIK_LUA_0" } do
      local count = 0
      local names = run(("nm -D --defined-only '%s/%s.so'"):format(command.build, library))
      for name in names:gmatch "%x+ [^A] (%S+)\n" do
        count = count + 1
        assert.is_truthy(name:find "^lunik_" or name == "luaopen_lunik_core@@" .. node, name)
        assert.matches("@@" .. node .. "$", name)
      end
      assert.is_true(count >= 4, library)
    end
  end)
end)
