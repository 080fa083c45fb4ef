/*
 * lunik_lua.h: opens Lunik's Lua module in a Lua state of a C program, which then has boards and
 * everything else that scripts have. Link with liblunik-lua: pkg-config lunik-lua.
 *
 * Threads: the state belongs to the runtime's loop thread, which holds the machine lock when it
 * uses the state or calls a function declared here. On any other thread, or without the lock, a
 * function returns LUNIK_E_INVALID.
 *
 * End: close the state with lua_close() before the runtime is freed, which fails with LUNIK_E_BUSY
 * until then. This closes the machines that the state knows; in a callback of a machine it
 * separates that one from the state, and the machine closes soon after the callback returns. A
 * machine that the program closes is closed for the state as well: waits for it end with the error
 * "gone".
 */
#ifndef LUNIK_LUA_H
#define LUNIK_LUA_H

#include <lua.h>

#include "lunik.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Loads the module "lunik" into L, which has the standard libraries, and pushes it. Its Lua half is
 * found by package.path; its machines are made in rt. A second call with the same runtime pushes
 * the same module. Several states can share a runtime.
 *
 * LUNIK_E_STATE: the module in L has another runtime; LUNIK_E_SCRIPT: the module can't be loaded,
 * err has Lua's message; LUNIK_E_NO_MEMORY. Nothing is pushed then. */
int lunik_lua_open(lua_State *L, lunik_runtime *rt, lunik_error *err);

/* Pushes machine m of the state's runtime: always the same value for the same machine. From the
 * first time on handlers of L receive its events.
 *
 * LUNIK_E_STATE: lunik_lua_open() has not been called, or with another runtime; LUNIK_E_GONE: m is
 * closed; LUNIK_E_BUSY: another state knows m; LUNIK_E_NO_MEMORY. Nothing is pushed then, and m is
 * as before. */
int lunik_lua_push_machine(lua_State *L, lunik_machine *m, lunik_error *err);

/* Returns the machine, open or closed, that is the value at a stack index; NULL for other values.
 * It stays referenced while the value lives; call lunik_machine_ref() to keep it longer. Raises no
 * Lua error. */
lunik_machine *lunik_lua_machine(lua_State *L, int index);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
