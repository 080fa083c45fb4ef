/*
 * listener.c: listeners of the memory map written in Lua.
 *
 * The machine keeps a listener, with its functions, until it is removed, even if the script drops
 * its userdata. The runtime may be calling its listeners when a hook removes one, so the struct is
 * freed later, when no listener can be running.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

static const char listener_class[] = "lunik.Listener";

struct map_listener {
    lunik_listener l; /* l.machine: NULL once it is removed */
    struct glue *glue;
    char *name;
    struct map_listener *next;
};

struct listener_box {
    struct map_listener *listener; /* NULL: removed */
    lunik_machine *m;
    int priority;
};

/* ---- sections ------------------------------------------------------------------------------- */

static void set_integer(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* Sets fd and fd_offset if a file holds the section's memory. */
static void set_file(lua_State *L, const lunik_section *s)
{
    const lunik_ram *ram = s->romd ? lunik_region_ram(s->region) : NULL;

    if (!ram || lunik_ram_fd(ram) < 0)
        return;
    set_integer(L, "fd", (uint64_t)lunik_ram_fd(ram));
    set_integer(L, "fd_offset",
                lunik_ram_fd_offset(ram) + lunik_region_ram_offset(s->region) + s->offset);
}

void bind_push_section(lua_State *L, const lunik_section *s, lunik_machine *m)
{
    luaL_checkstack(L, 8, NULL);
    bind_push_region(L, s->region, m);
    lua_createtable(L, 0, 16);
    lua_insert(L, -2);
    lua_setfield(L, -2, "region");
    bind_push_space(L, s->space, m);
    lua_setfield(L, -2, "space");
    lua_pushstring(L, lunik_region_name(s->region));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, bind_region_kinds[lunik_region_get_kind(s->region)]);
    lua_setfield(L, -2, "kind");
    bind_push_object(L, lunik_region_owner(s->region));
    lua_setfield(L, -2, "owner");
    set_integer(L, "offset", s->offset);
    set_integer(L, "address", s->address);
    set_integer(L, "size", s->size);
    set_integer(L, "log_mask", s->log_mask);
    set_flag(L, "readonly", s->readonly);
    set_flag(L, "romd", s->romd);
    set_flag(L, "nonvolatile", s->nonvolatile);
    set_file(L, s);
    bind_push_cause(L, lunik_section_cause(s));
    lua_setfield(L, -2, "cause");
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* One call of a hook: its section, if it has one, and the values after that. */
struct hook_call {
    struct map_listener *listener;
    const char *hook;
    const lunik_section *section;
    unsigned count;
    bool has_data; /* the first value is not nil */
    uint64_t values[2];
};

/* Pushes the function and its arguments; returns how many, -1 if there is no function. */
static int push_call(lua_State *L, const struct hook_call *call)
{
    lunik_machine *m = call->listener->glue->m;
    int top = lua_gettop(L);

    bind_push_parts(L, m);
    if (lua_rawgetp(L, -1, call->listener) == LUA_TNIL)
        return -1;
    lua_getiuservalue(L, -1, 1);
    lua_getfield(L, -1, call->hook);
    if (call->section)
        bind_push_section(L, call->section, m);
    else
        bind_push_cause(L, lunik_transaction_cause(m));
    for (unsigned i = 0; i < call->count; i++) {
        if (i || call->has_data)
            lua_pushinteger(L, (lua_Integer)call->values[i]);
        else
            lua_pushnil(L);
    }
    return lua_gettop(L) - top - 4;
}

/* Lua, protected: calls a hook. */
static int hook_body(lua_State *L)
{
    int count = push_call(L, lua_touserdata(L, 1));

    if (count >= 0)
        lua_call(L, count, 0);
    return 0;
}

/* Lua, protected: calls a hook that refuses by raising an error or by what it returns. */
static int refusing_body(lua_State *L)
{
    int count = push_call(L, lua_touserdata(L, 1));

    if (count < 0)
        return 0;
    lua_call(L, count, 2);
    if (lua_type(L, -2) == LUA_TSTRING || lua_istable(L, -2))
        lua_pop(L, 1); /* the first result is the error; else it is nil or false, with an error */
    else if (lua_toboolean(L, -2) || (lua_isnil(L, -2) && lua_isnil(L, -1)))
        return 0;
    else if (lua_isnil(L, -1))
        lua_pushliteral(L, "refused");
    return lua_error(L);
}

/* Whether hooks are to be called. They are not for removals while a machine closes, when a handler
 * could not use the machine. */
static bool listening(const struct map_listener *e)
{
    return e->l.machine && lunik_machine_state(e->glue->m) != LUNIK_STATE_CLOSED;
}

static void call_hook(struct hook_call *call)
{
    struct map_listener *e = call->listener;

    if (listening(e))
        bind_call(e->glue->b, e->glue, "a listener of the memory map", hook_body, call);
}

static int call_refusing(struct hook_call *call, lunik_error *err)
{
    struct map_listener *e = call->listener;
    lunik_error own;
    int rc = 0;

    if (listening(e))
        rc = bind_call_err(e->glue->b, e->glue, refusing_body, call, &own);
    return rc ? lunik_fail(err, rc, "listener '%s': %s", e->name, own.message) : 0;
}

/* ---- hooks ---------------------------------------------------------------------------------- */

#define LISTENER(l_) lunik_container_of(l_, struct map_listener, l)

#define PLAIN_HOOK(name)                                                                           \
    static void on_##name(lunik_listener *l)                                                       \
    {                                                                                              \
        call_hook(&(struct hook_call){.listener = LISTENER(l), .hook = #name});                    \
    }
#define SECTION_HOOK(name)                                                                         \
    static void on_##name(lunik_listener *l, const lunik_section *s)                               \
    {                                                                                              \
        call_hook(&(struct hook_call){.listener = LISTENER(l), .hook = #name, .section = s});      \
    }
#define REFUSING_HOOK(name)                                                                        \
    static int on_##name(lunik_listener *l, lunik_error *err)                                      \
    {                                                                                              \
        return call_refusing(&(struct hook_call){.listener = LISTENER(l), .hook = #name}, err);    \
    }
#define LOG_HOOK(name)                                                                             \
    static void on_##name(lunik_listener *l, const lunik_section *s, unsigned old, unsigned now)   \
    {                                                                                              \
        call_hook(&(struct hook_call){LISTENER(l), #name, s, .count = 2, .has_data = true,         \
                                      .values = {old, now}});                                      \
    }
#define EVENTFD_HOOK(name)                                                                         \
    static void on_##name(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,    \
                          int fd)                                                                  \
    {                                                                                              \
        call_hook(&(struct hook_call){LISTENER(l), #name, s, 2, match, {data, (uint64_t)fd}});     \
    }
#define COALESCED_HOOK(name)                                                                       \
    static void on_##name(lunik_listener *l, const lunik_section *s, uint64_t address,             \
                          uint64_t size)                                                           \
    {                                                                                              \
        call_hook(&(struct hook_call){LISTENER(l), #name, s, 2, true, {address, size}});           \
    }

/* Every hook of lunik_listener, in its order. */
#define HOOK_MAP(PLAIN, SECTION, REFUSING, LOG, EVENTFD, COALESCED)                                \
    PLAIN(begin)                                                                                   \
    SECTION(region_add)                                                                            \
    SECTION(region_del)                                                                            \
    SECTION(region_nop)                                                                            \
    REFUSING(commit)                                                                               \
    LOG(log_start)                                                                                 \
    LOG(log_stop)                                                                                  \
    SECTION(log_sync)                                                                              \
    PLAIN(log_sync_global)                                                                         \
    SECTION(log_clear)                                                                             \
    REFUSING(log_global_start)                                                                     \
    PLAIN(log_global_stop)                                                                         \
    PLAIN(log_global_after_sync)                                                                   \
    EVENTFD(eventfd_add)                                                                           \
    EVENTFD(eventfd_del)                                                                           \
    COALESCED(coalesced_add)                                                                       \
    COALESCED(coalesced_del)

HOOK_MAP(PLAIN_HOOK, SECTION_HOOK, REFUSING_HOOK, LOG_HOOK, EVENTFD_HOOK, COALESCED_HOOK)

/* Sets the hooks that the options at index name, and copies them into a table, which is pushed. */
static void hooks_from(lua_State *L, int index, lunik_listener *l)
{
    int table;

    lua_newtable(L);
    table = lua_gettop(L);
#define TAKE(name)                                                                                 \
    if (!lua_isnil(L, bind_field(L, index, #name))) {                                              \
        bind_function(L, -1, "listen: " #name);                                                    \
        lua_setfield(L, table, #name);                                                             \
        l->name = on_##name;                                                                       \
    }                                                                                              \
    lua_settop(L, table);
    HOOK_MAP(TAKE, TAKE, TAKE, TAKE, TAKE, TAKE)
#undef TAKE
}

/* ---- registration --------------------------------------------------------------------------- */

static void listener_free(struct map_listener *e)
{
    free(e->name);
    free(e);
}

/* Frees removed listeners; to be called when no listener can be running. */
static void sweep(struct glue *g)
{
    struct map_listener **link = &g->listeners;

    while (*link) {
        struct map_listener *e = *link;

        if (e->l.machine) {
            link = &e->next;
        } else {
            *link = e->next;
            listener_free(e);
        }
    }
}

void bind_listener_release(struct glue *g)
{
    for (struct map_listener *e = g->listeners; e; e = e->next)
        lunik_listener_del(&e->l);
    sweep(g);
}

/* Makes the machine's box keep the userdata at index for the listener; 0: no longer. */
static void anchor(lua_State *L, struct map_listener *e, int index)
{
    bind_push_parts(L, e->glue->m);
    if (index)
        lua_pushvalue(L, index);
    else
        lua_pushnil(L);
    lua_rawsetp(L, -2, e);
    lua_pop(L, 1);
}

static const char *const listen_options[] = {"name", "priority", "space",
#define NAME(name) #name,
                                             HOOK_MAP(NAME, NAME, NAME, NAME, NAME, NAME)
#undef NAME
                                                 NULL};

static lunik_space *space_option(lua_State *L, lunik_machine *m)
{
    struct box *box;

    if (lua_isnil(L, bind_field(L, 2, "space")))
        return NULL;
    box = luaL_testudata(L, -1, "lunik.Space");
    if (!box || box->m != m)
        bind_fail(L, LUNIK_E_INVALID,
                  "listen: space: '%s' is not one of machine '%s' (want m.memory "
                  "or m.io)",
                  luaL_tolstring(L, -1, NULL), lunik_machine_name(m));
    return box->ptr;
}

static struct map_listener *listener_new(struct glue *g, const lunik_listener *l, const char *name)
{
    struct map_listener *e = calloc(1, sizeof(*e));

    if (!e || !(e->name = strdup(name))) {
        free(e);
        return NULL;
    }
    e->l = *l;
    e->l.name = e->name;
    e->glue = g;
    e->next = g->listeners;
    g->listeners = e;
    return e;
}

/* m:listen{name=, priority=, space=, region_add=, ...} -> listener */
int bind_lua_listen(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    lunik_listener l = {0};
    struct listener_box *box;
    struct map_listener *e;
    const char *name;
    lunik_error err;

    lua_settop(L, 2);
    luaL_checkstack(L, 20, NULL);
    bind_options(L, 2, "listen", listen_options);
    name = bind_opt_string(L, bind_field(L, 2, "name"), "listen: name", "script");
    if (!lua_isnil(L, bind_field(L, 2, "priority")))
        l.priority = (int)bind_int(L, -1, "listen: priority", INT32_MIN, INT32_MAX);
    l.space = space_option(L, g->m);
    box = lua_newuserdatauv(L, sizeof(*box), 1);
    *box = (struct listener_box){.m = g->m, .priority = l.priority};
    lunik_machine_ref(g->m);
    luaL_setmetatable(L, listener_class);
    hooks_from(L, 2, &l);
    lua_setiuservalue(L, -2, 1);
    e = listener_new(g, &l, name);
    if (!e)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "listen: out of memory");
    box->listener = e;
    anchor(L, e, lua_gettop(L));
    if (lunik_listener_add(g->m, &e->l, &err)) {
        box->listener = NULL;
        anchor(L, e, 0);
        return bind_raise(L, &err); /* sweep() frees e later: listeners may be running */
    }
    sweep(g);
    return 1;
}

static struct listener_box *check_box(lua_State *L)
{
    struct listener_box *box = luaL_testudata(L, 1, listener_class);

    if (!box)
        bind_wrong_class(L, 1, listener_class);
    if (box->listener && lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        box->listener = NULL;
    return box;
}

/* listener:remove() */
static int listener_remove(lua_State *L)
{
    struct listener_box *box = check_box(L);
    struct map_listener *e = box->listener;

    box->listener = NULL;
    if (e) {
        lunik_listener_del(&e->l);
        anchor(L, e, 0);
    }
    return 0;
}

static int listener_gc(lua_State *L)
{
    struct listener_box *box = lua_touserdata(L, 1);

    if (box->m)
        lunik_machine_unref(box->m);
    *box = (struct listener_box){0};
    return 0;
}

static int get_name(lua_State *L)
{
    const struct listener_box *box = check_box(L);

    lua_pushstring(L, box->listener ? box->listener->name : NULL);
    return 1;
}

static int get_priority(lua_State *L)
{
    lua_pushinteger(L, check_box(L)->priority);
    return 1;
}

static int get_active(lua_State *L)
{
    lua_pushboolean(L, check_box(L)->listener != NULL);
    return 1;
}

static int listener_tostring(lua_State *L)
{
    const struct listener_box *box = check_box(L);

    if (box->listener)
        lua_pushfstring(L, "listener '%s'", box->listener->name);
    else
        lua_pushliteral(L, "listener (removed)");
    return 1;
}

void bind_listener_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {{"remove", listener_remove}, {0}};
    static const luaL_Reg getters[] = {
        {"name", get_name}, {"priority", get_priority}, {"active", get_active}, {0}};
    static const luaL_Reg meta[] = {{"__gc", listener_gc},
                                    {"__close", listener_remove},
                                    {"__tostring", listener_tostring},
                                    {0}};
    static const struct bind_class class = {
        .name = listener_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
