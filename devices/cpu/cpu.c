/*
 * cpu.c: a CPU that is plugged: its place in the topology.
 *
 * The machine's hotplug handler for CPUs (cpu_hotplug.c) checks the place, and chooses it where it
 * is not given. Registers and the rest of a CPU's state are the vCPU's, which KVM has.
 */
#include "../types.h"

struct cpu {
    lunik_cpu_device cpu;
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct cpu *s = lunik_state(o);

    s->cpu.hotplugged = lunik_machine_hotplugging(lunik_object_machine(o));
    return 0;
}

/* ---- properties ----------------------------------------------------------------------------- */

static void get_hotpluggable(lunik_object *o, lunik_value *out)
{
    const struct cpu *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = s->cpu.index > 0};
}

/* A part of the place; -1: not given. */
#define PLACE_PROP(prop, field, text)                                                              \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_INT, .doc = (text),                                     \
        .offset = offsetof(struct cpu, cpu.field), .def = (uint64_t)-1, .min = (uint64_t)-1,       \
        .max = INT32_MAX                                                                           \
    }

static const lunik_prop props[] = {
    PLACE_PROP("socket-id", socket, "Socket. None of the ids given: the first CPU not plugged."),
    PLACE_PROP("die-id", die, "Die in the socket; needed where that has several."),
    PLACE_PROP("core-id", core, "Core in the die."),
    PLACE_PROP("thread-id", thread, "Thread of the core."),
    PLACE_PROP("node-id", node, "Guest NUMA node: the one that the machine's numa says."),
    {
        .name = "index",
        .kind = LUNIK_PROP_UINT,
        .doc = "Number of the CPU in the machine, which is its APIC id.",
        .offset = offsetof(struct cpu, cpu.index),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "hotplugged",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Added after the machine was started.",
        .offset = offsetof(struct cpu, cpu.hotplugged),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "hotpluggable",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Can be removed from a running machine: all but the first.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_hotpluggable,
    },
    {0},
};

static lunik_cpu_device *get_cpu(lunik_object *o)
{
    struct cpu *s = lunik_state(o);

    return &s->cpu;
}

static const lunik_cpu_device_ops cpu_ops = {.get = get_cpu};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(cpu_device, &cpu_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct cpu, cpu.index, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct cpu, cpu.hotplugged),
    {0},
};

static const lunik_state_table state_table = {
    .name = "cpu",
    .version = 1,
    .size = sizeof(struct cpu),
    .fields = state_fields,
};

const lunik_type cpu_type = {
    .name = "cpu",
    .doc = "A CPU.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct cpu),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .hotplug = "cpu",
    .hotplug_wants = "maxcpus greater than cpus",
    .state = &state_table,
};

/* ---- QEMU's names --------------------------------------------------------------------------- */

#define ALIAS(symbol, alias)                                                                       \
    const lunik_type symbol = {                                                                    \
        .name = (alias),                                                                           \
        .parent = "cpu",                                                                           \
        .doc = "A CPU, by a name of QEMU's.",                                                      \
        .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,                       \
        .size = sizeof(struct cpu),                                                                \
        .state = &lunik_state_none,                                                                \
    }

ALIAS(cpu_qemu64_type, "qemu64-x86_64-cpu");
ALIAS(cpu_host_type, "host-x86_64-cpu");
