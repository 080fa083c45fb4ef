/*
 * fuzz_lua.c: sequences of calls on the Lua API with any values: spec/fuzz/fuzz_lua.lua.
 * -max_len=1024
 *
 * Calls raise what they are documented to raise, and leave nothing behind: after the machine is
 * closed, handles say so, and nothing on the loop keeps it going.
 */
#include "board.h"

static int runner = LUA_NOREF;

static void load_runner(void)
{
    board_lua_open();
    lua_getglobal(board_lua, "require");
    lua_pushliteral(board_lua, "spec.fuzz.fuzz_lua");
    board_run(1, 1);
    runner = luaL_ref(board_lua, LUA_REGISTRYINDEX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lunik_runtime *rt;

    if (runner == LUA_NOREF)
        load_runner();
    lua_rawgeti(board_lua, LUA_REGISTRYINDEX, runner);
    lua_pushlstring(board_lua, (const char *)data, size);
    board_run(1, 0);
    lua_settop(board_lua, 0);
    lua_gc(board_lua, LUA_GCCOLLECT);
    rt = bind_runtime(board_lua);
    for (unsigned i = 0; lunik_run(rt, LUNIK_RUN_NOWAIT); i++)
        fuzz_check(i < 100, "the loop goes on");
    lunik_unlock(rt); /* lets the reclaimer work */
    lunik_lock(rt);
    return 0;
}
