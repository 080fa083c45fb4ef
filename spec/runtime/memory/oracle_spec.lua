-- The memory oracle's shrinker: a wrong model is found out, and told as a short script that runs.
local command = require "spec.support.command"

describe("the memory oracle", function()
  local oracle = command.build .. "/spec/test_memory_oracle"

  local function fail(how)
    local out, _, code = command.run(oracle .. " --wrong-" .. how .. " 1 200")
    assert.are.equal(1, code)
    assert.matches("^not ok oracle: ", out)
    return out:match "(%-%- seed .*)"
  end

  for _, how in ipairs { "view", "result" } do
    it("prints the steps that matter as a Lua script: " .. how, function()
      local file = io.open(oracle)
      if not file then return pending "the C tests are not built" end
      file:close()
      local text = fail(how)
      local _, steps = text:gsub("\ntry%(", "")
      assert.is_true(steps <= 6, text)
      local script <close> = command.file(text, ".lua")
      local out, err, code = command.run(command.lunik .. " " .. tostring(script))
      -- The script asserts what the model, which is wrong here, said.
      assert.are.equal(1, code)
      assert.are.equal("", out)
      assert.matches("wrong", err, 1, true)
      assert.are.equal(text, fail(how))
    end)
  end
end)
