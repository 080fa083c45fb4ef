-- The public headers: what is declared there is described there.

-- Header -> how many functions it declares at least, so that none is overlooked.
local headers = {
  ["runtime/lunik.h"] = 90, ["runtime/lunik_memory.h"] = 90, ["runtime/lunik_device.h"] = 45,
  ["runtime/lunik_state.h"] = 3, ["runtime/lunik_pci.h"] = 9,
  ["runtime/lunik_trace.h"] = 7, ["bindings/lunik_lua.h"] = 3,
}

-- Calls fn with the first line of each declaration of a function, and whether it has a comment:
-- right above it, or above others that it stands together with.
local function each_function(path, fn)
  local described, inside = false, false
  for line in io.lines(path) do
    if line == "" then
      described = false
    elseif line:find("^/%*") or inside then
      inside = not line:find("%*/")
      described = true
    elseif line:find("^[%a].-lunik_[%w_]+%(") and not line:find("^typedef")
      and not line:find("^static inline const lunik_##") then
      fn(line, described)
    end
  end
end

describe("a public header", function()
  for path, least in pairs(headers) do
    it(path .. " describes each function", function()
      local count, bare = 0, {}
      each_function(path, function(line, described)
        count = count + 1
        if not described then table.insert(bare, line) end
      end)
      assert.same({}, bare)
      assert.is_true(count >= least, ("%s: %d functions"):format(path, count))
    end)
  end
end)
