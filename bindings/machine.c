/* machine.c: machines: creation, life cycle, objects. What concerns the guest's ports, memory map
 * and booting is in machine_guest.c. */
#include <stdio.h>
#include <stdlib.h>

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

    box = bind_push_box(L, machine_class, m, 1, &made);
    if (made) {
        lunik_machine_ref(m);
        box->m = m;
    }
}

/* Any state. */
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

/* Keeps the box of a machine alive while it is open, whoever forgets it. */
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

static void glue_release(void *data)
{
    struct glue *g = data, **link = &g->b->machines;

    lunik_machine_set_event_cb(g->m, NULL, NULL);
    lunik_machine_set_exit_cb(g->m, NULL, NULL);
    lunik_machine_set_gsi_cb(g->m, NULL, NULL);
    lunik_machine_set_reset_cb(g->m, NULL, NULL);
    bind_timer_release(g);
    bind_irq_release(g);
    bind_region_release(g);
    while (*link != g)
        link = &(*link)->next;
    *link = g->next;
    free(g);
}

static int glue_new(struct bindings *b, lunik_machine *m, lunik_error *err)
{
    struct glue *g = calloc(1, sizeof(*g));

    if (!g)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    g->b = b;
    g->m = m;
    g->next = b->machines;
    b->machines = g;
    if (lunik_machine_set_data(m, glue_key, g, glue_release)) {
        b->machines = g->next;
        free(g);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine: out of memory");
    }
    bind_event_attach(g);
    return 0;
}

/* ---- creation ------------------------------------------------------------------------------- */

/* Pushes the field and returns its absolute index. */
static int field(lua_State *L, int table, const char *name)
{
    lua_getfield(L, table, name);
    return lua_gettop(L);
}

static unsigned count_field(lua_State *L, const char *name, const char *what)
{
    int index = field(L, 1, name);

    return lua_isnil(L, index) ? 0 : (unsigned)bind_int(L, index, what, 1, 4096);
}

/* A list of strings as a NULL-terminated array, which stays on the stack. */
static const char *const *string_list(lua_State *L, const char *name, const char *what)
{
    int list = field(L, 1, name);
    lua_Integer count;
    const char **items;

    if (lua_isnil(L, list))
        return NULL;
    bind_table(L, list, what);
    count = luaL_len(L, list);
    items = lua_newuserdatauv(L, sizeof(*items) * ((size_t)count + 1), 0);
    for (lua_Integer i = 0; i < count; i++) {
        lua_geti(L, list, i + 1);
        items[i] = bind_string(L, -1, what);
        lua_pop(L, 1); /* the list keeps it */
    }
    items[count] = NULL;
    return items;
}

/* Fills one node from the table at index; the arrays stay on the stack. */
static void node_from(lua_State *L, int index, size_t nodes, lunik_numa_node *out)
{
    unsigned *cpus;
    uint8_t *distances;
    int list;

    bind_table(L, index, "machine: nodes");
    list = field(L, index, "cpus");
    bind_table(L, list, "machine: nodes: cpus");
    out->cpu_count = (size_t)luaL_len(L, list);
    cpus = lua_newuserdatauv(L, sizeof(*cpus) * (out->cpu_count + 1), 0);
    for (size_t i = 0; i < out->cpu_count; i++) {
        lua_geti(L, list, (lua_Integer)i + 1);
        cpus[i] = (unsigned)bind_int(L, -1, "machine: nodes: cpus", 0, 4095);
        lua_pop(L, 1);
    }
    out->cpus = cpus;
    list = field(L, index, "distances");
    if (lua_isnil(L, list))
        return;
    bind_table(L, list, "machine: nodes: distances");
    if ((size_t)luaL_len(L, list) != nodes)
        bind_fail(L, LUNIK_E_INVALID, "machine: nodes: distances: has %d entries (want %d)",
                  (int)luaL_len(L, list), (int)nodes);
    distances = lua_newuserdatauv(L, nodes, 0);
    for (size_t i = 0; i < nodes; i++) {
        lua_geti(L, list, (lua_Integer)i + 1);
        distances[i] = (uint8_t)bind_int(L, -1, "machine: nodes: distances", 10, 254);
        lua_pop(L, 1);
    }
    out->distances = distances;
}

static void nodes_from(lua_State *L, lunik_machine_config *config)
{
    int list = field(L, 1, "nodes");
    lunik_numa_node *nodes;
    size_t count;

    if (lua_isnil(L, list))
        return;
    bind_table(L, list, "machine: nodes");
    count = (size_t)luaL_len(L, list);
    nodes = lua_newuserdatauv(L, sizeof(*nodes) * (count + 1), 0);
    for (size_t i = 0; i < count; i++) {
        nodes[i] = (lunik_numa_node){0};
        luaL_checkstack(L, 8, NULL);
        lua_geti(L, list, (lua_Integer)i + 1);
        node_from(L, lua_gettop(L), count, &nodes[i]);
    }
    config->nodes = nodes;
    config->node_count = count;
}

/* core.machine{name=, accel=, cpus=, ...} -> machine without devices. What the options mean is
 * checked by the Lua half. */
int bind_lua_machine_new(lua_State *L)
{
    static const char *const accels[] = {"kvm", "none", NULL};
    static const char *const options[] = {
        "name",    "accel",        "cpus",  "sockets",      "cores",
        "threads", "cpu_features", "nodes", "manual_clock", NULL,
    };
    lunik_runtime *rt = bind_runtime(L);
    lunik_machine_config config = {.name = "machine"};
    lunik_machine *m;
    lunik_error err;
    int rc;

    bind_options(L, 1, "machine", options);
    config.name = bind_opt_string(L, field(L, 1, "name"), "machine: name", "machine");
    config.accel = bind_choice(L, field(L, 1, "accel"), "machine: accel", accels) ? LUNIK_ACCEL_NONE
                                                                                  : LUNIK_ACCEL_KVM;
    config.cpus = count_field(L, "cpus", "machine: cpus");
    config.sockets = count_field(L, "sockets", "machine: sockets");
    config.cores = count_field(L, "cores", "machine: cores");
    config.threads = count_field(L, "threads", "machine: threads");
    config.cpu_features = string_list(L, "cpu_features", "machine: cpu");
    nodes_from(L, &config);
    config.manual_clock = bind_bool(L, field(L, 1, "manual_clock"), "machine: clock");

    bind_check(L, lunik_machine_new(rt, &config, &m, &err), &err);
    rc = glue_new(bind_state(L), m, &err);
    if (rc) {
        lunik_machine_close(m);
        return bind_raise(L, &err);
    }
    anchor(L, m, true);
    bind_push_machine(L, m);
    return 1;
}

/* core.machines() -> {machine, ...}: those that are not closed, oldest first */
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

/* Closing from inside one of the machine's own callbacks would pull the ground from under them. */
static void check_closable(lua_State *L, lunik_machine *m)
{
    struct glue *g = bind_glue(m);
    const char *where = NULL;

    if (!lunik_on_loop_thread(lunik_machine_runtime(m)))
        where = "from a vCPU's handler";
    else if (g && g->transactions)
        where = "inside a transaction";
    else if (g && g->busy)
        where = "from a handler of one of its devices";
    if (where)
        bind_fail(L, LUNIK_E_STATE, "machine '%s' can't be closed %s (use lunik.defer)",
                  lunik_machine_name(m), where);
}

static int machine_close(lua_State *L)
{
    lunik_machine *m = machine_any(L, 1);

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return 0;
    check_closable(L, m);
    lunik_machine_close(m);
    anchor(L, m, false);
    bind_push_hook(L, "closed");
    if (lua_isnil(L, -1))
        return 0; /* the C half alone */
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

void bind_machine_end(struct glue *g)
{
    lunik_run_state state = lunik_machine_state(g->m);

    if (state == LUNIK_STATE_RUNNING || state == LUNIK_STATE_PAUSED)
        fprintf(stderr, "lunik: machine '%s' was still %s when the script ended; stopped\n",
                lunik_machine_name(g->m), lunik_state_name(state));
    lunik_machine_close(g->m);
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

/* ---- objects -------------------------------------------------------------------------------- */

typedef int add_fn(lunik_machine *m, const char *type, const lunik_field *props, size_t count,
                   lunik_object **out, lunik_error *err);

static int add(lua_State *L, add_fn *fn, const char *what)
{
    lunik_machine *m = bind_machine(L, 1);
    const char *type = bind_string(L, 2, what);
    struct bind_fields fields;
    lunik_object *o = NULL;
    lunik_error err;

    bind_fields(L, 3, type, &fields);
    bind_check(L, fn(m, type, fields.items, fields.count, &o, &err), &err);
    bind_push_object(L, o);
    return 1;
}

static int machine_object_add(lua_State *L)
{
    return add(L, lunik_object_add, "object_add: type");
}

static int machine_device_add(lua_State *L)
{
    return add(L, lunik_device_add, "device_add: driver");
}

/* The id (or path) at index, or that of the object there. */
static const char *id_arg(lua_State *L, int index, const char *what)
{
    const lunik_object *o;

    if (!luaL_testudata(L, index, "lunik.Object"))
        return bind_string(L, index, what);
    o = bind_object(L, index);
    return *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
}

static int machine_object_del(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_error err;

    bind_check(L, lunik_object_del(m, id_arg(L, 2, "object_del: id"), &err), &err);
    return 0;
}

/* core.device_del(machine, id); the Lua half makes m:device_del of it. */
int bind_lua_device_del(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_error err;

    bind_check(L, lunik_device_del(m, id_arg(L, 2, "device_del: id"), &err), &err);
    return 0;
}

/* m:object(id) -> object or nil */
static int machine_object(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    bind_push_object(L, lunik_object_find(m, bind_string(L, 2, "object: id")));
    return 1;
}

static int machine_objects(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lua_Integer count = 0;

    lua_newtable(L);
    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        bind_push_object(L, o);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* m:transaction(fn, ...): everything that fn changes in the topology takes effect at once. */
static int machine_transaction(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    lunik_error err;
    int rc;

    bind_function(L, 2, "transaction: function");
    lunik_transaction_begin(g->m);
    g->transactions++;
    rc = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    g->transactions--;
    if (rc != LUA_OK) {
        lunik_transaction_abort(g->m);
        return lua_error(L);
    }
    bind_check(L, lunik_transaction_commit(g->m, &err), &err);
    return lua_gettop(L) - 1;
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

/* ---- vCPUs ---------------------------------------------------------------------------------- */

static int machine_cpus(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    unsigned count = lunik_vcpu_count(m);

    lua_createtable(L, (int)count, 0);
    for (unsigned i = 0; i < count; i++) {
        bind_push_vcpu(L, lunik_vcpu_get(m, i), m);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* m:cpu(index), from 0 */
static int machine_cpu(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lua_Integer count = lunik_vcpu_count(m);

    if (!count)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "machine '%s' has no vCPUs (accel is none)",
                  lunik_machine_name(m));
    bind_push_vcpu(L, lunik_vcpu_get(m, (unsigned)bind_int(L, 2, "cpu: index", 0, count - 1)), m);
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
        {"object_add", machine_object_add},
        {"object_del", machine_object_del},
        {"device_add", machine_device_add},
        {"object", machine_object},
        {"objects", machine_objects},
        {"transaction", machine_transaction},
        {"cpus", machine_cpus},
        {"cpu", machine_cpu},
        {NULL, NULL},
    };
    static const luaL_Reg getters[] = {
        {"state", machine_get_state},
        {"name", machine_get_name},
        {"accel", machine_get_accel},
        {"exit_code", machine_get_exit_code},
        {"memory", machine_get_memory},
        {"io", machine_get_io},
        {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__gc", bind_part_gc},
        {"__close", machine_close},
        {"__tostring", machine_tostring},
        {NULL, NULL},
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
    luaL_setfuncs(L, bind_machine_guest_methods, 0);
    lua_pop(L, 2);
}
