/* embed.c: the functions of lunik_lua.h, for C programs that have a Lua state. */
#include "bindings.h"
#include "lunik_lua.h"

static int fail_lua(lua_State *L, int top, lunik_error *err)
{
    const char *message = luaL_tolstring(L, -1, NULL);
    int rc = lunik_fail(err, LUNIK_E_SCRIPT, "%s", message);

    lua_settop(L, top);
    return rc;
}

/* Lua, protected: loads the module "lunik" with the runtime at 1; returns nothing if the module has
 * another runtime. */
static int open_body(lua_State *L)
{
    lunik_runtime *rt = lua_touserdata(L, 1);

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_lunik_core);
    lua_setfield(L, -2, "lunik.core");
    lua_pushcfunction(L, luaopen_lunik_core);
    lua_call(L, 0, 0);
    if (!bind_share_runtime(bind_state(L), rt))
        return 0;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "lunik");
    lua_call(L, 1, 1);
    return 1;
}

int lunik_lua_open(lua_State *L, lunik_runtime *rt, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(L, err);
    LUNIK_NOT_NULL_OR_FAIL(rt, err);

    int top, rc = bind_types_share(rt, err);

    if (rc)
        return rc;
    top = lua_gettop(L);
    if (!lua_checkstack(L, LUA_MINSTACK))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "lunik_lua_open: out of memory");
    lua_pushcfunction(L, open_body);
    lua_pushlightuserdata(L, rt);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        return fail_lua(L, top, err);
    if (!lua_isnil(L, -1))
        return 0;
    lua_settop(L, top);
    return lunik_fail(err, LUNIK_E_STATE, "lunik_lua_open: the module has another runtime");
}

/* Lua, protected: pushes the box of the machine at 1. */
static int push_body(lua_State *L)
{
    lunik_machine *m = lua_touserdata(L, 1);

    bind_show_machine(L, m);
    return 1;
}

int lunik_lua_push_machine(lua_State *L, lunik_machine *m, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(L, err);
    LUNIK_NOT_NULL_OR_FAIL(m, err);

    struct bindings *b;
    struct glue *g;
    int top, rc = 0;

    top = lua_gettop(L);
    if (!lua_checkstack(L, LUA_MINSTACK))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "lunik_lua_push_machine: out of memory");
    b = bind_state(L);
    g = bind_glue(m);
    if (!b || b->rt != lunik_machine_runtime(m))
        rc = lunik_fail(err, LUNIK_E_STATE, "machine '%s' is not of the Lua state's runtime",
                        lunik_machine_name(m));
    else if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        rc = lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(m));
    else if (g && g->b != b)
        rc = lunik_fail(err, LUNIK_E_BUSY, "machine '%s' is in another Lua state",
                        lunik_machine_name(m));
    else if (!g)
        rc = bind_glue_new(b, m, err);
    if (rc)
        return rc;
    lua_pushcfunction(L, push_body);
    lua_pushlightuserdata(L, m);
    return lua_pcall(L, 1, 1, 0) == LUA_OK ? 0 : fail_lua(L, top, err);
}

lunik_machine *lunik_lua_machine(lua_State *L, int index)
{
    return L && lua_checkstack(L, 3) ? bind_test_machine(L, index) : NULL;
}
