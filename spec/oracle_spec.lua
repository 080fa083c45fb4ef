-- The memory oracle's shrinker: a wrong model is found out, and told as a short script that runs.
local command = require "spec.support.command"

describe("the memory oracle", function()
  local oracle = command.build .. "/spec/test_memory_oracle"

  local function fail()
    local out, _, code = command.run(oracle .. " --wrong 1 200")
    assert.are.equal(1, code)
    assert.matches("^not ok oracle: ", out)
    return out:match "(%-%- seed .*)"
  end

  it("prints the steps that matter as a Lua script", function()
    local file = io.open(oracle)
    if not file then return pending "the C tests are not built" end
    file:close()
    local text = fail()
    local _, steps = text:gsub("\ntry%(", "")
    assert.is_true(steps >= 1 and steps <= 6, text)
    local script <close> = command.file(text, ".lua")
    local out, err, code = command.run(command.lunik .. " " .. tostring(script))
    -- The script asserts what the model, which is wrong here, said.
    assert.are.equal(1, code)
    assert.are.equal("", out)
    assert.matches("wrong", err, 1, true)
    assert.are.equal(text, fail())
  end)
end)
