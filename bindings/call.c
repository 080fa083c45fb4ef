/*
 * call.c: calls from the runtime into Lua.
 *
 * Any thread that holds the machine lock may call. Each call in progress has a Lua thread of its
 * own, taken from a pool: while a vCPU's handler waits without the lock, calls on other threads do
 * not touch its Lua thread.
 */

#include "bindings.h"

static const char threads_key; /* registry: the Lua threads of the pool */

/* Lua, protected: makes one more Lua thread and anchors it. Argument: where to store it. */
static int make_thread(lua_State *L)
{
    lua_State **out = lua_touserdata(L, 1);

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &threads_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &threads_key);
    }
    *out = lua_newthread(L);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

static lua_State *enter(struct bindings *b)
{
    lua_State *L = NULL;

    if (b->closing)
        return NULL;
    if (b->idle_count)
        return b->idle[--b->idle_count];
    if (b->threads == BIND_CALLS_MAX)
        return NULL;
    lua_pushcfunction(b->maker, make_thread);
    lua_pushlightuserdata(b->maker, &L);
    if (lua_pcall(b->maker, 1, 0, 0) != LUA_OK) {
        lua_settop(b->maker, 0);
        return NULL;
    }
    b->threads++;
    return L;
}

/* Returns why enter() has found no Lua thread. */
static const char *why_not(const struct bindings *b)
{
    if (b->closing)
        return "the Lua state is closed";
    return b->threads == BIND_CALLS_MAX ? "handlers are nested too deeply" : "Lua is out of memory";
}

static void leave(struct bindings *b, lua_State *L)
{
    lua_settop(L, 0);
    b->idle[b->idle_count++] = L;
}

/* Message handler: {error value, traceback}. */
static int add_traceback(lua_State *L)
{
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    luaL_traceback(L, L, NULL, 1);
    lua_rawseti(L, -2, 2);
    return 1;
}

struct report {
    struct glue *glue;
    const char *source;
    lua_State *from; /* has the table made by add_traceback, or a plain error, on top */
};

/* Lua, protected: hooks.report(machine or nil, source, error, traceback). */
static int report_body(lua_State *L)
{
    struct report *r = lua_touserdata(L, 1);

    bind_push_hook(L, "report");
    if (r->glue)
        bind_push_machine(L, r->glue->m);
    else
        lua_pushnil(L);
    lua_pushstring(L, r->source);
    lua_pushvalue(r->from, -1);
    lua_xmove(r->from, L, 1);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_remove(L, -3);
    } else {
        lua_pushliteral(L, "");
    }
    lua_call(L, 4, 0);
    return 0;
}

static void report(struct bindings *b, struct glue *g, const char *source, lua_State *from)
{
    struct report r = {g, source, from};
    lua_State *L = enter(b);
    bool reported = false;

    if (L) {
        lua_pushcfunction(L, report_body);
        lua_pushlightuserdata(L, &r);
        reported = lua_pcall(L, 1, 0, 0) == LUA_OK;
        leave(b, L);
    }
    if (!reported)
        bind_message("lunik: %s failed, and so did the report of it\n", source);
}

/* Runs body; leaves the raised value on the returned thread's stack if *failed. */
static lua_State *run(struct bindings *b, struct glue *g, lua_CFunction body, void *arg,
                      bool *failed)
{
    lua_State *L = enter(b);
    bool on_loop = lunik_on_loop_thread(b->rt);
    struct bind_frame frame;

    *failed = true;
    if (!L)
        return NULL;
    b->calls += on_loop;
    if (g && on_loop)
        g->busy++;
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, arg);
    bind_frame_push(&frame, L, true);
    *failed = lua_pcall(L, 1, 0, 1) != LUA_OK;
    bind_frame_pop(&frame);
    if (g && on_loop)
        g->busy--;
    b->calls -= on_loop;
    return L;
}

/* Lua, protected: does nothing. */
static int no_op(lua_State *L)
{
    return 0;
}

void bind_prepare_call(lua_State *L)
{
    luaL_checkstack(L, UINT8_MAX + LUA_MINSTACK, NULL); /* the most slots a Lua function needs */
    lua_pushcfunction(L, no_op);
    lua_call(L, 0, 0);
}

bool bind_call(struct bindings *b, struct glue *g, const char *source, lua_CFunction body,
               void *arg)
{
    bool failed;
    lua_State *L = run(b, g, body, arg, &failed);

    if (!L) {
        if (!b->closing)
            bind_message("lunik: %s: %s\n", source, why_not(b));
        return false;
    }
    if (failed)
        report(b, g, source, L);
    leave(b, L);
    return !failed;
}

int bind_call_err(struct bindings *b, struct glue *g, lua_CFunction body, void *arg,
                  lunik_error *err)
{
    bool failed;
    lua_State *L = run(b, g, body, arg, &failed);
    int rc = 0;

    if (!L)
        return lunik_fail(err, LUNIK_E_SCRIPT, "%s", why_not(b));
    if (failed) {
        if (lua_istable(L, -1)) /* of add_traceback */
            lua_rawgeti(L, -1, 1);
        rc = bind_take_error(L, err);
    }
    leave(b, L);
    return rc;
}
