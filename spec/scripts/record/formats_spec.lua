-- Flights as text, timeline, picture and JSON lines, and compared with each other.
local command = require "spec.support.command"
local flight = require "lunik.record.flight"
local lunik = require "lunik"
local machines = require "spec.support.machines"

local NOW = 5000000000
local folder

local function new_folder()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  return folder
end

-- A step of a made-up flight.
local function step(t)
  local all = { serial = 1, parent = 0, depth = 0, time = NOW, thread = "loop", fields = {},
    text = "text" }
  for key, value in pairs(t) do all[key] = value end
  return all
end

-- A made-up flight of 10 ms.
local function made(t)
  local all = { kind = "plug", device = "dimm1", driver = "pc-dimm", where = "a.lua:12",
    start = NOW, stop = NOW + 10000000, outcome = "accepted", dropped = 0, steps = {
      step { kind = "device_add", duration = 2000000, text = "device_add <x> & \"y\"" },
      step { serial = 2, parent = 1, depth = 1, kind = "realize", time = NOW + 1000,
        duration = 500, failed = "no\tmore" },
      step { serial = 3, kind = "gpe", time = NOW + 9000000, thread = "vcpu 1", vcpu = 1,
        fields = { gpe = 3, big = math.mininteger }, text = "GPE 3 is raised" },
    } }
  for key, value in pairs(t or {}) do all[key] = value end
  return flight.maker "vm"(all)
end

describe("a flight", function()
  after_each(function()
    machines.close_all()
    if folder then os.execute("rm -r " .. folder) end
    folder = nil
  end)

  it("is a tree as text", function()
    assert.equal([[
plug of dimm1 (pc-dimm) by a.lua:12: accepted after 10.000 ms
       +0 ns    2.000 ms  loop     device_add <x> & "y"
     +1.0 us      500 ns  loop       text -- failed: no	more
   +9.000 ms              vcpu 1   GPE 3 is raised
]], tostring(made()))
    assert.matches("^boot: failed after 10.000 ms: out of luck\n", tostring(made { kind = "boot",
      device = false, driver = false, where = false, outcome = "failed", why = "out of luck" }))
    assert.matches("\n  7 more steps were not kept\n$", tostring(made { dropped = 7 }))
  end)

  it("is a timeline in the terminal, as wide as is asked for", function()
    local text = made():timeline { colour = false }
    assert.not_matches("\27", text, 1, true)
    for line in text:gmatch "[^\n]+" do assert.is_true(utf8.len(line) <= 80, line) end
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(4, #lines)
    local _, long = lines[2]:gsub("█", "")
    local _, short = lines[3]:gsub("█", "")
    assert.is_true(long > short and short == 1)
    assert.matches("│$", lines[4])
    assert.is_true(lines[4]:find "│" > lines[2]:find "█")
    assert.matches("\27[31m", made():timeline { colour = true }, 1, true)
    local wide = made():timeline { width = 200, colour = false }
    local _, longer = wide:gsub("█", "")
    assert.is_true(longer > long + short)
    assert.has_error(function() made():timeline { width = 10 } end)
    assert.has_error(function() made():timeline { height = 10 } end)
  end)

  it("is a picture that needs no other file", function()
    local svg = made():svg()
    assert.matches('^<svg xmlns="http://www.w3.org/2000/svg"', svg)
    assert.matches("</svg>\n$", svg)
    assert.matches("prefers%-color%-scheme: dark", svg)
    assert.matches("device_add &lt;x&gt; &amp; &quot;y&quot;", svg, 1, true)
    assert.not_matches("href", svg, 1, true)
    local _, groups = svg:gsub("<g>", "")
    assert.equal(3, groups)
    local path = new_folder() .. "/flight.svg"
    assert.equal(svg, made():svg { file = path })
    assert.equal(svg, command.read(path))
    assert.has_error(function() made():svg { file = "flight.png" } end)
  end)

  it("is JSON lines", function()
    local lines = {}
    for line in made():json():gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal('{"type":"flight","machine":"vm","kind":"plug","device":"dimm1",'
      .. '"driver":"pc-dimm","where":"a.lua:12","start":5000000000,"stop":5010000000,'
      .. '"outcome":"accepted","dropped":0}', lines[1])
    assert.matches('"text":"device_add <x> & \\"y\\""', lines[2], 1, true)
    assert.matches('"failed":"no\\tmore"', lines[3], 1, true)
    assert.matches('"vcpu":1.*"fields":{"big":"0x8000000000000000","gpe":3}}$', lines[4])
    assert.equal(4, #lines)
  end)

  it("is compared with another one", function()
    assert.are.same({}, { table.unpack(made():diff(made())) })
    assert.equal("", tostring(made():diff(made())))
    local other = made { outcome = "refused", why = "no", stop = NOW + 30000000 }
    other.steps[1].duration = 9000000
    table.remove(other.steps)
    assert.equal([[
outcome: accepted / refused
why: none / no
the flight took 10.000 ms / 30.000 ms
device_add took 2.000 ms / 9.000 ms
gpe: 1 times / 0 times]], tostring(made():diff(other)))
    assert.has_error(function() made():diff {} end)
  end)

  it("of a machine is all of that, and so are all flights in a file", function()
    local m = machines.pc()
    local rec = m:record()
    machines.plug(m, "dimm1")
    m:wait("acpi-ost", { device = "dimm1", timeout = 30 })
    m:device_del("dimm1"):wait { timeout = 30 }
    lunik.sleep(0)
    new_folder()
    rec:save(folder .. "/all.txt")
    rec:save(folder .. "/all.svg")
    rec:save(folder .. "/all.jsonl")
    assert.equal(tostring(rec), command.read(folder .. "/all.txt"))
    assert.matches("plug of dimm1.-accepted.-\n\nunplug of dimm1.-ejected", tostring(rec))
    assert.matches("plug of dimm1.-unplug of dimm1", command.read(folder .. "/all.svg"))
    assert.matches('"kind":"plug".-"kind":"unplug"', command.read(folder .. "/all.jsonl"))
    assert.is_true(#rec:timeline { colour = false } > 1000)
    assert.matches("kind: plug / unplug", tostring(rec:flights()[1]:diff(rec:flights()[2])))
    for _, name in ipairs { "all.png", "all", "txt" } do
      local ok, err = pcall(rec.save, rec, folder .. "/" .. name)
      assert.is_false(ok)
      assert.are.same({ "invalid", true }, { err.code, err.message:find(name, 1, true) ~= nil })
    end
    assert.has_error(function() rec:save(folder .. "/none/all.txt") end)
  end)
end)
