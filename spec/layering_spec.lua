-- The folders ("rooms") of runtime/ are layers, and so are those of devices/: a file may call and
-- include only files of its own room and of lower ones. Public headers may be included from
-- everywhere; a call of a public function counts by the room that defines it.
local lines_of = require "spec.support.lines_of"

local BUILD = os.getenv "LUNIK_BUILD" or "build"

-- Rooms from the ground up, as a table of their heights.
local function heights(rooms)
  local height = {}
  for i, room in ipairs(rooms) do
    height[room] = i
  end
  return height
end

-- Nothing may know of the sandbox: it reads the list of what is to be kept open, and sets hooks, in
-- core.
local RUNTIME = heights { "core", "ram", "object", "memory", "kvm", "boot", "state", "machine",
  "sandbox" }
-- Files in no folder are for all of them, except the list of types.
local DEVICES = heights { "shared", "chardev", "block", "net", "memory", "isa", "cpu", "pci",
  "virtio", "builtin" }

-- Made by the build, from a file of the sandbox.
local EXTRA_OBJECTS = { ["sandbox/filters"] = BUILD .. "/obj/sandbox/filters.o" }

local function room_of(file, height)
  return file:match "^([^/]+)/" or height[file] and file or "shared"
end

-- Returns why `from` must not use `to`, or nil if it may: files in rooms of these heights.
local function runs_up(from, to, height)
  local user, used = room_of(from, height), room_of(to, height)
  if not height[user] or not height[used] then
    return ("room '%s' is not among those of the spec"):format(height[user] and used or user)
  end
  return height[used] > height[user] and ("%s is above %s"):format(used, user) or nil
end

-- files: { ["core/loop"] = { defines = { name = true }, wants = { name, ... } } }
local function find_calls(files, height)
  local home, arrows = {}, {}
  for file, symbols in pairs(files) do
    for name in pairs(symbols.defines) do
      home[name] = file
    end
  end
  for file, symbols in pairs(files) do
    for _, name in ipairs(symbols.wants) do
      local why = home[name] and runs_up(file, home[name], height)
      if why then
        table.insert(arrows, ("%s.c calls %s of %s.c: %s"):format(file, name, home[name], why))
      end
    end
  end
  table.sort(arrows)
  return arrows
end

-- includes: { { file = "core/loop.c", header = "kvm/kvm.h" }, ... }
local function find_includes(includes, height)
  local arrows = {}
  for _, i in ipairs(includes) do
    local why = runs_up(i.file, i.header, height)
    if why then
      table.insert(arrows, ("%s includes %s: %s"):format(i.file, i.header, why))
    end
  end
  table.sort(arrows)
  return arrows
end

-- ---- the sources and what was built of them ----------------------------------------------------

local function sources(folders)
  return lines_of("find " .. folders .. " -name '*.[ch]' | sort")
end

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

-- The headers between quotation marks that a file includes, as paths from the top of the tree; nil
-- in the place of one that the build makes.
local function headers_of(path)
  local headers = {}
  local folder = path:match "^(.*)/"
  for line in io.lines(path) do
    local name = line:match '^%s*#%s*include%s+"([^"]+)"'
    local found
    for _, base in ipairs { folder, "runtime" } do
      local full = name and base .. "/" .. name
      while full and full:find "/[^/.]+/%.%./" do
        full = full:gsub("/[^/.]+/%.%./", "/", 1)
      end
      found = found or full and exists(full) and full
    end
    if found then
      table.insert(headers, found)
    end
  end
  return headers
end

-- objects: { ["core/loop"] = path }. One nm reads them all.
local function symbols_of(objects)
  local files, names, paths = {}, {}, {}
  for file, path in pairs(objects) do
    files[file] = { defines = {}, wants = {} }
    names[path] = file
    table.insert(paths, path)
  end
  for _, line in ipairs(lines_of("nm -A " .. table.concat(paths, " "))) do
    local path, kind, name = line:match "^(.-):.*(%a) (%S+)$"
    local symbols = files[names[path]]
    if kind == "U" then
      table.insert(symbols.wants, name)
    elseif kind and kind:find "[TDBRVW]" then
      symbols.defines[name] = true
    end
  end
  return files
end

-- The symbols of the files in a folder. nil and an object that is missing if there is none.
local function symbols_below(folder)
  local objects = {}
  for _, path in ipairs(sources(folder)) do
    local file = path:match "(.*)%.c$"
    if file then
      local object = BUILD .. "/obj/" .. file .. ".o"
      if not exists(object) then
        return nil, object
      end
      objects[file:gsub("^runtime/", "")] = object
    end
  end
  return symbols_of(objects)
end

local read = {} -- what symbols_below() has found before, by folder

local function symbols_or_skip(folder)
  if read[folder] then
    return read[folder]
  end
  if not lines_of("command -v nm")[1] then
    pending "there is no nm"
  end
  local files, missing = symbols_below(folder)
  if not files then
    pending("not built: " .. missing)
  end
  read[folder] = files
  return files
end

-- ---- what is to hold ---------------------------------------------------------------------------

describe("the finder of arrows", function()
  it("finds a call that runs up", function()
    local arrows = find_calls({
      ["core/loop"] = { defines = { loop_run = true }, wants = { "kvm_enter", "poll" } },
      ["kvm/vcpu"] = { defines = { kvm_enter = true }, wants = { "loop_run" } },
      ["sandbox/calls"] = { defines = { call = true }, wants = { "loop_run", "kvm_enter" } },
    }, RUNTIME)
    assert.are.same({ "core/loop.c calls kvm_enter of kvm/vcpu.c: kvm is above core" }, arrows)
  end)

  it("finds a call from a file in no folder", function()
    local files = {
      ["ports"] = { defines = { ports_new = true }, wants = { "pci_add", "lunik_builtin_types" } },
      ["pci/pci"] = { defines = { pci_add = true }, wants = { "ports_new" } },
      ["builtin"] = { defines = { lunik_builtin_types = true }, wants = { "pci_add" } },
    }
    assert.are.same({
      "ports.c calls lunik_builtin_types of builtin.c: builtin is above shared",
      "ports.c calls pci_add of pci/pci.c: pci is above shared",
    }, find_calls(files, DEVICES))
  end)

  it("finds an include that runs up", function()
    local arrows = find_includes({
      { file = "ram/fit.c", header = "sandbox/sandbox.h" },
      { file = "machine/new.c", header = "kvm/kvm.h" },
      { file = "kvm/irq.c", header = "kvm/kvm.h" },
      { file = "memory/dma.h", header = "machine/new.h" },
    }, RUNTIME)
    assert.are.same({
      "memory/dma.h includes machine/new.h: machine is above memory",
      "ram/fit.c includes sandbox/sandbox.h: sandbox is above ram",
    }, arrows)
  end)

  it("finds a room that is missing in the list", function()
    local why = "room 'attic' is not among those of the spec"
    assert.are.same({ "attic/x.c includes core/rcu.h: " .. why },
      find_includes({ { file = "attic/x.c", header = "core/rcu.h" } }, RUNTIME))
  end)

  it("sees the arrows that there are", function()
    local headers = table.concat(headers_of "runtime/machine/machine.c", " ")
    assert.is_truthy(headers:find("runtime/kvm/kvm.h", 1, true))
    assert.is_truthy(table.concat(headers_of "devices/isa/debugcon.c", " ")
      :find("devices/types.h", 1, true))
    local files = symbols_or_skip "runtime"
    assert.is_true(files["core/error"].defines.lunik_fail)
    assert.is_truthy(table.concat(files["ram/ram"].wants, " "):find("lunik_fail", 1, true))
  end)
end)

-- Both kinds of arrows between the rooms of a folder.
local function describe_rooms(folder, height)
  it("no call runs up", function()
    local files = {}
    for file, symbols in pairs(symbols_or_skip(folder)) do
      files[file:gsub("^" .. folder .. "/", "")] = symbols
    end
    if folder == "runtime" then
      for file, symbols in pairs(symbols_of(EXTRA_OBJECTS)) do
        files[file] = symbols
      end
    end
    assert.are.same({}, find_calls(files, height))
  end)

  it("no include runs up", function()
    local includes = {}
    for _, path in ipairs(sources(folder)) do
      for _, header in ipairs(headers_of(path)) do
        local file = path:match("^" .. folder .. "/(.*)")
        local target = header:match("^" .. folder .. "/(.*)")
        if target and not target:find "^lunik[^/]*%.h$" then
          table.insert(includes, { file = file, header = target })
        end
      end
    end
    assert.is_true(#includes > 50)
    assert.are.same({}, find_includes(includes, height))
  end)
end

describe("in devices/", function()
  describe_rooms("devices", DEVICES)
end)

describe("in runtime/", function()
  describe_rooms("runtime", RUNTIME)

  it("no public header includes a room's", function()
    for _, path in ipairs(lines_of "ls runtime/*.h") do
      for _, header in ipairs(headers_of(path)) do
        assert.is_truthy(header:match "^runtime/lunik[^/]*%.h$", path .. " includes " .. header)
      end
    end
  end)
end)

describe("above runtime/", function()
  it("only public headers of it are included", function()
    for _, path in ipairs(sources "devices acpi bindings") do
      for _, header in ipairs(headers_of(path)) do
        assert.is_nil(header:match "^runtime/.*/", path .. " includes " .. header)
      end
    end
  end)

  it("nothing is called from within it", function()
    local outside = {}
    for _, folder in ipairs { "devices", "acpi", "bindings" } do
      for file, symbols in pairs(symbols_or_skip(folder)) do
        for name in pairs(symbols.defines) do
          outside[name] = file
        end
      end
    end
    for file, symbols in pairs(symbols_or_skip "runtime") do
      for _, name in ipairs(symbols.wants) do
        assert.is_nil(outside[name], ("runtime/%s.c calls %s of %s.c"):format(file, name,
          tostring(outside[name])))
      end
    end
  end)

  it("only exported functions of it are called", function()
    local inside, exported = {}, {}
    for _, symbols in pairs(symbols_or_skip "runtime") do
      for name in pairs(symbols.defines) do
        inside[name] = not name:find "^lunik_"
      end
    end
    for _, folder in ipairs { "devices", "acpi", "bindings" } do
      for file, symbols in pairs(symbols_or_skip(folder)) do
        for _, name in ipairs(symbols.wants) do
          if inside[name] then
            table.insert(exported, ("%s.c calls %s"):format(file, name))
          end
        end
      end
    end
    assert.are.same({}, exported)
  end)
end)

-- Folders of spec/ that no folder of sources has: what specs share, guests, targets for fuzzing.
local SPEC_ONLY = { faults = true, fuzz = true, guests = true, project = true, support = true }

describe("spec/", function()
  it("has folders like those of the sources", function()
    local strangers = {}
    for _, path in ipairs(lines_of "find spec -mindepth 1 -type d | sort") do
      local folder = path:match "^spec/(.*)"
      local source = folder:gsub("^scripts/", "scripts/lunik/")
      if not SPEC_ONLY[folder:match "^[^/]+"] and not exists(source) then
        table.insert(strangers, path)
      end
    end
    assert.are.same({}, strangers)
  end)
end)
