-- Files of the firmware configuration: scripts add and read them, guests read them.
local lunik = require "lunik"

local function machine(options)
  options.board, options.accel, options.memory = "pc", "none", options.memory or "64M"
  options.serial = "none"
  if not options.firmware and options.fw_cfg == nil then options.fw_cfg = true end
  return lunik.machine(options)
end

-- What a guest reads of an item.
local function guest(m, key, size)
  m:outw(0x510, key)
  local bytes = {}
  for i = 1, size do bytes[i] = string.char(m:inb(0x511)) end
  return table.concat(bytes)
end

-- The directory as a guest reads it: name -> {key=, size=}
local function directory(m)
  local found = {}
  local count = (">I4"):unpack(guest(m, 0x19, 4))
  for _ = 1, count do
    local entry = {}
    for i = 1, 64 do entry[i] = string.char(m:inb(0x511)) end
    local size, key, _, name = (">I4I2I2z"):unpack(table.concat(entry))
    found[name] = { key = key, size = size }
  end
  return found
end

local function file(m, name)
  local entry = directory(m)[name]
  return entry and guest(m, entry.key, entry.size)
end

describe("fw_cfg", function()
  local m

  after_each(function()
    if m then m:close() end
    m = nil
  end)

  local function refused(code, message, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.equal(code, err.code)
    assert.matches(message, err.message, 1, true)
  end

  it("has what scripts add", function()
    m = machine {}
    m:fw_cfg_add("opt/text", "with\0zero")
    m:fw_cfg_add(0x8005, "item")
    assert.equal("with\0zero", file(m, "opt/text"))
    assert.equal("with\0zero", m:fw_cfg "opt/text")
    assert.equal("item", guest(m, 0x8005, 4))
    assert.equal("item", m:fw_cfg(0x8005))
    assert.is_nil(m:fw_cfg "opt/other")
    local names = m:fw_cfg()
    assert.equal("opt/text", names[#names])
  end)

  it("has what a file has", function()
    m = machine {}
    local path = os.tmpname()
    local out = assert(io.open(path, "wb"))
    out:write("a file's content")
    out:close()
    m:fw_cfg_add("opt/file", { file = path })
    os.remove(path)
    assert.equal("a file's content", file(m, "opt/file"))
    refused("not-found", "/nonexistent", m.fw_cfg_add, m, "opt/none", { file = "/nonexistent" })
    assert.is_nil(m:fw_cfg "opt/none")
  end)

  it("calls functions whenever a guest looks", function()
    m = machine {}
    local n = 0
    m:fw_cfg_add("opt/count", function()
      n = n + 1
      return ("x"):rep(n)
    end)
    assert.equal(1, n)
    local entry = directory(m)["opt/count"]
    assert.equal(2, entry.size)
    assert.equal("xxx\0", guest(m, entry.key, 4))
    assert.equal("xxxx", m:fw_cfg "opt/count")
  end)

  it("keeps the contents when a function returns nil or fails", function()
    m = machine {}
    local answer = "first"
    m:fw_cfg_add("opt/x", function()
      if answer == "raise" then error("no contents", 0) end
      return answer
    end)
    answer = nil
    assert.equal("first", file(m, "opt/x"))
    local errors = {}
    m:on("error", function(ev) errors[#errors + 1] = ev.message end)
    answer = "raise"
    assert.equal("first", m:fw_cfg "opt/x")
    answer = 5
    assert.equal("first", m:fw_cfg "opt/x")
    lunik.sleep(0)
    assert.equal(2, #errors)
    assert.matches("no contents", errors[1], 1, true)
  end)

  it("refuses what is not possible", function()
    m = machine {}
    refused("invalid", "contents: '5' is not possible", m.fw_cfg_add, m, "opt/x", 5)
    refused("invalid", "contents: the function returned nil", m.fw_cfg_add, m, "opt/x",
      function() end)
    refused("invalid", "'opt/a b' is not possible (want 1 to 55 characters", m.fw_cfg_add, m,
      "opt/a b", "")
    refused("invalid", "'0x19' is not possible", m.fw_cfg_add, m, 0x19, "")
    refused("exists", "'etc/e820' exists already", m.fw_cfg_add, m, "etc/e820", "")
    m:close()
    m = machine { fw_cfg = false }
    refused("not-found", "has no fw-cfg device", m.fw_cfg, m)
    refused("not-found", "has no fw-cfg device", m.fw_cfg_add, m, "opt/x", "")
  end)

  it("is described in the DSDT", function()
    m = machine {}
    assert.matches("QEMU0002", m:acpi_table "DSDT", 1, true)
    m:close()
    m = machine { fw_cfg = false }
    assert.is_nil(m:acpi_table("DSDT"):find("QEMU0002", 1, true))
  end)
end)
