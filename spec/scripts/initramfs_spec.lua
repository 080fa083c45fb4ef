local initramfs = require "lunik.initramfs"

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  local ok = pipe:close()
  return text, ok
end

local function field(image, at, index)
  return tonumber(image:sub(at + 6 + index * 8, at + 13 + index * 8), 16)
end

-- The members of an archive: name -> {mode=, data=, major=, minor=}.
local function members(image)
  local found, order, at = {}, {}, 1
  while true do
    assert.equal("070701", image:sub(at, at + 5))
    local size, name_size = field(image, at, 6), field(image, at, 11)
    local name = image:sub(at + 110, at + 110 + name_size - 2)
    local data_at = at + (110 + name_size + 3) // 4 * 4
    if name == "TRAILER!!!" then
      assert.equal(#image, data_at - 1)
      return found, order
    end
    table.insert(order, name)
    found[name] = { mode = field(image, at, 1), data = image:sub(data_at, data_at + size - 1),
      major = field(image, at, 9), minor = field(image, at, 10) }
    at = data_at + (size + 3) // 4 * 4
  end
end

describe("initramfs", function()
  it("lays out files, folders, links and device nodes, folders first", function()
    local found, order = members(initramfs.build {
      ["/etc/deep/motd"] = { data = "hello" },
      ["/bin/sh"] = { link = "busybox" },
      ["dev/console"] = { char = { 5, 1 } },
      ["/etc"] = { dir = true, mode = "700" },
    })
    assert.same({ "bin", "bin/sh", "dev", "dev/console", "etc", "etc/deep", "etc/deep/motd" },
      order)
    assert.same({ mode = 0x81a4, data = "hello", major = 0, minor = 0 }, found["etc/deep/motd"])
    assert.same({ mode = 0xa1ff, data = "busybox", major = 0, minor = 0 }, found["bin/sh"])
    assert.same({ mode = 0x2180, data = "", major = 5, minor = 1 }, found["dev/console"])
    assert.equal(0x41c0, found.etc.mode)
    assert.equal(0x41ed, found["etc/deep"].mode)
  end)

  it("takes a folder of the host", function()
    local folder = os.tmpname()
    os.remove(folder)
    run(("mkdir -p %s/sub && printf x >%s/sub/f && chmod 750 %s/sub/f && ln -s f %s/sub/l")
      :format(folder, folder, folder, folder))
    finally(function() run("rm -r " .. folder) end)
    local found = members(initramfs.build(initramfs.from_folder(folder)))
    assert.equal("x", found["sub/f"].data)
    assert.equal(0x81e8, found["sub/f"].mode)
    assert.equal("f", found["sub/l"].data)
    assert.equal(0xa1ff, found["sub/l"].mode)
    run("mkfifo " .. folder .. "/sub/p")
    local ok, err = pcall(initramfs.from_folder, folder)
    assert.same({ false, "initramfs: " .. folder
      .. "/sub/p: is neither file, folder nor symbolic link" }, { ok, err })
    ok, err = pcall(initramfs.from_folder, folder .. "/none")
    assert.same({ false, "initramfs: " .. folder .. "/none: can't be read" }, { ok, err })
  end)

  it("finds modules with what they need, in loading order", function()
    local folder = os.tmpname()
    os.remove(folder)
    run(("mkdir -p %s/kernel && cd %s && touch kernel/a.ko kernel/b-c.ko && "
      .. "printf 'kernel/a.ko: kernel/b-c.ko\\nkernel/b-c.ko:\\n' >modules.dep && "
      .. "echo kernel/built-in.ko >modules.builtin"):format(folder, folder))
    finally(function() run("rm -r " .. folder) end)
    local entries, order = initramfs.modules("6.1", { "a", "b_c", "built_in" }, folder)
    assert.same({ "/lib/modules/6.1/kernel/b-c.ko", "/lib/modules/6.1/kernel/a.ko" }, order)
    assert.equal(folder .. "/kernel/a.ko", entries[order[2]].file)
    assert.error_matches(function() initramfs.modules("6.1", { "nope" }, folder) end,
      "module 'nope' is not in")
  end)

  it("refuses what it can't put into an image", function()
    for entries, message in pairs {
      [{ ["/a"] = { file = "/nonexistent" } }] = "nonexistent",
      [{ ["/a"] = {} }] = "a: has no content",
      [{ ["/a"] = { dir = true, data = "" } }] = "a: is both",
      [{ ["/a"] = { dir = true, owner = 1 } }] = "'owner' is not an attribute",
      [{ ["/../a"] = { dir = true } }] = "is not a path inside",
      [{ ["/"] = { dir = true } }] = "is not a path inside",
      [{ ["/a"] = { dir = true, mode = "9" } }] = "mode '9' is not an octal number",
    } do
      assert.error_matches(function() initramfs.build(entries) end, message)
    end
    assert.error_matches(function() initramfs.write("/nonexistent/x", {}) end, "nonexistent")
  end)
end)
