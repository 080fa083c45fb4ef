/*
 * ioeventfd.c: ioeventfds and coalesced ranges of regions.
 *
 * An ioeventfd stays until it or its machine is closed, even if the script drops its handle: the
 * machine's box keeps that. One that is closed in a transaction is removed at the commit, as
 * objects are, but another one may be made for the same writes before that.
 */
#include <stdlib.h>

#include "bindings.h"

static const char event_class[] = "lunik.Ioeventfd";

struct region_event {
    struct glue *glue;
    lunik_change close; /* noted: it will be closed */
    lunik_ioeventfd *event;
    struct event_box *box; /* NULL once it is collected */
    struct region_event *next, **link;
};

struct event_box {
    struct region_event *event; /* NULL: closed */
    lunik_machine *m;
};

static struct event_box *check_box(lua_State *L)
{
    struct event_box *box = luaL_testudata(L, 1, event_class);

    if (!box)
        bind_fail(L, LUNIK_E_INVALID, "bad argument #1: '%s' is not an ioeventfd",
                  luaL_tolstring(L, 1, NULL));
    return box;
}

/* ---- signals -------------------------------------------------------------------------------- */

struct signal_call {
    struct region_event *event;
    uint64_t count;
};

/* Lua, protected: calls the function of the handle. */
static int signal_body(lua_State *L)
{
    struct signal_call *call = lua_touserdata(L, 1);

    bind_push_parts(L, call->event->glue->m);
    lua_rawgetp(L, -1, call->event);
    lua_getiuservalue(L, -1, 1);
    lua_pushinteger(L, (lua_Integer)call->count);
    lua_call(L, 1, 0);
    return 0;
}

static void on_signal(void *opaque, uint64_t count)
{
    struct region_event *event = opaque;
    struct signal_call call = {event, count};

    bind_call(event->glue->b, event->glue, "an ioeventfd's function", signal_body, &call);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void request_from(lua_State *L, lunik_ioeventfd_config *config, int *on)
{
    static const char *const options[] = {"offset", "size", "match", "on", NULL};

    bind_options(L, 2, "ioeventfd", options);
    lua_getfield(L, 2, "offset");
    config->offset = bind_address(L, -1, "ioeventfd: offset");
    lua_getfield(L, 2, "size");
    if (!lua_isnil(L, -1))
        config->size = (unsigned)bind_int(L, -1, "ioeventfd: size", 0, 8);
    lua_getfield(L, 2, "match");
    config->match = !lua_isnil(L, -1);
    if (config->match)
        config->data = bind_bits(L, -1, "ioeventfd: match", config->size ? config->size : 8);
    lua_getfield(L, 2, "on");
    *on = lua_gettop(L);
    if (lua_isnil(L, *on))
        return;
    bind_function(L, *on, "ioeventfd: on");
    config->fn = on_signal;
}

static void on_commit(lunik_change *change);

/* Removes the handle from the table of parts at index. */
static void forget(lua_State *L, int parts, const struct region_event *event)
{
    parts = lua_absindex(L, parts);
    lua_pushnil(L);
    lua_rawsetp(L, parts, event);
}

/* region:ioeventfd{offset=, size=, match=, on=} -> handle */
int bind_lua_ioeventfd(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    struct glue *g = bind_glue(bind_check_box(L, 1, "lunik.Region")->m);
    lunik_ioeventfd_config config = {0};
    struct region_event *event;
    struct event_box *box;
    lunik_error err;
    int on, handle;

    request_from(L, &config, &on);
    bind_push_parts(L, g->m);
    box = lua_newuserdatauv(L, sizeof(*box), 1);
    handle = lua_gettop(L);
    *box = (struct event_box){.m = g->m};
    lunik_machine_ref(g->m);
    luaL_setmetatable(L, event_class);
    lua_pushvalue(L, on);
    lua_setiuservalue(L, handle, 1);
    luaL_checkstack(L, 4, NULL);
    event = calloc(1, sizeof(*event));
    if (!event)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "ioeventfd: out of memory");
    if (!bind_try_keep(L, handle - 1, event)) {
        free(event);
        return lua_error(L);
    }
    config.opaque = event;
    if (lunik_ioeventfd_new(r, &config, &event->event, &err)) {
        forget(L, handle - 1, event);
        free(event);
        return bind_raise(L, &err);
    }
    event->glue = g;
    event->close.commit = on_commit;
    event->next = g->events;
    event->link = &g->events;
    if (event->next)
        event->next->link = &event->next;
    g->events = event;
    event->box = box;
    box->event = event;
    return 1;
}

static void event_free(struct region_event *event)
{
    *event->link = event->next;
    if (event->next)
        event->next->link = event->link;
    lunik_transaction_forget(event->glue->m, &event->close);
    if (event->box)
        event->box->event = NULL;
    free(event);
}

void bind_ioeventfd_release(struct glue *g)
{
    while (g->events) {
        lunik_ioeventfd_close(g->events->event, NULL);
        event_free(g->events);
    }
}

/* Lua, protected: removes the handle of a closed ioeventfd from the machine's parts. */
static int forget_body(lua_State *L)
{
    struct region_event *event = lua_touserdata(L, 1);

    bind_push_parts(L, event->glue->m);
    forget(L, -1, event);
    return 0;
}

static void on_commit(lunik_change *change)
{
    struct region_event *event = lunik_container_of(change, struct region_event, close);

    lunik_ioeventfd_close(event->event, NULL);
    bind_call(event->glue->b, event->glue, "an ioeventfd", forget_body, event);
    event_free(event);
}

static int event_close(lua_State *L)
{
    struct event_box *box = check_box(L);
    struct region_event *event = box->event;
    lunik_error err;
    int rc;

    if (!event || lunik_machine_state(box->m) == LUNIK_STATE_CLOSED) {
        box->event = NULL;
        return 0;
    }
    if (lunik_in_transaction(box->m)) {
        rc = lunik_ioeventfd_detach(event->event, &err);
        if (rc != LUNIK_E_NOT_FOUND) /* it was closed before, in this transaction */
            bind_check(L, rc, &err);
        lunik_transaction_note(box->m, &event->close);
        return 0;
    }
    rc = lunik_ioeventfd_close(event->event, &err);
    if (rc == LUNIK_E_STATE)
        bind_raise(L, &err);
    lua_pushcfunction(L, forget_body);
    lua_pushlightuserdata(L, event);
    lua_pcall(L, 1, 0, 0); /* if memory lacks, the closed handle is kept */
    event_free(event);
    bind_check(L, rc, &err);
    return 0;
}

/* Collects the handle only: close() or the machine's end frees the ioeventfd. */
static int event_gc(lua_State *L)
{
    struct event_box *box = lua_touserdata(L, 1);

    if (box->event)
        box->event->box = NULL;
    if (box->m)
        lunik_machine_unref(box->m);
    *box = (struct event_box){0};
    return 0;
}

static int event_get_fd(lua_State *L)
{
    struct event_box *box = check_box(L);

    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        bind_fail(L, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(box->m));
    if (!box->event)
        bind_fail(L, LUNIK_E_GONE, "this ioeventfd is closed");
    lua_pushinteger(L, lunik_ioeventfd_fd(box->event->event));
    return 1;
}

static int event_tostring(lua_State *L)
{
    struct event_box *box = check_box(L);
    bool open = box->event && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED;

    if (open)
        lua_pushfstring(L, "ioeventfd (fd %d)", lunik_ioeventfd_fd(box->event->event));
    else
        lua_pushliteral(L, "ioeventfd (closed)");
    return 1;
}

/* ---- coalesced ranges ----------------------------------------------------------------------- */

/* region:coalesce([offset, [size]]) */
int bind_lua_coalesce(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    uint64_t offset = lua_isnoneornil(L, 2) ? 0 : bind_address(L, 2, "coalesce: offset");
    uint64_t rest = lunik_region_size(r), size;
    lunik_error err;

    rest = offset && rest > offset ? rest - offset : rest;
    size = lua_isnoneornil(L, 3) ? rest : bind_extent(L, 3, "coalesce: size");
    bind_check(L, lunik_region_coalesce(r, offset, size, &err), &err);
    return 0;
}

/* region:uncoalesce() */
int bind_lua_uncoalesce(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_region_uncoalesce(bind_region(L, 1), &err), &err);
    return 0;
}

void bind_ioeventfd_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {{"close", event_close}, {0}};
    static const luaL_Reg getters[] = {{"fd", event_get_fd}, {0}};
    static const luaL_Reg meta[] = {
        {"__gc", event_gc},
        {"__close", event_close},
        {"__tostring", event_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = event_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
