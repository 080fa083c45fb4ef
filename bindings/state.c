/* state.c: the data of a Lua state: struct bindings, the runtime, the hooks of the Lua half. */
#include "bindings.h"

const char bind_state_key;
const char bind_core_key;

struct bindings *bind_state(lua_State *L)
{
    struct bindings *b;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &bind_state_key);
    b = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return b;
}

lunik_runtime *bind_runtime(lua_State *L)
{
    struct bindings *b = bind_state(L);
    lunik_error err;

    if (b->rt)
        return b->rt;
    if (b->closing)
        bind_fail(L, LUNIK_E_STATE, "the Lua state is being closed");
    bind_check(L, lunik_runtime_new(lunik_builtin_types(), &b->rt, &err), &err);
    lunik_runtime_use(b->rt);
    return b->rt;
}

bool bind_share_runtime(struct bindings *b, lunik_runtime *rt)
{
    if (!b->rt && !b->closing) {
        b->rt = rt;
        b->shared = true;
        lunik_runtime_use(rt);
    }
    return b->rt == rt;
}

void bind_unshare_runtime(struct bindings *b)
{
    if (b->timers || b->machines || b->types)
        return;
    lunik_runtime_unuse(b->rt);
    b->rt = NULL;
    b->shared = false;
}

void bind_push_hook(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &bind_core_key);
    lua_getfield(L, -1, "hooks");
    lua_getfield(L, -1, name);
    lua_replace(L, -3);
    lua_pop(L, 1);
}
