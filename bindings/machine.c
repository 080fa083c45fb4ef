/*
 * machine.c: machines: their boxes, their glue, their life cycle. Creation is in machine_new.c,
 * objects and vCPUs in machine_objects.c, the guest's side in machine_guest.c.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

static const char machine_class[] = "lunik.Machine";
static const char glue_key[] = "lua";
static const char open_key; /* registry: address -> box of every machine that is not closed */

/* ---- boxes ---------------------------------------------------------------------------------- */

struct glue *bind_glue(lunik_machine *m)
{
    return lunik_machine_data(m, glue_key);
}

void bind_push_machine(lua_State *L, lunik_machine *m)
{
    struct box *box;
    bool made;

    luaL_checkstack(L, 2, NULL);
    box = bind_push_box(L, machine_class, m, 1, &made, NULL);
    if (made) {
        lunik_machine_ref(m);
        box->m = m;
    }
}

/* Returns the machine at index in any state, closed as well. */
static lunik_machine *machine_any(lua_State *L, int index)
{
    return bind_check_box(L, index, machine_class)->m;
}

lunik_machine *bind_machine(lua_State *L, int index)
{
    return bind_check_open(L, index, machine_class)->m;
}

struct glue *bind_machine_glue(lua_State *L, int index)
{
    lunik_machine *m = bind_machine(L, index);
    struct glue *g = bind_glue(m);

    if (!g)
        bind_fail(L, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(m));
    return g;
}

/* Keeps the box of an open machine alive, or no longer. */
static void anchor(lua_State *L, lunik_machine *m, bool keep)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &open_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &open_key);
    }
    if (keep)
        bind_push_machine(L, m);
    else
        lua_pushnil(L);
    lua_rawsetp(L, -2, m);
    lua_pop(L, 1);
}

/* Lua, protected: the machine at 1 is closed: its box may go, and waits for it end. */
static int closed_body(lua_State *L)
{
    lunik_machine *m = lua_touserdata(L, 1);

    bind_push_machine(L, m);
    anchor(L, m, false);
    bind_push_hook(L, "closed");
    if (lua_isnil(L, -1))
        return 0; /* the C half alone */
    lua_rotate(L, -2, 1);
    lua_call(L, 1, 0);
    return 0;
}

static void glue_release(void *data)
{
    struct glue *g = data, **link = &g->b->machines;

    bind_event_detach(g);
    bind_trace_release(g);
    bind_stream_release(g);
    bind_timer_release(g);
    bind_ioeventfd_release(g);
    bind_listener_release(g);
    bind_irq_release(g);
    bind_region_release(g);
    while (*link != g)
        link = &(*link)->next;
    *link = g->next;
    if (g->shown && lunik_machine_state(g->m) == LUNIK_STATE_CLOSED)
        bind_call(g->b, NULL, "the end of waits for a machine", closed_body, g->m);
    free(g->request);
    free(g);
}

void bind_glue_drop(lunik_machine *m)
{
    if (bind_glue(m))
        lunik_machine_set_data(m, glue_key, NULL, NULL);
}

int bind_glue_new(struct bindings *b, lunik_machine *m, lunik_error *err)
{
    struct glue *g = calloc(1, sizeof(*g));

    if (!g || !bind_request_spare(g)) {
        free(g);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    }
    g->b = b;
    g->m = m;
    g->next = b->machines;
    b->machines = g;
    if (lunik_machine_set_data(m, glue_key, g, glue_release)) {
        b->machines = g->next;
        free(g->request);
        free(g);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    }
    bind_event_attach(g);
    return 0;
}

void bind_show_machine(lua_State *L, lunik_machine *m)
{
    bind_push_machine(L, m);
    anchor(L, m, true);
    bind_glue(m)->shown = true;
}

lunik_machine *bind_test_machine(lua_State *L, int index)
{
    struct box *box = luaL_testudata(L, index, machine_class);

    return box ? box->m : NULL;
}

/* Lua, protected: makes the box of the machine at 1. */
static int adopt_body(lua_State *L)
{
    lunik_machine *m = lua_touserdata(L, 1);

    bind_show_machine(L, m);
    return 1;
}

void bind_adopt_machine(lua_State *L, lunik_machine *m)
{
    lunik_error err;

    if (bind_glue_new(bind_state(L), m, &err)) {
        lunik_machine_close(m);
        bind_raise(L, &err);
    }
    lua_pushcfunction(L, adopt_body);
    lua_pushlightuserdata(L, m);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lunik_machine_close(m); /* the script has no handle to close it */
        lua_error(L);
    }
}

/* core.machines() -> {machine, ...}: the machines that are not closed, oldest first */
int bind_lua_machines(lua_State *L)
{
    struct bindings *b = bind_state(L);
    lua_Integer count = 0;

    for (struct glue *g = b->machines; g; g = g->next)
        count++;
    lua_createtable(L, (int)count, 0);
    for (struct glue *g = b->machines; g; g = g->next) {
        bind_push_machine(L, g->m);
        lua_rawseti(L, -2, count--);
    }
    return 1;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int machine_start(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_error err;

    bind_check(L, lunik_machine_start(m, &err), &err);
    lua_settop(L, 1);
    return 1;
}

static int machine_pause(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_machine_pause(bind_machine(L, 1), &err), &err);
    return 0;
}

static int machine_resume(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_error err;

    if (lunik_machine_state(m) != LUNIK_STATE_PAUSED)
        bind_fail(L, LUNIK_E_STATE, "machine '%s' is %s (want a paused one)", lunik_machine_name(m),
                  lunik_state_name(lunik_machine_state(m)));
    bind_check(L, lunik_machine_start(m, &err), &err);
    return 0;
}

static int machine_reset(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_machine_reset(bind_machine(L, 1), &err), &err);
    return 0;
}

static int machine_wakeup(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_machine_wakeup(bind_machine(L, 1), &err), &err);
    return 0;
}

/* m:shutdown([code]) */
static int machine_shutdown(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    int code = lua_isnoneornil(L, 2) ? 0 : (int)bind_int(L, 2, "shutdown: code", 0, 255);

    lunik_machine_shutdown(m, "host-quit", code);
    return 0;
}

static int machine_powerdown(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_machine_powerdown(bind_machine(L, 1), &err), &err);
    return 0;
}

/* Fails where closing would free what a callback further up the stack still uses. */
void bind_check_closable(lua_State *L, lunik_machine *m)
{
    struct glue *g = bind_glue(m);
    const char *where = NULL;

    if (!lunik_on_loop_thread(lunik_machine_runtime(m)))
        where = "from a vCPU's handler";
    else if (bind_state(L)->transactions)
        where = "inside a transaction";
    else if (g && g->busy)
        where = "from a handler of one of its devices";
    else if (lua_gc(L, LUA_GCCOUNT) < 0)
        where = "by a finalizer"; /* it may run in the middle of any call */
    if (where)
        bind_fail(L, LUNIK_E_STATE, "machine '%s' can't be closed %s (use lunik.defer)",
                  lunik_machine_name(m), where);
}

static int leave_scope_rest(lua_State *L, int status, lua_KContext context)
{
    return 0;
}

static int machine_close(lua_State *L)
{
    lunik_machine *m = machine_any(L, 1);

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return 0;
    bind_check_closable(L, m);
    lunik_machine_close(m);
    return 0;
}

/* A <close> variable: the method of the Lua half may wait in a coroutine. */
static int machine_leave_scope(lua_State *L)
{
    lua_settop(L, 1);
    lua_getfield(L, 1, "close");
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 0, 0, leave_scope_rest);
    return 0;
}

/* Prints errors of character devices at the end of the Lua state, when no handler is called. */
static void on_last_event(void *opaque, const lunik_event *event)
{
    const char *object = "", *message = "";

    if (strcmp(event->name, "chardev-error") != 0)
        return;
    for (size_t i = 0; i < event->count; i++) {
        if (!strcmp(event->fields[i].name, "object"))
            object = event->fields[i].value.string;
        else if (!strcmp(event->fields[i].name, "message"))
            message = event->fields[i].value.string;
    }
    bind_message("lunik: machine '%s': %s: %s\n", lunik_machine_name(event->machine), object,
                 message);
}

bool bind_machine_end(struct glue *g)
{
    lunik_machine *m = g->m;
    lunik_run_state state = lunik_machine_state(m);
    bool closed;

    if (state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_PAUSED ||
        state == LUNIK_STATE_SUSPENDED)
        bind_message("lunik: machine '%s' was still %s when the script ended; stopped\n",
                     lunik_machine_name(m), lunik_state_name(state));
    g->event_sub.fn = on_last_event;
    lunik_machine_ref(m);
    lunik_machine_close(m);
    closed = !bind_glue(m);
    bind_glue_drop(m);
    lunik_machine_unref(m);
    return closed;
}

static int machine_tostring(lua_State *L)
{
    lunik_machine *m = machine_any(L, 1);

    lua_pushfstring(L, "machine '%s' (%s)", lunik_machine_name(m),
                    lunik_state_name(lunik_machine_state(m)));
    return 1;
}

/* m:advance(ns) */
static int machine_advance(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    uint64_t ns = bind_u64(L, 2, "advance: ns");
    lunik_error err;

    bind_check(L, lunik_clock_advance(m, ns, &err), &err);
    return 0;
}

static int machine_clock(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_clock_now(bind_machine(L, 1)));
    return 1;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int machine_get_state(lua_State *L)
{
    lua_pushstring(L, lunik_state_name(lunik_machine_state(machine_any(L, 1))));
    return 1;
}

static int machine_get_name(lua_State *L)
{
    lua_pushstring(L, lunik_machine_name(machine_any(L, 1)));
    return 1;
}

static int machine_get_accel(lua_State *L)
{
    lunik_accel accel = lunik_machine_accel(machine_any(L, 1));

    lua_pushstring(L, accel == LUNIK_ACCEL_NONE ? "none" : "kvm");
    return 1;
}

static int machine_get_irqchip(lua_State *L)
{
    const lunik_machine_config *config = lunik_machine_config_get(machine_any(L, 1));

    lua_pushstring(L, config->irqchip == LUNIK_IRQCHIP_SPLIT ? "split" : "kernel");
    return 1;
}

static int machine_get_address_bits(lua_State *L)
{
    lua_pushinteger(L, lunik_machine_address_bits(bind_machine(L, 1)));
    return 1;
}

static int machine_get_exit_code(lua_State *L)
{
    lua_pushinteger(L, lunik_machine_exit_code(machine_any(L, 1)));
    return 1;
}

static int machine_get_memory(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    bind_push_space(L, lunik_machine_memory(m), m);
    return 1;
}

static int machine_get_io(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    bind_push_space(L, lunik_machine_io(m), m);
    return 1;
}

static int machine_get_stats(lua_State *L)
{
    lunik_machine_stats stats;

    lunik_machine_get_stats(bind_machine(L, 1), &stats);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)stats.memslots);
    lua_setfield(L, -2, "memslots");
    lua_pushinteger(L, (lua_Integer)stats.max_memslots);
    lua_setfield(L, -2, "max_memslots");
    lua_pushinteger(L, (lua_Integer)stats.holds);
    lua_setfield(L, -2, "holds");
    return 1;
}

/* ---- registration --------------------------------------------------------------------------- */

void bind_machine_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"start", machine_start},
        {"pause", machine_pause},
        {"resume", machine_resume},
        {"reset", machine_reset},
        {"shutdown", machine_shutdown},
        {"powerdown", machine_powerdown},
        {"close", machine_close},
        {"advance", machine_advance},
        {"clock", machine_clock},
        {"wakeup", machine_wakeup},
        {0},
    };
    static const luaL_Reg getters[] = {
        {"state", machine_get_state},     {"name", machine_get_name},
        {"accel", machine_get_accel},     {"exit_code", machine_get_exit_code},
        {"memory", machine_get_memory},   {"io", machine_get_io},
        {"stats", machine_get_stats},     {"address_bits", machine_get_address_bits},
        {"irqchip", machine_get_irqchip}, {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", bind_part_gc},
        {"__close", machine_leave_scope},
        {"__tostring", machine_tostring},
        {0},
    };
    static const struct bind_class machine = {
        .name = machine_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &machine);
    lua_getfield(L, classes, "Machine");
    lua_getfield(L, -1, "methods");
    luaL_setfuncs(L, bind_machine_object_methods, 0);
    luaL_setfuncs(L, bind_machine_guest_methods, 0);
    lua_pop(L, 2);
}
