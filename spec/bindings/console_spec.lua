-- Looking for patterns in what a guest prints: they mean what they mean to string.find, whatever
-- piece of a ring the text lies in and however it comes; and no text makes a look long.
local core = require "lunik.core"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local COM2 = 0x2f8

-- Deterministic choices.
local seed = 1
local function chance(n)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed // 65536 % n + 1
end

local singles = {
  "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%u", "%A", "%S", "%.", "%%", "[ab]", "[^a]", "[a-c]",
  "[%d%s]", "[^%w]", "[]a]", "[^]]", "[a%-z]", "[%a-]", "-", "\0", "^", "]", "1",
}
local repeats = { "", "", "", "*", "+", "-", "?" }
local others = {
  "()", "%b()", "%bab", "%f[%w]", "%f[^%w]", "%f[%z]", "%1", "%2", "$", "(", ")", "%",
}

local function random_pattern()
  local parts, open = { chance(8) == 1 and "^" or "" }, 0
  for _ = 1, chance(5) do
    local kind = chance(10)
    if kind <= 6 then
      parts[#parts + 1] = singles[chance(#singles)] .. repeats[chance(#repeats)]
    elseif kind <= 8 then
      open = open + 1
      parts[#parts + 1] = "(" .. singles[chance(#singles)] .. repeats[chance(#repeats)]
    else
      parts[#parts + 1] = others[chance(#others)]
    end
    if open > 0 and chance(2) == 1 then
      open = open - 1
      parts[#parts + 1] = ")"
    end
  end
  return table.concat(parts) .. (")"):rep(open) .. (chance(10) == 1 and "$" or "")
end

local characters = { "a", "b", "c", "1", " ", "(", ")", "-", "A", "\0", "]", "%", "\n" }

local function random_text(size)
  local parts = {}
  for i = 1, size do parts[i] = characters[chance(#characters)] end
  return table.concat(parts)
end

-- Returns the result of string.find as core.buffer_search does: the match's end, and the captures.
local function by_find(text, pattern)
  local found = table.pack(text:find(pattern))
  if not found[1] then return nil end
  if found.n == 2 then return { found[2], text:sub(found[1], found[2]) } end
  return { found[2], table.unpack(found, 3, found.n) }
end

describe("console", function()
  local m, output, written

  before_each(function()
    m = lunik.machine { board = "micro", accel = "none", memory = "16M", serial = "none" }
    written = 0
  end)
  after_each(function() m:close() end)

  -- size: of the ring
  local function connect(size)
    output = m:object_add("chardev-buffer", { id = "out", size = size })
    m:device_add("serial16550", { id = "port", iobase = COM2, irq = 3, chardev = "out" })
  end

  local function print_out(text)
    for c in text:gmatch "." do m:outb(COM2, c:byte()) end
    written = written + #text
  end

  local function searched(search, position)
    local found = table.pack(core.buffer_search(output, search, position))
    if found[1] == nil then return nil end
    found.n, found[1] = nil, found[1] - position
    return found
  end

  it("finds what string.find does", function()
    connect(64)
    local compared = 0
    for _ = 1, 3000 do
      local text, pattern = random_text(chance(40)), random_pattern()
      local position = written
      print_out(text)
      local ok, wanted = pcall(by_find, text, pattern)
      local made, search = pcall(core.search, pattern)
      if not ok then
        assert.is_false(made, pattern)
      elseif made then
        compared = compared + 1
        assert.same(wanted, searched(search, position), ("%q in %q"):format(pattern, text))
      end
    end
    assert.is_true(compared > 2000)
  end)

  it("finds it as soon as it is there, however the text comes", function()
    connect(64)
    for _ = 1, 600 do
      local text, pattern = random_text(chance(30)), random_pattern()
      local position = written
      local made, search = pcall(core.search, pattern)
      for i = 1, made and #text or 0 do
        print_out(text:sub(i, i))
        local come = text:sub(1, i)
        local wanted = by_find(come, pattern)
        assert.same(wanted, searched(search, position), ("%q in %q"):format(pattern, come))
        if wanted then break end
      end
    end
  end)

  it("finds plain text as it is", function()
    connect(16)
    print_out "0123456789"
    local search = core.search("a.(%", true)
    assert.is_nil(searched(search, 0))
    print_out "aa.("
    assert.is_nil(searched(search, 0))
    print_out "%"
    assert.same({ 15, "a.(%" }, searched(search, 0))
  end)

  it("goes on with what is left of text that is overwritten", function()
    connect(16)
    print_out "0123456789abcdef"
    local search = core.search "f(%d+)!"
    assert.is_nil(searched(search, 0))
    print_out "0123456!"
    assert.same({ 24, "0123456" }, searched(search, 0))
  end)

  local wrong = {
    { "(", "has a '(' without its ')'" }, { "a)", "has a ')' without its '('" },
    { "[a", "has a '[' without its ']'" }, { "[^]", "has a '[' without its ']'" },
    { "%", "ends with '%'" }, { "%b(", "has a '%b' without its two characters" },
    { "%fa", "has a '%f' without its '['" }, { "(a%1)", "refers to a capture" },
    { "%1", "refers to a capture" }, { ("()"):rep(33), "has too many captures" },
    { ("a?"):rep(201), "is too complex" },
  }

  for _, case in ipairs(wrong) do
    it(("refuses the pattern '%s'"):format(case[1]:sub(1, 8)), function()
      connect(64)
      local err = machines.raised(function() m:console("out"):expect(case[1], { timeout = 0 }) end)
      assert.equal("invalid", err.code)
      local said = ("expect: '%s' is not a pattern: it %s"):format(case[1], case[2])
      assert.truthy(err.message:find(said, 1, true), err.message)
      assert.truthy(err.where and err.where:find "console_spec")
    end)
  end

  it("looks for a pattern that goes back and forth bit by bit, and lets others run", function()
    connect(4096)
    print_out(("a"):rep(2000))
    local search = core.search "a-a-b"
    assert.is_false((core.buffer_search(output, search, 0)))
    local turns, found = 0, nil
    lunik.spawn(function()
      while not found do
        turns = turns + 1
        lunik.sleep(0)
      end
    end)
    lunik.spawn(function() found = m:console("out"):expect "([^a]+a-b)c" end)
    print_out("x" .. ("a"):rep(1000) .. "bc")
    while not found do lunik.sleep(0.001) end
    assert.equal("x" .. ("a"):rep(1000) .. "b", found)
    assert.is_true(turns > 1)
  end)

  it("gives up a pattern that takes too many steps at one place", function()
    connect(4096)
    print_out(("a"):rep(3000))
    local err = machines.raised(function()
      m:console("out"):expect("a-a-a-a-b", { timeout = 60 })
    end)
    assert.equal("unsupported", err.code)
    assert.truthy(err.message:find("'a-a-a-a-b' takes too many steps", 1, true), err.message)
  end)

  it("takes a backlog line by line", function()
    connect "1M"
    local lines = {}
    for i = 1, 300 do lines[i] = ("line %d"):format(i) end
    print_out(table.concat(lines, "\n") .. "\n")
    for i = 1, 300 do assert.equal(lines[i], (m:console("out"):expect "([^\n]*)\n")) end
    assert.equal("", m:console("out"):peek())
  end)

  it("names the last text when the time is over", function()
    connect "1M"
    print_out(("x"):rep(1000) .. "the end")
    local err = machines.raised(function() m:console("out"):expect("login:", { timeout = 0 }) end)
    assert.equal("timeout", err.code)
    assert.truthy(err.message:find("the last text is:\nx+the end$"), err.message)
  end)
end)
