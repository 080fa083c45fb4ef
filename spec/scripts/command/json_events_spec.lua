local command = require "spec.support.command"
local decode = require "lunik.json_decode"

local run = command.run

-- Returns the objects that a script prints, and the exit code.
local function events_of(script, options)
  local path <close> = command.file(script, ".lua")
  local out, err, code = run(("%s --json %s %s"):format(command.lunik, options or "", path))
  local list = {}
  for line in out:gmatch "(.-)\n" do
    local object = decode(line)
    assert.is_true(type(object.type) == "string" and object.time >= 0, line)
    list[#list + 1] = object
  end
  return list, code, err
end

-- Returns the only object with these members.
local function the(list, members)
  local found
  for _, object in ipairs(list) do
    local same = true
    for key, value in pairs(members) do same = same and object[key] == value end
    if same then
      assert.is_nil(found)
      found = object
    end
  end
  return assert(found, "none is there")
end

local MACHINE = [[
local m = lunik.machine { board = "pc", accel = "none", memory = "64M", maxmem = "1G", slots = 1,
  serial = "buffer", name = "one" }
]]

describe("lunik --json", function()
  it("prints what happens, one object a line, and nothing else", function()
    local list, code = events_of(MACHINE .. [[
      print("said", 1)
      io.write("written\n")
      io.stdout:write("too \"quoted\"\n")
      m:object_add("memory-backend-ram", { id = "mem1", size = "16M" })
      m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
      for c in ("hello\r\nrest"):gmatch "." do m:outb(0x3f8, c:byte()) end
      m:emit("mine", { address = 0xffffffff80000000 >> 1, list = "x" })
      lunik.sleep(0.02)
      lunik.exit(3)
    ]])
    assert.equal(3, code)
    the(list, { type = "output", text = "said\t1\n" })
    the(list, { type = "output", text = "written\n" })
    the(list, { type = "output", text = "too \"quoted\"\n" })
    the(list, { type = "machine", machine = "one", accel = "none" })
    the(list, { type = "console", machine = "one", text = "hello" })
    local added
    for _, object in ipairs(list) do
      if object.event == "device-added" and object.data.device == "dimm1" then added = object end
    end
    assert.same({ "event", "one", "pc-dimm" }, { added.type, added.machine, added.data.driver })
    assert.equal("0x7fffffffc0000000", the(list, { event = "mine" }).data.address)
    assert.equal(3, the(list, { type = "exit" }).code)
    assert.equal("exit", list[#list].type)
  end)

  it("prints errors there as well", function()
    local list, code, err = events_of(MACHINE .. [[
      m:on("mine", function() error "in a handler" end)
      m:emit "mine"
      lunik.sleep(0.02)
      error "at last"
    ]])
    assert.equal(1, code)
    local messages = {}
    for _, object in ipairs(list) do
      if object.type == "error" then messages[#messages + 1] = object.message end
    end
    assert.matches("in a handler", messages[1], 1, true)
    assert.matches("at last", messages[#messages], 1, true)
    assert.matches("at last", err, 1, true)
    assert.equal(1, list[#list].code)
  end)

  it("keeps the serial port of a board in memory", function()
    local out = run(("timeout 2 %s --json --board micro -o accel=none -o memory=1M"):format(
      command.lunik))
    assert.matches('"event":"started","machine":"micro"', out, 1, true)
    for line in out:gmatch "(.-)\n" do assert.matches("^{.*}$", line) end
  end)
end)

describe("lunik --board", function()
  local function board(line, input)
    return run(("%s %s"):format(command.lunik, line), input)
  end

  it("runs a board by name or file", function()
    for _, name in ipairs { "micro", "scripts/boards/micro.lua" } do
      local out, err, code = board(("-i --board %s -o accel=none -o memory=3M"):format(name),
        "m.name, m.state, m.memory:find(0x2fffff).region.name\n")
      assert.same({ '"micro"\t"running"\t"pc.ram"\n', "", 0 }, { out, err, code })
    end
  end)

  for line, want in pairs {
    ["--board pcc"] = "'pcc' is not a known board (did you mean 'pc'?)",
    ["--board pc -o memory=x"] = "memory: 'x' is not a size",
    ["--board pc -o bord=x"] = "'bord' is not an option (did you mean 'board'?)",
    ["--board pc x.lua"] = "'x.lua': --board takes no script (want -o name=value)",
    ["--board"] = "'--board' needs an argument",
  } do
    it("refuses " .. line, function()
      local _, err, code = board(line)
      assert.matches(want, err, 1, true)
      assert.is_true(code == 1 or code == 2)
    end)
  end
end)
