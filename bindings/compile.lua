-- compile.lua FROM TO NAME: compiles a module of the Lua half for the lunik command, which starts
-- several milliseconds sooner that way. NAME: the file's path as messages and the module see it.
local from, to, name = table.unpack(arg)

local source <close> = assert(io.open(from, "rb"))
local out <close> = assert(io.open(to, "wb"))
assert(out:write(string.dump(assert(load(source:read "a", "@" .. name)))))
