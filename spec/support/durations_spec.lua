-- The order in which the runner starts files.
local command = require "spec.support.command"
local durations = require "spec.support.durations"

describe("how long files took", function()
  it("is kept in a file", function()
    local path <close> = command.file ""
    durations.write(tostring(path), { ["spec/b c_spec.lua"] = 0.5, ["spec/a_spec.lua"] = 12 })
    assert.equal("12.00 spec/a_spec.lua\n0.50 spec/b c_spec.lua\n", command.read(path))
    assert.same({ ["spec/b c_spec.lua"] = 0.5, ["spec/a_spec.lua"] = 12 },
      durations.read(tostring(path)))
  end)

  it("is not known of other lines, and without the file", function()
    local path <close> = command.file "x y\n\n3\n1.5 z\n"
    assert.same({ z = 1.5 }, durations.read(tostring(path)))
    assert.same({}, durations.read "/nowhere/at/all")
  end)

  it("puts those first that run with no other, then new ones, then the longest", function()
    local jobs = {}
    for name in ("short long new even even2 alone"):gmatch "%S+" do
      table.insert(jobs, { name = name, alone = name == "alone" })
    end
    durations.sort(jobs, { short = 1, long = 9, even = 2, even2 = 2, alone = 0.1 })
    local names = {}
    for i, job in ipairs(jobs) do names[i] = job.name end
    assert.equal("alone new long even even2 short", table.concat(names, " "))
  end)
end)
