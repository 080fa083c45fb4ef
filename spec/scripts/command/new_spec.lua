-- lunik new: each start that it writes runs at once.
local command = require "spec.support.command"

describe("lunik new", function()
  local folder, lunik
  local accel = command.kvm() and "" or " -o accel=none"

  -- Runs a shell line in the folder, $LUNIK being the command: output, errors, exit code.
  local function run(line)
    return command.run(("cd %s && LUNIK=%s && %s"):format(folder, lunik, line))
  end

  -- The same, of a line that has to work; returns its output.
  local function output(line)
    local out, err, code = run(line)
    assert.same({ "", 0 }, { err, code }, line)
    return out
  end

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    lunik = command.run("realpath " .. command.lunik):gsub("\n", "")
  end)

  after_each(function() os.execute("rm -rf " .. folder) end)

  -- Runs the line that "lunik new" says to try.
  local function try(made)
    local line = made:match "\ntry: ([^\n]+)\n$"
    return output((line:gsub("%f[%w]lunik ", "$LUNIK ")))
  end

  it("writes a board", function()
    local made = output "$LUNIK new board my-board"
    assert.equal(("wrote my-board.lua\ntry: lunik my-board.lua%s\n"):format(accel), made)
    assert.equal("Hello from my-board\n", try(made))
    assert.equal("Hi\n", output("$LUNIK my-board.lua -o memory=2M -o accel=none -o greeting=Hi"))
    assert.matches("did you mean 'greeting'", select(2, run "$LUNIK my-board.lua -o greting=x"))
  end)

  it("writes a device", function()
    local made = output "$LUNIK new device my-timer"
    assert.matches("^wrote my%-timer.lua\n", made)
    assert.matches("^counting down from 5000, now at %d+\ninterrupt on line 10, status 1\n"
      .. "answered, the line is low\n$", try(made))
    assert.equal("my-timer\n", output([[LUA_PATH="./?.lua;;" $LUNIK -l my=my-timer -e '
      print(lunik.type "my-timer".name)']]))
  end)

  it("writes a spec", function()
    for _, name in ipairs { "plugs", "plugs2_spec", "plugs3_spec.lua" } do
      local made = output("$LUNIK new spec " .. name)
      assert.matches("^wrote spec/plugs%d?_spec.lua\n", made)
      assert.matches("\n[23] passed, 0 failed, [01] skipped\n$", try(made))
    end
  end)

  it("writes a project", function()
    local made = output "$LUNIK new project big-thing"
    assert.matches("wrote big-thing/spec/big-thing_spec.lua\n", made, 1, true)
    assert.matches("\n[456] passed, 0 failed, [012] skipped\nHello from big%-thing\n$", try(made))
    assert.matches("\n[456] passed, 0 failed",
      output "MAKEFLAGS= make -s -C big-thing test LUNIK=$LUNIK")
    assert.equal("Hello from big-thing\n",
      output "MAKEFLAGS= make -s -C big-thing run ACCEL=none LUNIK=$LUNIK")
    local spec = {}
    assert(loadfile(folder .. "/big-thing/big-thing-0.1-1.rockspec", "t", spec))()
    assert.same({ "big-thing", "src/big_thing.lua" },
      { spec.package, spec.build.modules.big_thing })
    for path in command.read(folder .. "/big-thing/README.md"):gmatch "| `([^`]+)` |" do
      assert.is_true(os.rename(folder .. "/big-thing/" .. path, folder .. "/big-thing/" .. path))
    end
    assert.equal("", (run "grep -rl '@[A-Z]*@' ."))
  end)

  it("overwrites nothing", function()
    for kind, path in pairs { board = "x.lua", device = "x.lua", spec = "spec/x_spec.lua",
      project = "x" } do
      output("rm -rf * && mkdir spec && touch " .. path)
      local _, err, code = run(("$LUNIK new %s x"):format(kind))
      assert.equal(2, code)
      assert.matches(("lunik: new: '%s' exists (it is left as it is)\n"):format(path), err, 1, true)
      assert.equal("0\n", output("stat -c %s " .. path .. " | sed 's/4096/0/'"))
    end
  end)

  for arguments, message in pairs {
    [""] = "new: nothing is given (want board, device, spec or project)",
    ["boad x"] = "new: 'boad' is not known (did you mean 'board'?) (want board, device,",
    ["board"] = "new: board: there is no name",
    ["board ../x"] = "new: board: '../x' is not a name (want a letter, then letters, digits,",
    ["project 1x"] = "new: project: '1x' is not a name",
    ["board a b"] = "new: 'b': there is a name already",
    ["device pc-dimm"] = "new: device: 'pc-dimm' is a type of the library",
    ["project ram"] = "new: project: 'ram' is a type of the library",
    ["--tap"] = "unrecognized option '--tap'",
  } do
    it("refuses '" .. arguments .. "'", function()
      local out, err, code = run("$LUNIK new " .. arguments)
      assert.same({ "", 2 }, { out, code })
      assert.matches("lunik: " .. message, err, 1, true)
      assert.equal("", output "ls -A")
    end)
  end

  it("says what it can't write", function()
    if command.root() then
      output "touch spec"
    else
      output "chmod a-w ."
    end
    local _, err, code = run "$LUNIK new spec x"
    assert.equal(1, code)
    assert.matches("^lunik: new: spec/x_spec.lua: [^\n]*\n$", err)
  end)
end)
