/*
 * request.c: what is asked of machines without waiting, and the drain functions of scripts'
 * devices.
 *
 * A request that is under way is in the bindings' list, with its function in the registry. It may
 * outlive the Lua state: then its end only frees it.
 */
#include <stdlib.h>

#include "bindings.h"

static const char done_class[] = "lunik.Done";

struct pending_request {
    lunik_request request;
    struct bindings *b; /* NULL: the Lua state is gone */
    lunik_machine *m;
    const char *what;
    int fn; /* registry reference; LUA_NOREF: none has been given */
    struct pending_request *next, **link;
};

/* ---- requests ------------------------------------------------------------------------------- */

struct request_end {
    struct pending_request *p;
    const lunik_error *err;
};

/* Lua, protected: calls the function of a request: fn([code, message]). */
static int end_body(lua_State *L)
{
    const struct request_end *e = lua_touserdata(L, 1);

    bind_prepare_call(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->p->fn);
    luaL_unref(L, LUA_REGISTRYINDEX, e->p->fn);
    if (!e->err) {
        lua_call(L, 0, 0);
    } else {
        lua_pushstring(L, lunik_error_name(e->err->code));
        lua_pushstring(L, e->err->message);
        lua_call(L, 2, 0);
    }
    return 0;
}

static void link_request(struct bindings *b, struct pending_request *p)
{
    p->b = b;
    p->next = b->requests;
    p->link = &b->requests;
    if (p->next)
        p->next->link = &p->next;
    b->requests = p;
}

static void unlink_request(struct pending_request *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
}

/* The spare of its machine from now on, if there is none. */
static void put_back(struct pending_request *p)
{
    struct glue *g = p->b ? bind_glue(p->m) : NULL;

    lunik_machine_unref(p->m);
    if (g && !g->request)
        g->request = p;
    else
        free(p);
}

static void on_end(lunik_request *request, const lunik_error *err)
{
    struct pending_request *p = lunik_container_of(request, struct pending_request, request);
    struct request_end e = {p, err};

    if (p->b) {
        unlink_request(p);
        if (p->fn != LUA_NOREF)
            bind_call(p->b, NULL, "the end of a request", end_body, &e);
        else if (err && lunik_machine_state(p->m) != LUNIK_STATE_CLOSED)
            lunik_emit(p->m, "error", LUNIK_FIELD_STRING("message", err->message),
                       LUNIK_FIELD_STRING("source", p->what));
    }
    put_back(p);
}

void bind_requests_release(struct bindings *b)
{
    struct pending_request *p;

    while ((p = b->requests)) {
        unlink_request(p);
        p->b = NULL;
    }
}

bool bind_request_spare(struct glue *g)
{
    g->request = calloc(1, sizeof(*g->request));
    return g->request;
}

/* A machine's first one takes no memory: it can be closed where there is none. */
static struct pending_request *take(lua_State *L, struct glue *g)
{
    struct pending_request *p = g->request;

    g->request = NULL;
    if (!p)
        p = malloc(sizeof(*p));
    if (!p)
        bind_fail(L, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", lunik_machine_name(g->m));
    *p = (struct pending_request){.request.fn = on_end, .m = g->m, .fn = LUA_NOREF};
    lunik_machine_ref(p->m);
    return p;
}

/* core.request(machine, what) -> nil, or what to give core.on_end() while it is under way */
int bind_lua_request(lua_State *L)
{
    static const char *const names[] = {"close", "reset",  "start", "pause",
                                        "drain", "wakeup", NULL};
    static const lunik_request_kind kinds[] = {LUNIK_REQUEST_CLOSE, LUNIK_REQUEST_RESET,
                                               LUNIK_REQUEST_START, LUNIK_REQUEST_PAUSE,
                                               LUNIK_REQUEST_DRAIN, LUNIK_REQUEST_WAKEUP};
    struct glue *g = bind_machine_glue(L, 1);
    int choice = bind_choice(L, 2, "request", names);
    struct pending_request *p;
    struct bind_script script;
    lunik_error err;
    int rc;

    if (kinds[choice] == LUNIK_REQUEST_CLOSE)
        bind_check_closable(L, g->m);
    p = take(L, g);
    p->what = names[choice];
    link_request(bind_state(L), p);
    bind_script_begin(L, &script);
    rc = lunik_machine_request(p->m, kinds[choice], &p->request, &err);
    lunik_cause_pop(&script.cause);
    if (rc != LUNIK_UNDER_WAY) {
        unlink_request(p);
        put_back(p);
        bind_check(L, rc, &err);
        return 0;
    }
    lua_pushlightuserdata(L, p);
    return 1;
}

/* core.on_end(request, fn): fn([code, message]) is called when the request ends. At once after
 * core.request(), which else has it end unnoticed but for an event "error". */
int bind_lua_on_end(lua_State *L)
{
    struct pending_request *p = lua_touserdata(L, 1);

    bind_function(L, 2, "request: function");
    lua_settop(L, 2);
    p->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* core.undrain(machine): ends what core.request(machine, "drain") began. */
int bind_lua_undrain(lua_State *L)
{
    lunik_machine_undrain(bind_machine(L, 1));
    return 0;
}

/* ---- devices -------------------------------------------------------------------------------- */

/* The function that a script calls when its device has finished. */
struct done_box {
    lunik_drain *drain; /* NULL: called */
};

static int report_done(struct done_box *box)
{
    lunik_drain *d = box->drain;

    box->drain = NULL;
    if (d)
        lunik_drain_done(d);
    return 0;
}

static int call_done(lua_State *L)
{
    return report_done(lua_touserdata(L, lua_upvalueindex(1)));
}

/* It can't be called any more. */
static int collect_done(lua_State *L)
{
    return report_done(lua_touserdata(L, 1));
}

void bind_push_done(lua_State *L, lunik_drain **d)
{
    struct done_box *box = lua_newuserdatauv(L, sizeof(*box), 0);

    box->drain = NULL;
    if (luaL_newmetatable(L, done_class)) {
        lua_pushcfunction(L, collect_done);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_pushcclosure(L, call_done, 1);
    box->drain = *d;
    *d = NULL;
}
