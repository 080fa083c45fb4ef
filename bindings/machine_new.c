/* machine_new.c: makes a machine without devices from options that the Lua half has checked. */
#include <stdio.h>

#include "bindings.h"

static unsigned count_field(lua_State *L, const char *name, const char *what, lua_Integer max)
{
    int index = bind_field(L, 1, name);

    return lua_isnil(L, index) ? 0 : (unsigned)bind_int(L, index, what, 1, max);
}

/* Fills node `number` of `nodes` from the table at index; the arrays stay on the stack. */
static void node_from(lua_State *L, int index, size_t number, size_t nodes, lunik_numa_node *out)
{
    char what[64];
    unsigned *cpus;
    uint8_t *distances;
    int list;

    bind_table(L, index, "machine: numa");
    list = bind_field(L, index, "cpus");
    snprintf(what, sizeof(what), "machine: numa: node %zu: cpus", number);
    bind_table(L, list, what);
    out->cpu_count = lua_rawlen(L, list);
    cpus = lua_newuserdatauv(L, sizeof(*cpus) * (out->cpu_count + 1), 0);
    for (size_t i = 0; i < out->cpu_count; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        cpus[i] = (unsigned)bind_int(L, -1, what, 0, 4095);
        lua_pop(L, 1);
    }
    out->cpus = cpus;
    list = bind_field(L, index, "distances");
    if (lua_isnil(L, list))
        return;
    snprintf(what, sizeof(what), "machine: numa: node %zu: distances", number);
    bind_table(L, list, what);
    if (lua_rawlen(L, list) != nodes)
        bind_fail(L, LUNIK_E_INVALID, "%s: has %d entries (want %d, one for each node)", what,
                  (int)lua_rawlen(L, list), (int)nodes);
    distances = lua_newuserdatauv(L, nodes, 0);
    for (size_t i = 0; i < nodes; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        distances[i] = (uint8_t)bind_int(L, -1, what, 10, 255);
        lua_pop(L, 1);
    }
    out->distances = distances;
}

static void nodes_from(lua_State *L, lunik_machine_config *config)
{
    int list = bind_field(L, 1, "nodes");
    lunik_numa_node *nodes;
    size_t count;

    if (lua_isnil(L, list))
        return;
    bind_table(L, list, "machine: nodes");
    count = lua_rawlen(L, list);
    nodes = lua_newuserdatauv(L, sizeof(*nodes) * (count + 1), 0);
    for (size_t i = 0; i < count; i++) {
        nodes[i] = (lunik_numa_node){0};
        luaL_checkstack(L, 8, NULL);
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        node_from(L, lua_gettop(L), i, count, &nodes[i]);
    }
    config->nodes = nodes;
    config->node_count = count;
}

static void set_count(lua_State *L, const char *name, unsigned count)
{
    lua_pushinteger(L, count);
    lua_setfield(L, -2, name);
}

/* core.topology(machine) -> {maxcpus=, dies=, cores=, threads=, nodes= how many, [index] =
 * {present=, node=}} for each CPU that it can have */
int bind_lua_topology(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    const lunik_machine_config *config = lunik_machine_config_get(m);

    lua_newtable(L);
    set_count(L, "maxcpus", config->maxcpus);
    set_count(L, "dies", config->dies);
    set_count(L, "cores", config->cores);
    set_count(L, "threads", config->threads);
    set_count(L, "nodes", (unsigned)config->node_count);
    for (unsigned i = 0; i < config->maxcpus; i++) {
        lua_createtable(L, 0, 2);
        set_count(L, "node", lunik_cpu_node(m, i));
        lua_pushboolean(L, lunik_cpu_present(m, i));
        lua_setfield(L, -2, "present");
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* core.machine{name=, accel=, cpus=, ...} -> machine without devices */
int bind_lua_machine_new(lua_State *L)
{
    static const char *const accels[] = {"kvm", "none", NULL};
    static const char *const options[] = {
        "name",         "accel",   "cpus",         "sockets",    "cores",     "threads",
        "cpu_features", "nodes",   "manual_clock", "dirty_ring", "dirty_log", "drain_timeout",
        "irqchip",      "maxcpus", "dies",         NULL,
    };
    static const char *const irqchips[] = {"kernel", "split", NULL};
    static const char *const logs[] = {"auto", "bitmap", "manual", NULL};
    lunik_runtime *rt = bind_runtime(L);
    lunik_machine_config config = {.name = "machine"};
    lunik_machine *m;
    lunik_error err;
    int index;

    bind_options(L, 1, "machine", options);
    config.name = bind_opt_string(L, bind_field(L, 1, "name"), "machine: name", "machine");
    config.accel = bind_choice(L, bind_field(L, 1, "accel"), "machine: accel", accels)
                       ? LUNIK_ACCEL_NONE
                       : LUNIK_ACCEL_KVM;
    config.cpus = count_field(L, "cpus", "machine: cpus", 4096);
    config.maxcpus = count_field(L, "maxcpus", "machine: maxcpus", 4096);
    config.sockets = count_field(L, "sockets", "machine: sockets", 4096);
    config.dies = count_field(L, "dies", "machine: dies", 4096);
    config.cores = count_field(L, "cores", "machine: cores", 4096);
    config.threads = count_field(L, "threads", "machine: threads", 4096);
    index = bind_field(L, 1, "cpu_features");
    config.cpu_features = lua_isnil(L, index) ? NULL : bind_strings(L, index, "machine: cpu");
    nodes_from(L, &config);
    config.manual_clock = bind_bool(L, bind_field(L, 1, "manual_clock"), "machine: clock");
    config.drain_timeout = count_field(L, "drain_timeout", "machine: drain_timeout", UINT32_MAX);
    config.dirty_ring = count_field(L, "dirty_ring", "machine: dirty_ring", UINT32_MAX);
    index = bind_field(L, 1, "dirty_log");
    if (!lua_isnil(L, index))
        config.dirty_log = (lunik_dirty_log)bind_choice(L, index, "machine: dirty_log", logs);
    index = bind_field(L, 1, "irqchip");
    if (!lua_isnil(L, index))
        config.irqchip = (lunik_irqchip_kind)bind_choice(L, index, "machine: irqchip", irqchips);

    luaL_checkstack(L, 2, NULL);
    bind_check(L, lunik_machine_new(rt, &config, &m, &err), &err);
    bind_adopt_machine(L, m);
    return 1;
}
