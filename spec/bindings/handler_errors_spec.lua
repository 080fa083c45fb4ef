-- Handlers may raise any value, also one that can't be converted to text. The error is reported,
-- and the work after the handler continues.
local core = require "lunik.core"
local lunik = require "lunik"
local command = require "spec.support.command"
local machines = require "spec.support.machines"

local function raises() error "no text" end

-- A value, and words of the report of it.
local values = {
  ["nil"] = { nil, "nil" },
  ["false"] = { false, "false" },
  ["a number"] = { 1.5, "1.5" },
  ["a table"] = { {}, "table: 0x" },
  ["a coroutine"] = { coroutine.create(print), "thread: 0x" },
  ["a text with a zero byte"] = { "a\0b", "a\\0b" },
  ["a long text"] = { ("x"):rep(100000), "xxxx" },
  ["an object whose __tostring raises"] = { setmetatable({}, { __tostring = raises }),
    "(error object is a table value)" },
  ["an object whose __tostring gives no text"] = {
    setmetatable({}, { __tostring = function() return {} end }),
    "(error object is a table value)" },
  ["an object whose __tostring gives a zero byte"] = {
    setmetatable({}, { __tostring = function() return "\0!" end }), "\\0!" },
  ["an error object with an odd message"] = { lunik.error("io",
    setmetatable({}, { __tostring = raises })), "(error object is a table value)" },
}

describe("core.text()", function()
  for name, case in pairs(values) do
    it("makes a text of " .. name, function()
      local text = core.text(case[1])
      assert.are.equal("string", type(text))
      assert.is_truthy(text:find(case[2], 1, true), text:sub(1, 80))
      assert.is_nil(text:find("\0", 1, true))
    end)
  end
end)

for name, case in pairs(values) do
  describe("when " .. name .. " is raised", function()
    local m, reports
    local function bad() error(case[1], 0) end

    before_each(function()
      m = machines.none { serial = "none" }
      m:start()
      reports = {}
      m:on("error", function(ev) reports[#reports + 1] = ev end)
    end)
    after_each(machines.close_all)

    local function reported(source)
      lunik.sleep(0)
      assert.are.equal(1, #reports)
      assert.are.equal(source, reports[1].source)
      assert.is_truthy(reports[1].message:find(case[2], 1, true), reports[1].message:sub(1, 80))
    end

    it("by a handler, the next one is called", function()
      local called = false
      m:on("tick", bad)
      m:on("tick", function() called = true end)
      m:emit "tick"
      lunik.run "nowait"
      assert.is_true(called)
      reported "a handler of 'tick'"
    end)

    it("by a reset handler, the next one is called", function()
      local called = false
      m:on_reset(bad)
      m:on_reset(function() called = true end)
      m:reset()
      assert.is_true(called)
      reported "a reset handler"
    end)

    it("by an observer of a line, the next one is called", function()
      local called = 0
      local observer = m:on_irq(bad)
      m:on_irq(function() called = called + 1 end)
      local line = m:irq(5)
      line:set(true)
      assert.are.equal(1, called)
      observer:off()
      reported "an interrupt observer"
      line:set(false)
    end)

    it("by a device, the access ends", function()
      m.io.root:add(m:region { kind = "io", name = "p", size = 1, read = bad }, 0x510)
      assert.are.equal(0xff, m:inb(0x510))
      reported "a read handler"
    end)

    it("by a coroutine, who waits for it gets it", function()
      local task = lunik.spawn(bad)
      assert.are.equal(case[1], machines.raised(task.wait, task))
      task = lunik.spawn(function()
        lunik.sleep(0)
        bad()
      end)
      assert.are.equal(case[1], machines.raised(task.wait, task, { timeout = 5 }))
    end)

    it("where only standard error is left, it says so", function()
      local text = machines.stderr(function()
        lunik.spawn(bad)
        lunik.run "nowait"
      end)
      assert.is_truthy(text:find("lunik: a coroutine: ", 1, true), text:sub(1, 80))
      assert.is_truthy(text:find(case[2], 1, true), text:sub(1, 80))
    end)
  end)
end

describe("an error that can't be reported", function()
  after_each(machines.close_all)
  it("does not keep later handlers from being called", function()
    local m, called = machines.none(), false
    m:on("tick", function() error "bad" end)
    m:on("tick", function() called = true end)
    m:emit "tick"
    local real = io.stderr
    io.stderr = { write = raises } -- luacheck: ignore 122
    lunik.run "nowait"
    io.stderr = real -- luacheck: ignore 122
    assert.is_true(called)
  end)
end)

describe("the command", function()
  local BAD = "setmetatable({}, { __tostring = function() error 'no text' end })"
  it("says that a script raised what has no text", function()
    local _, err, code = command.run(('%s -e "error(%s)"'):format(command.lunik, BAD))
    assert.are.equal("lunik: (error object is a table value)", err:match "^[^\n]*")
    assert.are.equal(1, code)
  end)
  it("says what is wrong where the text has a zero byte", function()
    local _, err, code = command.run(command.lunik .. [[ -e 'error("a\0b", 0)']])
    assert.are.equal("lunik: a\\0b", err:match "^[^\n]*")
    assert.are.equal(1, code)
  end)
  it("goes on at the prompt, with errors and with values", function()
    local out, err = command.run(command.lunik .. " -i",
      ("error(%s)\n%s\n{ [%s] = 1 }\n6 * 7\n"):format(BAD, BAD, BAD))
    assert.is_truthy(err:find("(error object is a table value)", 1, true), err)
    assert.is_truthy(out:find("42\n", 1, true), out .. err)
  end)
end)

describe("a report that nothing reads", function()
  -- The script holds both ends of the pipe that is its standard error.
  local SCRIPT = [[
    local pipe = assert(io.open(..., "rb"))
    local function fail(text)
      lunik.spawn(error, text, 0)
      lunik.sleep(0)
    end
    for _ = 1, 30 do fail(("x"):rep(10000)) end
    print "went on"
    pipe:setvbuf "no"
    pipe:read(8192)
    fail "can be read"
    for line in pipe:lines() do
      local lost = line:match "lunik: (%d+) messages were lost"
      if lost then print(tonumber(lost) > 10) end
      if line:find("can be read", 1, true) then break end
    end
  ]]

  it("is dropped after a while, and counted", function()
    local path <close> = command.file ""
    os.remove(tostring(path))
    local script <close> = command.file(SCRIPT)
    local out, _, code = command.run(("mkfifo %s; timeout -s KILL 30 sh -c 'exec %s %s %s 2<>%s'")
      :format(path, command.lunik, script, path, path))
    assert.same({ "went on\ntrue\n", 0 }, { out, code })
  end)
end)
