-- Rows of spec/qa_matrix_spec.lua: persistent memory. The scripted guest alone calls its methods.
local assert = require "luassert"
local command = require "spec.support.command"

local ONLY_SCRIPTED = { small = "has no NVDIMMs", linux = "has no NVDIMMs in this matrix" }
local MACHINE = { slots = 4, maxmem = "2G", nvdimm = true, record = false }
local GET, SET = 5, 6

local function row(r)
  r.no_guests, r.machine = ONLY_SCRIPTED, r.machine or MACHINE
  return r
end

local function plug(t, props, file)
  local backend = { id = "nv1-mem", size = "8M", share = true }
  for name, value in pairs(file) do backend[name] = value end
  local device = { id = "nv1", memdev = "nv1-mem" }
  for name, value in pairs(props) do device[name] = value end
  t.m:object_add("memory-backend-file", backend)
  return t.m:device_add("nvdimm", device)
end

-- What the scripted guest has of the only NVDIMM.
local function seen(t)
  t.guest:ready()
  return t.guest.guest.nvdimms, t.guest.guest.nvdimms.online[1]
end

local function refused(t, words, props, file)
  local ok, err = pcall(plug, t, props, file)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(words, 1, true), tostring(err))
  assert.equal(0, t.m:object("device-memory").used)
  assert.is_nil((select(2, seen(t))))
end

return {
  row { "an NVDIMM's contents stay over a reset, and are its file's",
    keys = { size = { "8M", "128M" }, labels = { 0, "128K", "2M" } },
    test = function(t, cell)
      local path <close> = command.file ""
      plug(t, { label_size = cell.labels }, { size = cell.size, mem_path = tostring(path) })
      local _, nvdimm = seen(t)
      t.m:write(nvdimm.address + nvdimm.size - 8, "contents")
      t.m:reset()
      local _, after = seen(t)
      assert.same(nvdimm, after)
      assert.equal("contents", t.m:read(after.address + after.size - 8, 8))
      local file <close> = assert(io.open(tostring(path), "rb"))
      file:seek("set", after.size - 8)
      assert.equal("contents", file:read(8))
    end },

  row { "labels stay over a reset",
    keys = { labels = { "128K", "256K", "2M" } },
    test = function(t, cell)
      local path <close> = command.file ""
      plug(t, { label_size = cell.labels }, { mem_path = tostring(path) })
      local nvdimms = seen(t)
      assert.equal(0, (nvdimms:dsm(1, SET, ("<I4I4"):pack(4096, 5) .. "label")))
      t.m:reset()
      nvdimms = seen(t)
      assert.same({ 0, "label" }, { nvdimms:dsm(1, GET, ("<I4I4"):pack(4096, 5)) })
    end },

  row { "an NVDIMM's labels are too small or too large, its file is not as it has to be",
    keys = {},
    test = function(t)
      local path <close> = command.file(("x"):rep(8 << 20))
      local file = { mem_path = tostring(path) }
      local function drop() t.m:object_del "nv1-mem" end
      for _, size in ipairs { 1, 4096, (128 << 10) - 1 } do
        refused(t, "label-size: " .. size .. " is too small", { label_size = size }, file)
        drop()
      end
      for _, size in ipairs { "8M", (8 << 20) - 1, "1G" } do
        refused(t, "leaves no room besides label-size", { label_size = size }, file)
        drop()
      end
      file.readonly = true
      refused(t, "unarmed: must be true", {}, file)
      drop()
      refused(t, "no such file", {}, { mem_path = "/nowhere/at/all" })
      refused(t, "is not a power of two", {}, { mem_path = tostring(path), align = "3M" })
      refused(t, "16777216", {}, { mem_path = tostring(path), size = "16M" })
    end },

  row { "persistent memory is wanted of a file system without direct access",
    keys = { size = { "2M", "8M" } },
    test = function(t, cell)
      local path <close> = command.file ""
      refused(t, "MAP_SYNC", {}, { mem_path = tostring(path), pmem = true, size = cell.size })
      refused(t, "wants share", {}, { mem_path = tostring(path), pmem = true, share = false })
    end },

  row { "an NVDIMM is to leave a running machine",
    keys = {},
    test = function(t)
      local path <close> = command.file ""
      plug(t, {}, { mem_path = tostring(path) })
      seen(t)
      local ok, err = pcall(t.m.device_del, t.m, "nv1")
      assert.is_false(ok)
      assert.truthy(tostring(err):find("can't be removed from a machine that has been started", 1,
        true))
      assert.truthy(select(2, seen(t)))
    end },
}
