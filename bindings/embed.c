/* embed.c: the functions of lunik_lua.h, for C programs that have a Lua state. */
#include "bindings.h"
#include "lunik_lua.h"

#define NOT_ON_LOOP "the calling thread is not the loop thread with the lock held"

/* The value that a protected call of Lua has raised, as an error. */
static int fail_lua(lua_State *L, int top, int status, lunik_error *err)
{
    lunik_error raised;
    int code = bind_take_error(L, &raised);

    if (status == LUA_ERRMEM)
        code = LUNIK_E_NO_MEMORY;
    else if (code != LUNIK_E_NO_MEMORY)
        code = LUNIK_E_SCRIPT;
    lua_settop(L, top);
    return lunik_fail(err, code, "%s", raised.message);
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

static bool has_runtime(lua_State *L)
{
    const struct bindings *b = bind_state(L);

    return b && b->rt;
}

int lunik_lua_open(lua_State *L, lunik_runtime *rt, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(L, err);
    LUNIK_NOT_NULL_OR_FAIL(rt, err);
    LUNIK_REQUIRE_OR_FAIL(lunik_on_loop_thread(rt) && lunik_locked(rt), NOT_ON_LOOP, err);

    int top, status, rc = bind_types_share(rt, err);
    bool had_runtime;

    if (rc)
        return rc;
    top = lua_gettop(L);
    if (!lua_checkstack(L, LUA_MINSTACK))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "lunik_lua_open: out of memory");
    had_runtime = has_runtime(L);
    lua_pushcfunction(L, open_body);
    lua_pushlightuserdata(L, rt);
    status = lua_pcall(L, 1, 1, 0);
    if (status != LUA_OK) {
        if (!had_runtime && has_runtime(L))
            bind_unshare_runtime(bind_state(L));
        return fail_lua(L, top, status, err);
    }
    if (!lua_isnil(L, -1))
        return 0;
    lua_settop(L, top);
    return lunik_fail(err, LUNIK_E_STATE, "lunik_lua_open: the module has another runtime");
}

/* Lua, protected: pushes the box of the machine at 1. */
static int push_body(lua_State *L)
{
    bind_show_machine(L, lua_touserdata(L, 1));
    return 1;
}

/* Ties m to the Lua state, unless it is already. A closed one may have outlived its runtime. */
static int attach(lua_State *L, lunik_machine *m, lunik_error *err)
{
    struct bindings *b = bind_state(L);
    const char *name = lunik_machine_name(m);
    struct glue *g;

    if (!b)
        return lunik_fail(err, LUNIK_E_STATE,
                          "machine '%s' can't be pushed: the Lua module is not open", name);
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", name);
    if (b->rt != lunik_machine_runtime(m))
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' is not of the Lua state's runtime",
                          name);
    LUNIK_REQUIRE_OR_FAIL(lunik_on_loop_thread(b->rt) && lunik_locked(b->rt), NOT_ON_LOOP, err);
    g = bind_glue(m);
    if (g && g->b != b)
        return lunik_fail(err, LUNIK_E_BUSY, "machine '%s' is in another Lua state", name);
    return g ? 0 : bind_glue_new(b, m, err);
}

int lunik_lua_push_machine(lua_State *L, lunik_machine *m, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(L, err);
    LUNIK_NOT_NULL_OR_FAIL(m, err);

    int top = lua_gettop(L), status, rc;

    if (!lua_checkstack(L, LUA_MINSTACK))
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "lunik_lua_push_machine: out of memory");
    rc = attach(L, m, err);
    if (rc)
        return rc;
    lua_pushcfunction(L, push_body);
    lua_pushlightuserdata(L, m);
    status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK)
        return 0;
    if (!bind_glue(m)->shown)
        bind_glue_drop(m);
    return fail_lua(L, top, status, err);
}

lunik_machine *lunik_lua_machine(lua_State *L, int index)
{
    return L && lua_checkstack(L, 3) && bind_state(L) ? bind_test_machine(L, index) : NULL;
}
