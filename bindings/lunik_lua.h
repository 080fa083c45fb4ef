/*
 * lunik_lua.h: opens Lunik's Lua module in a Lua state of a C program, which then has boards and
 * everything else that scripts have. Link with liblunik-lua: pkg-config lunik-lua.
 *
 * Use the state with the machine lock held, because the module's callbacks run with it. Close it
 * before the runtime is freed and outside callbacks: that closes the machines known to it.
 */
#ifndef LUNIK_LUA_H
#define LUNIK_LUA_H

#include <lua.h>

#include "lunik.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Loads the module "lunik" into L, which has the standard libraries, and pushes it; the Lua half is
 * found by package.path. Its machines are made in rt; one state can have one runtime only, and the
 * same one may be given again. LUNIK_E_STATE: the module in L has another runtime; LUNIK_E_SCRIPT:
 * the module can't be loaded; LUNIK_E_NO_MEMORY. Nothing is pushed then. Loop thread, lock held. */
int lunik_lua_open(lua_State *L, lunik_runtime *rt, lunik_error *err);

/* Pushes the machine, which is of the state's runtime; the same one is always the same value. From
 * then on its events reach handlers of L. LUNIK_E_BUSY: it is known to another state; LUNIK_E_GONE:
 * it is closed; LUNIK_E_STATE: lunik_lua_open() has not been called, or with another runtime.
 * Nothing is pushed then. Loop thread, lock held. */
int lunik_lua_push_machine(lua_State *L, lunik_machine *m, lunik_error *err);

/* Returns the machine at the index, open or closed; NULL if the value is not a machine. The value
 * holds a reference; take another one to keep the machine longer. Never raises. Lock held. */
lunik_machine *lunik_lua_machine(lua_State *L, int index);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
