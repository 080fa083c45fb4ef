-- compile.lua FROM TO NAME: compiles a module of the Lua half for the lunik command, which starts
-- several milliseconds sooner that way. NAME: the file's path as messages and the module see it.
-- The first line, which Lua skips, says what was compiled: bindings/command/modules.c compares.
local from, to, name = table.unpack(arg)

local source <close> = assert(io.open(from, "rb"))
local out <close> = assert(io.open(to, "wb"))
local text = source:read "a"
assert(out:write(("# %d %s\n"):format(#text, name)))
assert(out:write(string.dump(assert(load(text, "@" .. name)))))
