-- Images of ext2 file systems, read by e2fsprogs.
local command = require "spec.support.command"
local ext2 = require "lunik.ext2"
local testing = require "lunik.testing"

local ON_PATH = "PATH=$PATH:/sbin:/usr/sbin "

local function missing()
  local _, _, code = command.run(ON_PATH .. "command -v e2fsck && " .. ON_PATH
    .. "command -v debugfs")
  return code ~= 0 and "e2fsprogs is not installed"
end

-- What debugfs says to a request about the image.
local function debugfs(path, request)
  return (command.run(("%s debugfs -R '%s' %s"):format(ON_PATH, request, path)))
end

local function write_checked(entries, size)
  local path = testing.directory() .. "/image"
  ext2.write(path, entries, { size = size })
  local out, err, code = command.run(("%s e2fsck -fn %s"):format(ON_PATH, path))
  assert.equal(0, code, out .. err)
  return path, out
end

describe("ext2", function()
  it("makes file systems in which e2fsck finds nothing to mend", function()
    if missing() then return pending(missing()) end
    local many = {}
    for i = 1, 700 do many["/many/a-file-with-a-long-name-" .. i] = { data = tostring(i) } end
    for _, entries in ipairs { {}, { ["/a/b/c/d"] = { data = "deep" } }, many } do
      write_checked(entries)
    end
    write_checked({}, "128M")
    write_checked({}, "64K")
  end)

  it("keeps contents of every size", function()
    if missing() then return pending(missing()) end
    -- direct, indirect and doubly indirect blocks
    local entries = {}
    for _, size in ipairs { 0, 1, 4096, 4097, 12 * 4096, 12 * 4096 + 1, 1036 * 4096 + 1 } do
      entries["/" .. size] = { data = ("%d."):format(size):rep(size):sub(1, size) }
    end
    local path = write_checked(entries, "32M")
    for name, entry in pairs(entries) do
      assert.is_true(debugfs(path, "cat " .. name) == entry.data, name)
    end
  end)

  it("keeps kinds and modes", function()
    if missing() then return pending(missing()) end
    local path = write_checked {
      ["/file"] = { data = "x", mode = "640" }, ["/dir"] = { dir = true, mode = "700" },
      ["/short"] = { link = "file" }, ["/long"] = { link = ("x/"):rep(40) },
      ["/null"] = { char = { 1, 3 } }, ["/disk"] = { block = { 259, 70000 } },
    }
    local function stat(name) return debugfs(path, "stat " .. name) end
    assert.matches("Type: regular%s+Mode:%s+0640", stat "/file")
    assert.matches("Type: directory%s+Mode:%s+0700", stat "/dir")
    assert.matches('Fast link dest: "file"', stat "/short")
    assert.matches("Type: symlink%s+.*Size: 80", stat "/long")
    assert.matches("Type: character special.*01:03", stat "/null")
    assert.matches("259:70000", stat "/disk")
  end)

  it("refuses what does not fit", function()
    local function message(...)
      local ok, err = pcall(ext2.build, ...)
      assert.is_false(ok)
      return tostring(err)
    end
    assert.matches("ext2: the files do not fit into 1048576 bytes",
      message({ ["/x"] = { data = ("x"):rep(1 << 20) } }, { size = "1M" }))
    assert.matches("ext2: size: 268435456 is too much %(want at most 134217728%)",
      message({}, { size = "256M" }))
    assert.matches("ext2: size: 4096 is too little", message({}, { size = 4096 }))
    assert.matches("ext2: a/b: 'a' is not a folder",
      message { ["/a"] = { data = "" }, ["/a/b"] = { data = "" } })
    assert.matches("ext2: x: has no content", message { ["/x"] = {} })
    assert.matches("'sizes' is not an option", message({}, { sizes = 1 }))
  end)
end)
