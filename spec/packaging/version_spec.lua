-- The version stands in runtime/lunik.h; what has to repeat it says the same.
local command = require "spec.support.command"
local lines_of = require "spec.support.lines_of"
local lunik = require "lunik"

local function version_of_header()
  local parts, text = {}, command.read "runtime/lunik.h"
  for i, part in ipairs { "MAJOR", "MINOR", "PATCH" } do
    parts[i] = text:match("#define LUNIK_VERSION_" .. part .. " (%d+)\n")
  end
  return table.concat(parts, ".")
end

describe("the version", function()
  local version = version_of_header()
  local pattern = version:gsub("%.", "%%.")

  it("is that of the library", function()
    assert.equal(version, lunik.version)
  end)

  it("is that of the Debian package", function()
    local first = command.read "packaging/debian/changelog":match "^[^\n]*"
    assert.matches("^lunik %(" .. pattern .. "%-[%w~]+%) ", first)
  end)

  it("is that of the rock", function()
    local name = ("lunik-%s-1.rockspec"):format(version)
    assert.same({ name }, lines_of "ls *.rockspec")
    local rock = {}
    assert(loadfile(name, "t", rock))()
    assert.equal(version .. "-1", rock.version)
    assert.equal(("lunik-%s.tar.gz"):format(version), rock.source.url)
  end)

  it("has a section in the changelog", function()
    assert.matches("\n## " .. pattern .. "[ \n]", command.read "CHANGELOG.md")
  end)

  it("is that of the demo in the README", function()
    assert.matches("Lunik " .. pattern .. ":", command.read "README.md")
  end)

  -- Another number in the sources would have to be changed as well.
  it("is written nowhere else", function()
    assert.same({}, lines_of(("grep -rlF '%s' runtime devices acpi bindings scripts library "
      .. "Makefile install.sh packaging/*.* .luarc.json"):format(version)))
  end)
end)

describe("the changelog", function()
  local KINDS = { Added = true, Changed = true, Deprecated = true, Removed = true, Fixed = true,
    Security = true }

  local function headings(level)
    local found = {}
    for line in io.lines "CHANGELOG.md" do
      table.insert(found, line:match("^" .. ("#"):rep(level) .. " (.+)$"))
    end
    return found
  end

  it("has what is not released first, then the versions, newest first", function()
    local sections = headings(2)
    assert.equal("[Unreleased]", sections[1])
    local newer = 1 << 24
    for i = 2, #sections do
      local major, minor, patch = sections[i]:match "^%[?(%d+)%.(%d+)%.(%d+)%]? "
      assert.is_truthy(major, sections[i])
      local number = tonumber(major) << 16 | tonumber(minor) << 8 | tonumber(patch)
      assert.is_true(number < newer, sections[i])
      newer = number
    end
  end)

  it("sorts the changes by kind", function()
    for _, kind in ipairs(headings(3)) do assert.is_true(KINDS[kind], kind) end
  end)
end)
