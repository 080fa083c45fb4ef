/*
 * timer.c: timers on a machine's clock.
 *
 * The machine's glue keeps the struct that the runtime uses. The registry keeps the userdata of an
 * armed timer, so that one without other references still fires.
 */
#include <stdlib.h>

#include "bindings.h"

static const char timer_class[] = "lunik.Timer";

enum { RETRY_NS = 100000000 };

struct clock_timer {
    lunik_timer timer;
    struct glue *glue;
    struct clock_timer *next, **link;
};

struct timer_box {
    struct clock_timer *timer;
    lunik_machine *m;
};

static struct clock_timer *check_timer(lua_State *L)
{
    struct timer_box *box = luaL_testudata(L, 1, timer_class);

    if (!box)
        bind_wrong_class(L, 1, timer_class);
    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        bind_fail(L, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(box->m));
    return box->timer;
}

/* Anchors the userdata at index 1 under the timer's address, or releases it. */
static void anchor(lua_State *L, struct clock_timer *t, bool on)
{
    if (on)
        lua_pushvalue(L, 1);
    else
        lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t);
}

struct fire {
    struct clock_timer *timer;
    bool called; /* if set, the timer may have been freed */
};

/* Lua, protected: calls the function of the timer of a struct fire at 1. */
static int fire_body(lua_State *L)
{
    struct fire *fire = lua_touserdata(L, 1);
    struct clock_timer *t = fire->timer;

    lua_rawgetp(L, LUA_REGISTRYINDEX, t);
    bind_prepare_call(L);
    fire->called = true;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t);
    lua_getiuservalue(L, 2, 1);
    lua_call(L, 0, 0);
    return 0;
}

/* Sets the timer again if its function was not called because Lua had no memory. */
static void on_timer(lunik_timer *timer)
{
    struct clock_timer *t = lunik_container_of(timer, struct clock_timer, timer);

    struct fire fire = {.timer = t};

    bind_call(t->glue->b, t->glue, "a timer of a machine", fire_body, &fire);
    if (!fire.called)
        lunik_timer_set(timer, lunik_clock_now(timer->machine) + RETRY_NS);
}

/* m:timer(fn) -> timer */
int bind_lua_timer_new(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    struct timer_box *box;
    struct clock_timer *t;

    bind_function(L, 2, "timer: function");
    box = lua_newuserdatauv(L, sizeof(*box), 1);
    *box = (struct timer_box){.m = g->m};
    lunik_machine_ref(g->m);
    luaL_setmetatable(L, timer_class);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    t = calloc(1, sizeof(*t));
    if (!t)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "timer: out of memory");
    lunik_timer_init(&t->timer, g->m, on_timer);
    t->glue = g;
    t->next = g->timers;
    t->link = &g->timers;
    if (t->next)
        t->next->link = &t->next;
    g->timers = t;
    box->timer = t;
    return 1;
}

static void timer_free(struct clock_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    lunik_timer_cancel(&t->timer);
    free(t);
}

void bind_timer_release(struct glue *g)
{
    while (g->timers)
        timer_free(g->timers);
}

/* timer:set(ns): fires that many ns of machine time from now */
static int timer_set(lua_State *L)
{
    struct clock_timer *t = check_timer(L);
    uint64_t ns = bind_u64(L, 2, "set: ns"), now = lunik_clock_now(t->glue->m);

    anchor(L, t, true);
    lunik_timer_set(&t->timer, ns < UINT64_MAX - 1 - now ? now + ns : UINT64_MAX - 1);
    return 0;
}

static int timer_cancel(lua_State *L)
{
    struct clock_timer *t = check_timer(L);

    lunik_timer_cancel(&t->timer);
    anchor(L, t, false);
    return 0;
}

/* Only idle timers, or those of a closed machine, are collected: the registry keeps the others. */
static int timer_gc(lua_State *L)
{
    struct timer_box *box = lua_touserdata(L, 1);

    if (!box->m)
        return 0;
    if (box->timer && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED)
        timer_free(box->timer);
    lunik_machine_unref(box->m);
    *box = (struct timer_box){0};
    return 0;
}

void bind_timer_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"set", timer_set},
        {"cancel", timer_cancel},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", timer_gc},
        {0},
    };
    static const struct bind_class class = {
        .name = timer_class,
        .methods = methods,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
