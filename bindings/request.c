/*
 * request.c: what is asked of machines without waiting, and the drain functions of scripts' devices.
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
    int fn;             /* registry reference */
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

static void unlink_request(struct pending_request *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
}

static void on_end(lunik_request *request, const lunik_error *err)
{
    struct pending_request *p = lunik_container_of(request, struct pending_request, request);
    struct request_end e = {p, err};

    if (p->b) {
        unlink_request(p);
        bind_call(p->b, NULL, "the end of a request", end_body, &e);
    }
    free(p);
}

void bind_requests_release(struct bindings *b)
{
    struct pending_request *p;

    while ((p = b->requests)) {
        unlink_request(p);
        p->b = NULL;
    }
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

/* core.request(machine, what, fn) -> under_way: fn([code, message]) will be called */
int bind_lua_request(lua_State *L)
{
    static const char *const names[] = {"close", "reset", "start", "pause", "drain", NULL};
    static const lunik_request_kind kinds[] = {LUNIK_REQUEST_CLOSE, LUNIK_REQUEST_RESET,
                                               LUNIK_REQUEST_START, LUNIK_REQUEST_PAUSE,
                                               LUNIK_REQUEST_DRAIN};
    lunik_machine *m = bind_machine(L, 1);
    lunik_request_kind kind = kinds[bind_choice(L, 2, "request", names)];
    struct pending_request *p;
    lunik_error err;
    int rc, fn;

    bind_function(L, 3, "request: function");
    lua_settop(L, 3);
    if (kind == LUNIK_REQUEST_CLOSE)
        bind_check_closable(L, m);
    fn = luaL_ref(L, LUA_REGISTRYINDEX);
    p = calloc(1, sizeof(*p));
    rc = p ? 0 : lunik_fail(&err, LUNIK_E_NO_MEMORY, "out of memory");
    if (!rc) {
        p->request.fn = on_end;
        p->fn = fn;
        link_request(bind_state(L), p);
        rc = lunik_machine_request(m, kind, &p->request, &err);
    }
    if (rc != LUNIK_UNDER_WAY) {
        luaL_unref(L, LUA_REGISTRYINDEX, fn);
        if (p)
            unlink_request(p);
        free(p);
        bind_check(L, rc, &err);
    }
    lua_pushboolean(L, rc == LUNIK_UNDER_WAY);
    return 1;
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
