-- Rows of spec/qa_matrix_spec.lua: how the host backs a DIMM's memory, and that it gets it back.
local assert = require "luassert"
local lunik = require "lunik"
local placement = require "spec.support.matrix.placement"
local testing = require "lunik.testing"

local host = testing.host
local SIZE = 128 << 20
local BACKENDS = { "ram", "memfd", "file" }

-- A file with a text at two places: the first page of each 4 MiB is written by guests that test
-- memory, the bytes after it are not.
local OFFSET = 0x1100
local function existing_file(text)
  local path = testing.file("", { memory = true })
  local file = assert(io.open(path, "r+b"))
  file:seek("set", SIZE - 1)
  file:write "\0"
  file:seek("set", OFFSET)
  file:write(text)
  file:close()
  return path
end

local function read_at(path, offset, length)
  local file = assert(io.open(path, "rb"))
  file:seek("set", offset)
  local text = file:read(length)
  file:close()
  return text
end

return {
  { "all switches of a backend off", keys = { backend = BACKENDS }, test = function(t, cell)
    t:plug { backend = cell.backend, size = SIZE, share = false, merge = false, dump = false,
      prealloc = false, reserve = false }
    t:check()
    local flags = host.mapping(t.m, "dimm1").flags
    assert.same({ nil, true, nil, true }, { flags.mg, flags.dd, flags.sh, flags.nr })
    t:unplug "dimm1"
    t:check()
  end },

  { "policies", keys = { policy = placement.policies },
    test = function(t, cell)
      placement.has_policy(t, cell.policy, { size = SIZE })
    end },

  { "merge", keys = { merge = { true, false } }, test = function(t, cell)
    t:plug { backend = "ram", size = SIZE, merge = cell.merge }
    assert.equal(cell.merge or nil, host.mapping(t.m, "dimm1").flags.mg)
  end },

  { "contents of a file", keys = { discard = { true, false } }, test = function(t, cell)
    local path = existing_file "kept?"
    t:plug { backend = "file", size = SIZE, share = true, ["mem-path"] = path,
      ["discard-data"] = cell.discard }
    t:unplug "dimm1"
    t:check()
    assert.equal(cell.discard and "\0\0\0\0\0" or "kept?", read_at(path, OFFSET, 5))
  end },

  { "a file with contents becomes a DIMM", keys = { share = { true, false } },
    test = function(t, cell)
      local path = existing_file "before"
      local dimm = t:plug { backend = "file", size = SIZE, share = cell.share,
        ["mem-path"] = path }
      assert.equal("before", t.m:read(dimm.addr + OFFSET, 6))
      t.m:write(dimm.addr + OFFSET, "after!")
      assert.equal(cell.share and "after!" or "before", read_at(path, OFFSET, 6))
      t:check()
    end },

  { "two preallocated files while the machine is stopped", test = function(t)
    local before, most = #host.threads(), 0
    t.m:on("prealloc-progress", function() most = math.max(most, #host.threads()) end)
    t.m:pause()
    t.m:object_add("memory-backend-file", { id = "one", size = SIZE, prealloc = true,
      ["mem-path"] = testing.file("", { memory = true }) })
    t.m:object_add("memory-backend-file", { id = "two", size = SIZE, prealloc = true,
      ["prealloc-threads"] = 4, ["mem-path"] = testing.file("", { memory = true }) })
    lunik.sleep(0)
    for _, id in ipairs { "one", "two" } do
      assert.equal(SIZE, host.mapping(t.m, id).resident)
      t:plug { memdev = id }
    end
    assert.is_true(most <= before + 4)
    t.m:resume()
    t:check()
    assert.equal(before, #host.threads())
  end },

  { "share and discard-data, cold and hot", keys = { backend = BACKENDS, cold = { true, false } },
    machine = function(cell)
      local cold = {}
      for i, share in ipairs { true, false } do
        cold[i] = cell.cold and { id = "d" .. i, backend = cell.backend, size = SIZE,
          share = share } or nil
      end
      return { slots = 6, cold = cold }
    end,
    test = function(t, cell)
      for i, share in ipairs { true, false } do
        if not cell.cold then
          t:plug { id = "d" .. i, backend = cell.backend, size = SIZE, share = share }
        end
        assert.equal(share, t.m:object(("d%d-mem"):format(i)).share)
      end
      t:check()
      if cell.backend ~= "file" then return end
      for i, discard in ipairs { true, false } do
        t:plug { id = "e" .. i, backend = "file", size = SIZE, share = true,
          ["discard-data"] = discard }
        assert.equal(discard, t.m:object(("e%d-mem"):format(i)):get "discard-data")
      end
      t:check()
    end },

  { "memory that a script has looked at goes back to the host", test = function(t)
    local dimm = t:plug { size = SIZE, backend = "ram", prealloc = true }
    local section = t.m.memory:find(dimm.addr)
    local before = host.rss()
    t:unplug "dimm1"
    testing.eventually(function() return before - host.rss() > SIZE // 2 end,
      { what = "the DIMM's memory to go back to the host" })
    t:close()
    assert.is_truthy(section.region)
  end },
}
