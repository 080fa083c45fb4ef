-- The README keeps what it promises.
local command = require "spec.support.command"
local document = require "spec.support.document"
local lunik = require "lunik"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local function contents(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- The small guest in Linux's place, and less memory: it looks at every page.
local PRELUDE = [[
local lunik, small = require "lunik", require "spec.support.small_guest"
local machine = lunik.machine
function lunik.machine(options)
  options.kernel, options.initrd, options.cmdline = small.image "small.elf", nil, nil
  return machine(options)
end
]]

describe("the README's", function()
  local readme = contents "README.md"

  it("scenario runs", function()
    if small.unavailable() then return pending(small.unavailable()) end
    local script, changes = document.code(readme, "lua"):gsub('"%w+:?"',
      { ['"login:"'] = '"guest: ready"', ['"1G"'] = '"64M"' })
    assert.is_true(changes > 2 and script:find "guest: ready" and script:find "64M" ~= nil)
    local file <close> = command.file(PRELUDE .. script, ".lua")
    local out, err, code = command.run(command.lunik .. " " .. tostring(file))
    assert.same({ "", "", 0 }, { out, err, code })
  end)

  it("error is the one that a user gets", function()
    local m <close> = machines.none()
    local promised = readme:match "script.lua:%d+: ([^\n]*)"
    local err = machines.raised(m.object_add, m, "memory-backend-ram", { id = "m", size = "4Q" })
    assert.equal(promised, err.message)
  end)

  it("make targets and files are there", function()
    local makefile, targets, files = contents "Makefile", 0, 0
    for _, part in ipairs { "spec/fuzz/fuzz.mk", "packaging/packaging.mk" } do
      makefile = makefile .. contents(part)
    end
    for target in readme:gmatch "make ([a-z-]+)" do
      if readme:find("`make " .. target) or readme:find("\nmake " .. target, 1, true) then
        targets = targets + 1
        assert.is_truthy(("\n" .. makefile):find("\n" .. target .. ":", 1, true), target)
      end
    end
    for path in readme:gmatch "`([%w_/]+[/.][%w_.]*)`" do
      if path:find "/" and not path:find "^share/" and not path:find "^/dev/" then -- of this tree
        files = files + 1
        assert.is_true(os.rename(path, path), path)
      end
    end
    assert.is_true(targets > 10 and files > 15)
  end)

  it("version is this one", function()
    assert.equal(lunik.version, readme:match "Lunik (%d[%d.]*): a machine")
  end)
end)

local DOCUMENTS = { "docs/README.md", "docs/tutorial.md", "CONTRIBUTING.md", "CHANGELOG.md",
  "docs/architecture.md", "docs/walk.md", "docs/device.md", "docs/debugging.md", "docs/style.md",
  "docs/packaging.md" }

describe("the documents", function()
  it("are linked from the README, and name files that are there", function()
    local readme, files = contents "README.md", 0
    for _, path in ipairs(DOCUMENTS) do
      assert.is_truthy(readme:find("`" .. path .. "`", 1, true), path)
      for named in contents(path):gmatch "`([%w_/]+[/.][%w_./]*)`" do
        if named:find "/" and not named:find "^build/" then
          files = files + 1
          assert.is_truthy(os.rename(named, named), path .. ": " .. named)
        end
      end
    end
    assert.is_true(files > 30)
  end)

  it("name functions where they are defined", function()
    local functions = 0
    for name, path in contents "docs/walk.md":gmatch "`([%w_]+)` in `([^`]+)`" do
      functions = functions + 1
      assert.is_truthy(("\n" .. contents(path)):find("\n[%w_ *]-[ *]" .. name .. "%("),
        name .. " in " .. path)
    end
    assert.is_true(functions > 10)
  end)

  it("show a session of gdb that works", function()
    if command.interpreter ~= "lua5.4" then
      return pending("gdb would debug the sanitizer as well")
    elseif select(3, command.run "gdb --version") ~= 0 then
      return pending("gdb is not installed")
    end
    local session = "set pagination off\n" .. document.code(contents "docs/debugging.md", "gdb")
    local script <close> = command.file([[
      local m = lunik.machine {
        board = "pc", accel = "none", memory = "64M", slots = 1, maxmem = "1G" }
      m:object_add("memory-backend-ram", { id = "mem", size = "64M" })
      m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })]])
    local commands <close> = command.file(session)
    local out = command.run(("gdb -nx -q -batch -x %s --args %s %s 2>&1"):format(commands,
      command.lunik, script))
    if out:find "ptrace" then
      return pending("no program can be debugged here")
    end
    for _, text in ipairs { " = 0x%x+ \"pc\"", "FlatView #0", "pc%.ram", "stack traceback:",
      "in main chunk" } do
      assert.matches(text, out)
    end
  end)
end)
