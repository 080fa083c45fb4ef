/*
 * board.h: a pc board without vCPUs in the fuzzer's own process, built by the board's script as
 * users build it, and driven from C. Every input gets a machine of its own.
 */
#ifndef SPEC_FUZZ_BOARD_H
#define SPEC_FUZZ_BOARD_H

#include <lauxlib.h>
#include <libgen.h>
#include <lua.h>
#include <lualib.h>
#include <unistd.h>

#include "bindings/bindings.h"
#include "fuzz.h"

int luaopen_lunik_core(lua_State *L);

static lua_State *board_lua;
static lunik_machine *board;
static lunik_space *board_memory, *board_ports;

/* Ends the process when a chunk fails. */
static inline void board_run(int arguments, int results)
{
    if (lua_pcall(board_lua, arguments, results, 0) != LUA_OK) {
        luaL_tolstring(board_lua, -1, NULL);
        fuzz_check(false, "%s", lua_tostring(board_lua, -1));
    }
}

/* Finds the scripts in the fuzzer's folder, and other Lua modules relative to them. */
static inline void board_find_scripts(lua_State *L)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *folder;

    fuzz_check(n > 0, "/proc/self/exe can't be read");
    self[n] = '\0';
    folder = dirname(self);
    lua_getglobal(L, "package");
    lua_pushfstring(L, "%s/scripts/?.lua;%s/scripts/?/init.lua;%s/scripts/../?.lua", folder, folder,
                    folder);
    lua_setfield(L, -2, "path");
    lua_pop(L, 1);
}

static inline void board_lua_open(void)
{
    if (board_lua)
        return;
    board_lua = luaL_newstate();
    luaL_openlibs(board_lua);
    luaL_getsubtable(board_lua, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(board_lua, luaopen_lunik_core);
    lua_setfield(board_lua, -2, "lunik.core");
    lua_pop(board_lua, 1);
    board_find_scripts(board_lua);
    fuzz_check(luaL_dostring(board_lua, "lunik = require 'lunik'") == LUA_OK, "%s",
               lua_tostring(board_lua, -1));
}

/* Builds a machine from options, as Lua text between braces. */
static inline void board_open(const char *options)
{
    board_lua_open();
    lua_settop(board_lua, 0);
    lua_pushfstring(board_lua, "return lunik.machine { accel = 'none', clock = 'manual', %s }",
                    options);
    fuzz_check(luaL_loadstring(board_lua, lua_tostring(board_lua, 1)) == LUA_OK, "%s",
               lua_tostring(board_lua, -1));
    board_run(0, 1);
    board = bind_machine(board_lua, -1);
    board_memory = lunik_machine_memory(board);
    board_ports = lunik_machine_io(board);
}

static inline void board_close(void)
{
    lunik_runtime *rt = lunik_machine_runtime(board);

    lunik_machine_close(board);
    lua_settop(board_lua, 0);
    lua_gc(board_lua, LUA_GCCOLLECT);
    fuzz_settle(rt);
}

/* ---- access --------------------------------------------------------------------------------- */

static inline uint64_t board_load(lunik_space *space, uint64_t address, unsigned size)
{
    uint64_t value = 0x5a5a5a5a5a5a5a5a;
    int rc = lunik_space_load(space, address, size, &value);

    fuzz_check(rc == 0 || rc == LUNIK_E_ACCESS || rc == LUNIK_E_DEVICE,
               "load of %u at 0x%" PRIx64 ": %d", size, address, rc);
    fuzz_check(value <= fuzz_ones(size), "load of %u at 0x%" PRIx64 " gives 0x%" PRIx64, size,
               address, value);
    return value;
}

static inline void board_store(lunik_space *space, uint64_t address, unsigned size, uint64_t value)
{
    int rc = lunik_space_store(space, address, size, value & fuzz_ones(size));

    fuzz_check(rc == 0 || rc == LUNIK_E_ACCESS || rc == LUNIK_E_DEVICE,
               "store of %u at 0x%" PRIx64 ": %d", size, address, rc);
}

static inline uint32_t port_in(uint16_t port, unsigned size)
{
    return (uint32_t)board_load(board_ports, port, size);
}

static inline void port_out(uint16_t port, unsigned size, uint32_t value)
{
    board_store(board_ports, port, size, value);
}

static inline void board_reset(void)
{
    lunik_error err = {0};

    fuzz_must(lunik_machine_reset(board, &err), err);
}

static inline void board_advance(uint64_t ns)
{
    lunik_error err = {0};

    fuzz_must(lunik_clock_advance(board, ns, &err), err);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Backend "memN" and device "dimmN" of it, of so many MiB; 0 or an error. */
static inline int board_plug(unsigned n, uint64_t mib, lunik_error *err)
{
    char mem[16], dimm[16];
    const lunik_field backend[] = {LUNIK_FIELD_STRING("id", mem),
                                   LUNIK_FIELD_UINT("size", mib << 20)};
    const lunik_field device[] = {LUNIK_FIELD_STRING("id", dimm),
                                  LUNIK_FIELD_STRING("memdev", mem)};
    int rc;

    snprintf(mem, sizeof(mem), "mem%u", n);
    snprintf(dimm, sizeof(dimm), "dimm%u", n);
    rc = lunik_object_add(board, "memory-backend-ram", backend, 2, NULL, err);
    if (!rc)
        rc = lunik_device_add(board, "pc-dimm", device, 2, NULL, err);
    if (rc && rc != LUNIK_E_EXISTS)
        lunik_object_del(board, mem, NULL);
    return rc;
}

/* Returns the text of all address spaces, to be freed. */
static inline char *board_map(void)
{
    char *text = NULL;

    lunik_mtree(board, LUNIK_MTREE_FLAT, &text);
    fuzz_check(text, "no memory map");
    return text;
}

#endif
