-- Tables of variants, and guests as a parameter of a run.
local command = require "spec.support.command"
local machines = require "spec.support.machines"
local testing = require "lunik.testing"

local KEYS = { backend = { "ram", "file" }, share = { true, false } }

local function names(variants)
  local list = {}
  for i, cell in ipairs(testing.cells(variants)) do list[i] = cell.name end
  return list
end

describe("variants", function()
  it("are the product of their keys, in order", function()
    assert.same({ "backend=ram share=true", "backend=ram share=false", "backend=file share=true",
      "backend=file share=false" }, names { keys = KEYS })
    assert.same({ "a=1", "a=two" }, names { keys = { a = { 1, { name = "two" } } } })
  end)

  it("are filtered by values, patterns and functions", function()
    assert.same({ "backend=file share=true" }, names { keys = KEYS,
      only = { backend = "file", share = true } })
    assert.same({ "backend=ram share=false", "backend=file share=false" }, names { keys = KEYS,
      only = { backend = { "ram", "file" } }, no = { { share = true } } })
    assert.same({ "backend=ram share=true" }, names { keys = KEYS, only = "ram",
      no = function(cell) return not cell.share end })
    assert.same({ "backend=ram share=true", "backend=file share=false" }, names { keys = KEYS,
      only = { { backend = "ram", share = true }, "file.*false" } })
  end)

  it("refuse a filter for what is not a key", function()
    local err = machines.raised(testing.cells, { keys = KEYS, no = { shape = true } })
    assert.equal("variants: no: 'shape' is not a key (did you mean 'share'?)", err.message)
    err = machines.raised(testing.variants, { kays = KEYS })
    assert.equal("variants: 'kays' is not an option (did you mean 'keys'?)", err.message)
  end)

  it("are an example each, with a machine, a result and a reason of its own", function()
    local path <close> = command.file([[
      local testing = require "lunik.testing"
      testing.variants {
        name = "a table", keys = { slots = { 1, 2, 300 }, share = { true, false } },
        no = { slots = 1, share = false },
        skip = function(cell) return cell.slots == 2 and not cell.share and "no luck" or nil end,
        machine = function(cell) return { slots = cell.slots } end,
        test = function(t, cell) assert.equal(cell.slots, t.m:object("device-memory").slots) end,
      }
    ]], "_spec.lua")
    local function run(env)
      local out = command.run(("%s %s /usr/bin/busted --ignore-lua -o TAP %s"):format(env,
        command.interpreter, path))
      return out:gsub(tostring(path):gsub("%p", "%%%0"), "spec.lua")
    end
    assert.equal([[
ok 1 - a table, share=true slots=1
ok 2 - a table, share=true slots=2
not ok 3 - a table, share=true slots=300
# spec.lua @ 2
# Failure message: spec.lua:2: slots: '300' is out of range (want 0 to 256)
ok 4 - # SKIP spec.lua:2: no luck
not ok 5 - a table, share=false slots=300
# spec.lua @ 2
# Failure message: spec.lua:2: slots: '300' is out of range (want 0 to 256)
1..5
]], run "")
    assert.equal("ok 1 - a table, share=true slots=2\nok 2 - # SKIP spec.lua:2: no luck\n1..2\n",
      run "LUNIK_VARIANTS='slots=2$'")
  end)
end)

describe("each_guest", function()
  it("is limited by the environment", function()
    local path <close> = command.file([[
      local testing = require "lunik.testing"
      testing.each_guest(function(guest)
        it("runs", function() testing.machine { guest = guest } end)
      end)
    ]], "_spec.lua")
    local out = command.run(
      ("LUNIK_GUESTS=scripted,none %s /usr/bin/busted --ignore-lua -o TAP %s"):format(
        command.interpreter, path))
    assert.equal("ok 1 - on the scripted guest runs\n1..1\n", out)
  end)
end)
