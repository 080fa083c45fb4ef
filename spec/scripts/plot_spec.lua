-- lunik.plot, and what machines do over time as plots.
local command = require "spec.support.command"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local NAN = 0 / 0

describe("lunik.plot", function()
  it("draws values for the terminal", function()
    local text = lunik.plot { unit = "MiB", x = "s", width = 24, height = 3,
      series = { { name = "rise", { 0, 0 }, { 1, 1 }, { 5, 5 } } } }
    assert.equal([[
            rise, MiB
         5 ┤        ⢀⡠⠔⠊
           │    ⢀⡠⠔⠊⠁
         0 ┤⣀⠤⠒⠊⠁
           └────────────
            0 s      5 s
]], text)
  end)

  it("has lines of the width and panels of the height that are asked for", function()
    local text = lunik.plot { title = "two", width = 40, height = 5, x = "s",
      series = { { name = "a", unit = "MiB", 1, 200, 3 }, { name = "b", unit = "1/s", 7 } } }
    assert.matches("^two\n            a, MiB\n       200 ┤", text)
    assert.matches("\n            b, 1/s\n        10 ┤", text)
    local lines = 0
    for line in text:gmatch "([^\n]*)\n" do
      lines = lines + 1
      assert.is_true(utf8.len(line) <= 40, line)
    end
    assert.equal(1 + 2 * (1 + 5 + 2), lines)
  end)

  it("leaves gaps, and takes what does not vary", function()
    local text = lunik.plot { height = 2, width = 24, series = { { 3, 3, NAN, NAN, 3, 3 } } }
    assert.matches("┤[^ ]+   +[^ ]+\n", text)
    assert.is_string(lunik.plot { series = { {} } })
    assert.is_string(lunik.plot { series = { { 0 } } })
    assert.matches("\n +%-50 ┤", (lunik.plot { series = { { -33, 1 } } }))
  end)

  it("draws well-formed SVG, a panel for each unit", function()
    local svg = lunik.plot { title = "a<&>", x = "s", format = "svg", series = {
      { name = "caf\xe9", unit = "MiB", { 0, 1 }, { 1, 2 }, { 2, NAN }, { 3, 1 }, { 4, 5 } },
      { name = "other", unit = "MiB", 5, 6 }, { name = "one", unit = "1/s", { 2, 3 } },
    } }
    assert.is_truthy(utf8.len(svg))
    assert.equal(3, select(2, svg:gsub("<polyline", "")))
    assert.equal(1, select(2, svg:gsub("<circle", "")))
    assert.equal(2, select(2, svg:gsub('class="x"', "")))
    assert.matches("a&lt;&amp;&gt;</text>", svg, 1, true)
    local open = {}
    for slash, tag, rest in svg:gmatch "<(/?)(%l+)([^>]*)>" do
      if slash == "/" then
        assert.equal(table.remove(open), tag)
      elseif rest:sub(-1) ~= "/" then
        open[#open + 1] = tag
      end
    end
    assert.same({}, open)
  end)

  it("writes a file in the format of its name", function()
    for ending, format in pairs { svg = "svg", txt = "text" } do
      local path <close> = command.file("", "." .. ending)
      local given = { series = { { 1, 2 } } }
      given.file = tostring(path)
      assert.equal(0, select("#", lunik.plot(given)))
      given.file, given.format = nil, format
      assert.equal(lunik.plot(given), command.read(path))
    end
  end)

  for message, options in pairs {
    ["plot: series: there is none"] = {},
    ["plot: 'serie' is not an option (did you mean 'series'?)"] = { serie = {} },
    ["plot: series: [1]: [2]: 'x' is not a number"] = { series = { { 1, "x" } } },
    ["plot: series: [1]: [1]: 'inf' is not a number"] = { series = { { math.huge } } },
    ["plot: series: [1]: [1]: x: nil is not a number"] = { series = { { {} } } },
    ["plot: series: [2]: 'nam' is not an option"] = { series = { { 1 }, { nam = "x" } } },
    ["plot: width: '5' is out of range (want 20 to 1000)"] = { width = 5, series = { { 1 } } },
    ["plot: file: 'a.png' is in no known format (want a name that ends in .svg or .txt)"] = {
      file = "a.png", series = { { 1 } } },
  } do
    it("refuses: " .. message, function()
      local err = machines.raised(lunik.plot, options)
      assert.equal("invalid", err.code)
      assert.matches(message, err.message, 1, true)
    end)
  end
end)

describe("samples of a machine", function()
  local m

  before_each(function()
    m = machines.pc { memory = "64M", maxmem = "1G", slots = 2 }
  end)
  after_each(machines.close_all)

  -- The sum of what a rate says was done.
  local function integral(series)
    local sum, before = 0, 0
    for _, point in ipairs(series) do
      sum, before = sum + point[2] * (point[1] - before), point[1]
    end
    return sum
  end

  it("show the dirty rate", function()
    local samples <close> = m:sample { "dirty rate", every = 0.02 }
    for i = 1, 16 do
      m:fill(i << 20, "64K", i)
      lunik.sleep(0.01)
    end
    lunik.sleep(0.1)
    samples:stop()
    assert.is_true(math.abs(integral(samples.series[1]) - 1) < 0.001)
    assert.matches("dirty rate, MiB/s", samples:plot(), 1, true)
    assert.matches("<polyline", samples:plot { format = "svg" }, 1, true)
    m:dirty_rate { seconds = 0.01 } -- which may measure again
  end)

  it("show values of one's own, and their rates", function()
    local calls = 0
    local samples <close> = m:sample { every = 0.01,
      { name = "calls", unit = "n", value = function(of)
        assert.equal(m, of)
        calls = calls + 1
        return calls
      end },
      { name = "grows", rate = true, value = function() return 5 * lunik.now() end },
      { name = "unknown", value = function() end },
    }
    lunik.sleep(0.1)
    samples:stop()
    local last = calls
    lunik.sleep(0.05)
    assert.equal(last, calls)
    local own, rate, unknown = table.unpack(samples.series)
    assert.equal(calls, own[#own][2])
    assert.equal(#own - 1, #rate)
    assert.is_true(math.abs(rate[1][2] - 5) < 1)
    assert.is_true(unknown[1][2] ~= unknown[1][2])
    assert.matches("^%d+ samples of calls, grows, unknown %(stopped%)$", tostring(samples))
  end)

  it("keep their number bounded", function()
    local samples <close> = m:sample { every = 0.001, { value = function() return 3 end } }
    samples.count = 4096
    for i = 1, 4096 do samples.series[1][i] = { i, i % 2 * 10 } end
    lunik.sleep(0.05)
    samples:stop()
    assert.is_true(samples.count >= 2048 and samples.count < 3000)
    assert.same({ 2, 5.0 }, samples.series[1][1])
    assert.equal(0.002, samples.every)
  end)

  it("end with the machine, and keep no loop running", function()
    local samples = m:sample { "exits", "rss", "dimms", every = 0.01 }
    m:close()
    lunik.sleep(0.05)
    assert.is_false(samples.active)
    assert.is_false(lunik.run())
  end)

  it("are drawn after a time that is waited for", function()
    local text = m:plot { "exits", "dimms", seconds = 0.1, every = 0.02, height = 3,
      title = "both" }
    assert.matches("^both\n +exits, 1/s\n", text)
    assert.matches("\n +dimms, MiB\n", text)
  end)

  it("are refused where they are not possible", function()
    for message, options in pairs {
      ["sample: there is nothing to sample (want dimms, dirty rate, exits, io, mmio, rss, or"] = {},
      ["sample: [1]: 'exit' is not a valid choice (did you mean 'exits'?)"] = { "exit" },
      ["sample: [1]: value: there is none (want a function)"] = { { name = "x" } },
      ["sample: every: '0' is too short"] = { "exits", every = 0 },
      ["sample: 'evry' is not an option (did you mean 'every'?)"] = { "exits", evry = 1 },
    } do
      assert.matches(message, machines.raised(m.sample, m, options).message, 1, true)
    end
    local samples <close> = m:sample { "dirty rate" }
    assert.equal("busy", machines.raised(m.sample, m, { "dirty rate" }).code)
    assert.equal("busy", machines.raised(m.dirty_rate, m).code)
    assert.is_true(samples.active)
    m:close()
    assert.equal("gone", machines.raised(m.sample, m, { "exits" }).code)
  end)
end)
