#!/bin/sh
# Puts an installation where LuaRocks takes it from, when `luarocks make` calls `make rock-install`.
# usage: rock.sh TREE PREFIX BIN LUA LIB    TREE: laid out as LuaRocks will, with bin, share/lua/5.4
# and lib/lua/5.4/lunik; the others: $(PREFIX), $(BINDIR), $(LUADIR) and $(LIBDIR) of the rock
set -eu

tree=$1 prefix=$2 bin=$3 lua=$4 lib=$5
[ "$prefix" ] || { echo "rock.sh: PREFIX is empty: run 'luarocks make'" >&2; exit 2; }
mkdir -p "$prefix" "$bin" "$lua" "$lib/lunik"
cp "$tree/bin/lunik" "$bin"
cp -r "$tree/share/lua/5.4/lunik" "$lua"
cp -r "$tree/share/lunik" "$tree/include" "$prefix"
rm "$prefix/lunik/boards" # they are in $lua

# In the folder of the C library: what the command looks for next to it. Lua looks for core.so in
# the folder itself.
own=$tree/lib/lua/5.4/lunik
cp -r "$own/liblunik.so.0" "$own/lunik" "$own/lua" "$lib/lunik"
rm "$lib/lunik/lunik/folders" "$lib/lunik/lunik/files" "$lib/lunik/lua/5.4/lunik/core.so"
cp -L "$own/liblunik-lua.so.0" "$lib/lunik/core.so"
