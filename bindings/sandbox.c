/* sandbox.c: lunik_sandbox() for scripts/lunik/sandbox.lua. */
#include "bindings.h"

enum { PATHS_MAX = 256 };

/* Returns the strings of the list in field `name` of the table at 1, ended with NULL; the table
 * keeps them. NULL if the field is nil. */
static const char *const *string_list(lua_State *L, const char *name)
{
    const char **list;
    lua_Integer count;

    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1))
        return NULL;
    count = luaL_len(L, -1);
    if (count > PATHS_MAX)
        bind_fail(L, LUNIK_E_INVALID, "sandbox: %s: %d paths are too many (want at most %d)", name,
                  (int)count, PATHS_MAX);
    list = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(*list), 0);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, -2, i);
        list[i - 1] = bind_string(L, -1, name);
        lua_pop(L, 1);
    }
    list[count] = NULL;
    return list;
}

static const char *opt_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    return lua_isnil(L, -1) ? NULL : bind_string(L, -1, name);
}

/* core.sandbox{allow = bits, read = {path, ...}, write = {...}, read_if_there = {...},
 * write_if_there = {...}, user = , group = } */
int bind_lua_sandbox(lua_State *L)
{
    lunik_sandbox_policy policy = {0};
    lunik_error err;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "allow");
    policy.allow = (unsigned)luaL_checkinteger(L, -1);
    policy.read = string_list(L, "read");
    policy.write = string_list(L, "write");
    policy.read_if_there = string_list(L, "read_if_there");
    policy.write_if_there = string_list(L, "write_if_there");
    policy.user = opt_field(L, "user");
    policy.group = opt_field(L, "group");
    if (lunik_sandbox(&policy, &err))
        bind_raise(L, &err);
    return 0;
}

/* core.sandboxed() -> bits, or nil */
int bind_lua_sandboxed(lua_State *L)
{
    unsigned allow;

    if (!lunik_sandboxed(&allow))
        return 0;
    lua_pushinteger(L, allow);
    return 1;
}

/* core.sandbox_denial() -> why the last refused call of this thread was refused, or nil */
int bind_lua_sandbox_denial(lua_State *L)
{
    lua_pushstring(L, lunik_sandbox_denial());
    return 1;
}

/* core.sanitized() */
int bind_lua_sanitized(lua_State *L)
{
    lua_pushboolean(L, lunik_sanitized());
    return 1;
}
