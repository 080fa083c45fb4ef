-- packaging/debian, compared with the rest of the tree. `make deb` builds the packages.
local command = require "spec.support.command"

-- The packages of a group, as the Makefile lists them.
local function group(name)
  local found = {}
  local list = command.read "Makefile":match "\ndefine PACKAGES\n(.-)\nendef"
  for line in list:gmatch "[^\n]+" do
    local package, at = line:match "^(%S+)%s+%S+%s+(%S+)"
    if at == name then found[package] = true end
  end
  return found
end

-- The packages that the source package is built with; profile: only those with it, such as nocheck.
local function build_depends(profile)
  local found = {}
  local field = command.read "packaging/debian/control":match "\nBuild%-Depends:(.-)\n\n"
  for package, rest in field:gmatch "\n ([%w.+-]+)([^,\n]*)" do
    if rest:match "<!(%a+)>" == profile then found[package] = true end
  end
  return found
end

describe("the Debian source package", function()
  it("is built with what the Makefile asks for", function()
    local found = build_depends()
    -- For its own rules, and for what is left out elsewhere if a library is missing.
    for _, package in ipairs { "debhelper-compat", "chrpath", "libcapstone-dev", "libslirp-dev",
      "liburing-dev" } do
      assert.is_true(found[package], package)
      found[package] = nil
    end
    assert.same(group "build", found)
    assert.same(group "docs", build_depends "nodoc")
  end)

  it("is tested with what the specs need", function()
    local needed = group "test"
    needed["xz-utils"] = nil -- for the Linux guest
    for _, package in ipairs { "libcapstone-dev", "libslirp-dev", "liburing-dev" } do
      needed[package] = nil -- built with them
    end
    assert.same(needed, build_depends "nocheck")
  end)

  it("has the tree's licence", function()
    local text = command.read "packaging/debian/copyright"
    local words = {}
    for word in text:match "\nLicense: Expat\n (Permission.-)\n\n":gmatch "%S+" do
      if word ~= "." then table.insert(words, word) end
    end
    local licence = command.read "LICENSE":match "Permission.*":gsub("%s+", " "):gsub(" $", "")
    assert.equal(licence, table.concat(words, " "))
  end)

  it("lists no symbols that are newer than this version", function()
    local function number(version)
      return (version:gsub("%d+", function(n) return ("%03d"):format(n) end))
    end
    for _, package in ipairs { "liblunik0", "lua-lunik" } do
      local count = 0
      for line in io.lines(("packaging/debian/%s.symbols"):format(package)) do
        local since = line:match "^ %S+@[%u_]+0 (%S+)$"
        if since then
          count = count + 1
          assert.is_true(number(since) <= number(require("lunik").version), line)
        end
      end
      assert.is_true(count >= 5, package)
    end
  end)
end)
