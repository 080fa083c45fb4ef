/* loop.c: runs the loop; timers on it. */
#include <math.h>
#include <stdlib.h>

#include "bindings.h"

static const char timer_class[] = "lunik.LoopTimer";

enum { RETRY_MS = 100 }; /* after which a timer fires again if Lua had no memory */

/* A one-shot timer of real time. The userdata is anchored in the registry under its address while
 * it is armed; its uservalue is the function. */
struct loop_timer {
    uv_timer_t handle;
    struct bindings *b;
    bool again;                      /* the function is called again if it raises an error */
    bool called;                     /* the function is running and may still fail */
    struct loop_timer *next, **link; /* in b->timers while armed */
};

/* ---- running -------------------------------------------------------------------------------- */

static const char *const mode_names[] = {"default", "once", "nowait", NULL};

/* Returns why the loop can't be run here, NULL if it can. */
static const char *in_the_way(const struct bindings *b)
{
    if (!b->rt)
        return NULL;
    if (lunik_on_loop_thread(b->rt) && b->transactions)
        return "inside a transaction";
    if (!lunik_on_loop_thread(b->rt) || lunik_running(b->rt))
        return "in an event handler";
    return b->calls ? "in a handler" : NULL;
}

static lunik_runtime *runtime_to_run(lua_State *L)
{
    lunik_runtime *rt = bind_runtime(L);
    const char *where = in_the_way(bind_state(L));

    if (where)
        bind_fail(L, LUNIK_E_STATE, "the loop can't be run %s", where);
    return rt;
}

/* core.run([mode]) -> more */
static int run(lua_State *L)
{
    static const lunik_run_mode modes[] = {LUNIK_RUN_DEFAULT, LUNIK_RUN_ONCE, LUNIK_RUN_NOWAIT};
    int mode = lua_isnoneornil(L, 1) ? 0 : bind_choice(L, 1, "run: mode", mode_names);

    lua_pushboolean(L, lunik_run(runtime_to_run(L), modes[mode]));
    return 1;
}

static int stop(lua_State *L)
{
    lunik_stop(bind_runtime(L));
    return 0;
}

/* core.pump() -> more */
static int pump(lua_State *L)
{
    lua_pushboolean(L, lunik_run_timeout(runtime_to_run(L), 0));
    return 1;
}

static int backend_fd(lua_State *L)
{
    lua_pushinteger(L, lunik_backend_fd(bind_runtime(L)));
    return 1;
}

static int backend_timeout(lua_State *L)
{
    lua_pushinteger(L, lunik_backend_timeout(bind_runtime(L)));
    return 1;
}

/* core.blocked() -> why the loop can't be run here, nil if it can */
static int blocked(lua_State *L)
{
    lua_pushstring(L, in_the_way(bind_state(L)));
    return 1;
}

/* core.on_loop_thread() */
static int on_loop_thread(lua_State *L)
{
    struct bindings *b = bind_state(L);

    lua_pushboolean(L, !b->rt || lunik_on_loop_thread(b->rt));
    return 1;
}

/* core.now() -> seconds of real time, from an arbitrary start */
static int now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
    return 1;
}

/* ---- timers --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_timer_t *)handle, struct loop_timer, handle));
}

static void unlink_timer(struct loop_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    lunik_loop(t->b->rt); /* on a vCPU's thread: wakes the loop at unlock */
    uv_close((uv_handle_t *)&t->handle, on_closed);
}

static void disarm(lua_State *L, struct loop_timer **box)
{
    struct loop_timer *t = *box;

    if (!t)
        return;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t);
    *box = NULL;
    unlink_timer(t);
}

/* Lua, protected: calls the function of the timer at 1. */
static int fire_body(lua_State *L)
{
    struct loop_timer *t = lua_touserdata(L, 1), **box;

    lua_rawgetp(L, LUA_REGISTRYINDEX, t);
    box = lua_touserdata(L, -1);
    bind_prepare_call(L);
    if (!t->again)
        disarm(L, box);
    else
        t->called = true;
    lua_getiuservalue(L, 2, 1);
    lua_call(L, 0, 0);
    disarm(L, box); /* if `again`: it has returned */
    return 0;
}

/* Fires later again if the function was not called because Lua had no memory: a task may be waiting
 * for it. */
static void on_timer(uv_timer_t *handle)
{
    struct loop_timer *t = lunik_container_of(handle, struct loop_timer, handle);

    bind_call(t->b, NULL, "a timer", fire_body, t);
    if (uv_is_closing((uv_handle_t *)handle))
        return;
    t->called = false;
    uv_timer_start(handle, on_timer, RETRY_MS, 0);
}

static int timer_cancel(lua_State *L)
{
    struct loop_timer **box = luaL_checkudata(L, 1, timer_class);

    if (*box && !(*box)->called) /* while the function runs it may have to be called again */
        disarm(L, box);
    return 0;
}

/* Converts to the loop's clock, which counts whole milliseconds; rounds up. */
static uint64_t timer_ms(const uv_loop_t *loop, double seconds)
{
    double due = ceil((double)uv_hrtime() / 1e6 + seconds * 1e3);

    return seconds > 0 ? (uint64_t)due - uv_now(loop) : 0;
}

/* core.timer(seconds, fn, [again], [idle]) -> timer; again: fn is called again until it raises no
 * error; idle: the loop does not go on for it */
static int timer_new(lua_State *L)
{
    struct bindings *b = bind_state(L);
    lunik_runtime *rt = bind_runtime(L);
    lua_Number seconds = lua_type(L, 1) == LUA_TNUMBER ? lua_tonumber(L, 1) : -1;
    struct loop_timer **box, *t;
    uint64_t ms;

    if (!(seconds >= 0 && seconds <= 1e9))
        bind_fail(L, LUNIK_E_INVALID, "'%s' is not a time (want seconds, from 0 to 1e9)",
                  luaL_tolstring(L, 1, NULL));
    bind_function(L, 2, "timer: function");
    lua_settop(L, 4);
    box = lua_newuserdatauv(L, sizeof(struct loop_timer *), 1);
    *box = NULL;
    luaL_setmetatable(L, timer_class);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    luaL_checkstack(L, 4, NULL);
    t = calloc(1, sizeof(*t));
    if (!t)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "timer: out of memory");
    if (!bind_try_keep(L, LUA_REGISTRYINDEX, t)) {
        free(t);
        return lua_error(L);
    }
    t->b = b;
    t->again = lua_toboolean(L, 3);
    uv_timer_init(lunik_loop(rt), &t->handle);
    if (lua_toboolean(L, 4))
        uv_unref((uv_handle_t *)&t->handle);
    uv_update_time(lunik_loop(rt));
    t->next = b->timers;
    t->link = &b->timers;
    if (t->next)
        t->next->link = &t->next;
    b->timers = t;
    *box = t;
    ms = timer_ms(lunik_loop(rt), seconds);
    /* libuv runs a timer of 0 ms that a timer sets in the same round: a script that sleeps for 0 in
     * a loop would starve everything else. */
    if (!ms && lunik_running(rt))
        ms = 1;
    uv_timer_start(&t->handle, on_timer, ms, 0);
    return 1;
}

void bind_loop_release(struct bindings *b)
{
    while (b->timers) {
        struct loop_timer *t = b->timers;

        unlink_timer(t);
    }
}

/* ---- registration --------------------------------------------------------------------------- */

const luaL_Reg bind_loop_functions[] = {
    {"run", run},
    {"stop", stop},
    {"pump", pump},
    {"backend_fd", backend_fd},
    {"backend_timeout", backend_timeout},
    {"blocked", blocked},
    {"on_loop_thread", on_loop_thread},
    {"now", now},
    {"timer", timer_new},
    {0},
};

void bind_loop_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {{"cancel", timer_cancel}, {0}};
    static const luaL_Reg meta[] = {{"__close", timer_cancel}, {0}};
    static const struct bind_class timer = {
        .name = timer_class,
        .methods = methods,
        .meta = meta,
    };

    bind_class_new(L, classes, &timer);
}
