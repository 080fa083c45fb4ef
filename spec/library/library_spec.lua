-- library/*.lua say what there is, and no more than there is.
local core = require "lunik.core"
local lunik = require "lunik"

local testing = require "lunik.testing"

local FILES = {
  lunik = "library/lunik.lua", testing = "library/testing.lua", agent = "library/agent.lua",
}

local function read(path)
  local file = assert(io.open(path))
  local content = file:read "a"
  file:close()
  return content
end

local text = read(FILES.lunik)
local testing_text = read(FILES.testing)

local function sorted(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

local function keys_of(...)
  local set = {}
  for _, t in ipairs { ... } do
    for key in pairs(t) do
      if type(key) == "string" and key:sub(1, 2) ~= "__" then
        set[key] = true
      end
    end
  end
  return sorted(set)
end

-- The names that the file declares: function CLASS:name(
local function declared_functions(prefix, from)
  local set = {}
  for name in (from or text):gmatch("\nfunction " .. prefix .. "[.:]([%w_]+)%(") do
    assert.is_nil(set[name], prefix .. " declares " .. name .. " twice")
    set[name] = true
  end
  return set
end

-- The fields of ---@class NAME
local function declared_fields(class, from)
  local name_pattern = class:gsub("%p", "%%%0")
  from = from or text
  local block = from:match("\n%-%-%-@class " .. name_pattern .. "%f[\n:][^\n]*\n(.-)\n[^-]")
  assert(block, "there is no class " .. class)
  local set = {}
  for name in (block .. "\n"):gmatch("%-%-%-@field ([%w_]+)%??%s") do
    set[name] = true
  end
  return set
end

-- The first listener makes libuv keep a descriptor for clients that come when there are none left.
lunik.prompt({ path = os.tmpname() .. ".sock" }):close()

describe("library/lunik.lua", function()
  it("lists what the module has", function()
    local only_in_the_command = { exit = true }
    assert.are.same(keys_of(lunik, only_in_the_command),
      keys_of(declared_functions "lunik", declared_fields "lunik"))
  end)

  for name, class in pairs(core.classes) do
    if name ~= "LoopTimer" then
      it("lists the methods and fields of " .. name, function()
        assert.are.same(keys_of(class.methods), sorted(declared_functions(name)))
        assert.are.same(keys_of(class.getters, class.setters),
          sorted(declared_fields("lunik." .. name)))
      end)
    end
  end

  local in_lua = {
    Subscription = require("lunik.event").Subscription,
    Watch = require("lunik.watch").Watch,
    Task = require("lunik.wait").Task,
    Console = require("lunik.console").Console,
    Netdev = require("lunik.netdev").Netdev,
    Stream = require("lunik.stream").Stream,
    Monitor = require("lunik.qmp.monitor").Monitor,
    PromptServer = require("lunik.prompt.server").Server,
    Gdb = require("lunik.gdb.server").Gdb,
    Unplug = require("lunik.unplug").Unplug,
    View = require("lunik.memory").View,
    Mapping = require("lunik.memory").Mapping,
    Dev = require("lunik.device").Dev,
    DevPci = require("lunik.device").DevPci,
    Samples = require("lunik.sample").Samples,
    PciFunction = require("lunik.pci").Function,
    PciFunctions = require("lunik.pci").List,
    Recorder = require("lunik.record.recorder").Recorder,
    Flight = require("lunik.record.flight").Flight,
    Report = require("lunik.report").Report,
  }
  for name, class in pairs(in_lua) do
    it("lists the methods of " .. name, function()
      assert.are.same(keys_of(class), sorted(declared_functions(name)))
    end)
  end

  it("lists every event, each with a class of its own", function()
    local known = {}
    for _, name in ipairs(require("lunik.event").known) do
      known[name] = true
      declared_fields("lunik.event." .. name)
    end
    local listed = {}
    for name in text:gmatch('\n%-%-%-| "([%w-]+)"') do
      listed[name] = true
    end
    assert.are.same(sorted(known), sorted(listed))
    for name in text:gmatch "%-%-%-@class lunik%.event%.([%w-]+)" do
      assert.is_true(known[name], name)
    end
  end)

  it("knows the events that the sources send, and no others", function()
    local sent = {}
    local pipe = assert(io.popen "cat runtime/*/*.c devices/*.c devices/*/*.c acpi/*.c")
    local source = pipe:read "a"
    pipe:close()
    for arguments in source:gmatch "[%s_]emit[%w_]*(%b())" do
      local name = arguments:match '^%([^,"]*,%s*"([%l-]+)"'
      if name then
        sent[name] = true
      end
    end
    sent["dump-completed"] = true -- sent by the Lua half
    sent["vcpu-exit"] = true -- asked of subscribers to exits, not sent
    assert.are.same(sorted(sent), keys_of((function()
      local set = {}
      for _, name in ipairs(require("lunik.event").known) do
        set[name] = true
      end
      return set
    end)()))
  end)

  local function examples(from)
    local list = {}
    for before, block in from:gmatch "()%-%-%-```lua\n(.-)%-%-%-```\n" do
      local _, line = from:sub(1, before):gsub("\n", "")
      local what = from:match("\n(%l+ [%w_.:]+)", before)
      list[#list + 1] = {
        what = what:gsub("^%l+ ", ""), line = line + 1, code = block:gsub("%-%-%-", ""),
      }
    end
    return list
  end

  for name, path in pairs(FILES) do
    for _, example in ipairs(examples(read(path))) do
      it("shows how to use " .. example.what .. " of " .. name, function()
        assert.matches("assert%(", example.code, nil, nil, example.what .. " proves nothing")
        local m <close> = lunik.machine { accel = "none", memory = "64M", maxmem = "4G", slots = 4,
          serial = "buffer" }
        local env = setmetatable({ m = m, lunik = lunik, testing = testing }, { __index = _G })
        assert(load(("\n"):rep(example.line) .. example.code, "=" .. path, "t", env))()
      end)
    end
  end

  it("shows the things that matter", function()
    local shown = {}
    for _, example in ipairs(examples(text)) do shown[example.what] = true end
    for _, name in ipairs { "lunik.machine", "lunik.device", "lunik.spawn", "Machine:device_add",
      "Machine:device_del", "Machine:region", "Machine:listen", "Machine:transaction",
      "Machine:dirty", "Console:expect" } do
      assert.is_true(shown[name], name)
    end
  end)

  it("says of everything what it does", function()
    for _, path in pairs(FILES) do
      local said = false
      for line in read(path):gmatch "([^\n]*)\n" do
        local name = line:match "^function ([%w_.:]+)"
        if name then assert.is_true(said, "no word on what " .. name .. " does") end
        said = line:find "^%-%-%-[^@`]" ~= nil or said and line:find "^%-%-%-" ~= nil
      end
    end
  end)
end)

describe("library/agent.lua", function()
  local classes = {
    Agent = require("lunik.agent").Agent, AgentFile = require("lunik.agent.file").File,
    AgentSocket = require("lunik.agent.socket").Socket,
    AgentMemory = require("lunik.agent.range").Range,
  }
  for name, class in pairs(classes) do
    it("lists the methods of " .. name, function()
      assert.are.same(keys_of(class), sorted(declared_functions(name, read(FILES.agent))))
    end)
  end
end)

describe("library/testing.lua", function()
  local function declared(prefix) return declared_functions(prefix, testing_text) end

  it("lists what the module has", function()
    assert.are.same(keys_of(testing),
      keys_of(declared "testing", declared_fields("lunik.testing", testing_text)))
  end)

  local classes = {
    Machine = require "lunik.testing.machine", Journal = require "lunik.testing.journal",
    Console = require "lunik.testing.console", Host = require "lunik.testing.host",
  }
  for name, class in pairs(classes) do
    it("lists the methods of " .. name, function()
      local live = keys_of(class)
      for i = #live, 1, -1 do
        if type(class[live[i]]) ~= "function" or live[i] == "new" then table.remove(live, i) end
      end
      assert.are.same(live, sorted(declared(name)))
    end)
  end

  it("lists the methods of the guests", function()
    local known = declared_fields("lunik.testing.Guest", testing_text)
    local kind = declared_fields("lunik.testing.GuestKind", testing_text)
    for _, name in ipairs { "scripted", "small", "linux" } do
      for key, value in pairs(require("lunik.testing.guests." .. name)) do
        if type(value) == "function" then
          assert.is_true(known[key] or kind[key], ("%s guest: %s"):format(name, key))
        end
      end
    end
  end)
end)
