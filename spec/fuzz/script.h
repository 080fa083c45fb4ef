/* script.h: fuzzing targets whose operations are written in Lua. */
#ifndef SPEC_FUZZ_SCRIPT_H
#define SPEC_FUZZ_SCRIPT_H

#include "board.h"

/* Calls the function that the module returns with the input. Nothing goes on afterwards. */
static inline void script_run(const char *module, const uint8_t *data, size_t size)
{
    board_lua_open();
    lua_getglobal(board_lua, "require");
    lua_pushstring(board_lua, module);
    board_run(1, 1);
    lua_pushlstring(board_lua, (const char *)data, size);
    board_run(1, 0);
    lua_settop(board_lua, 0);
    lua_gc(board_lua, LUA_GCCOLLECT);
    fuzz_settle(bind_runtime(board_lua));
}

#endif
