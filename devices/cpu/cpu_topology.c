/* cpu_topology.c: sockets of dies of cores of threads. A CPU's index counts the threads through. */
#include <inttypes.h>

#include "cpu_topology.h"

bool cpu_place_is_open(const lunik_cpu_device *cpu)
{
    return cpu->socket < 0 && cpu->die < 0 && cpu->core < 0 && cpu->thread < 0;
}

void cpu_place_of(const lunik_machine_config *config, unsigned index, lunik_cpu_device *cpu)
{
    cpu->index = index;
    cpu->thread = index % config->threads;
    index /= config->threads;
    cpu->core = index % config->cores;
    index /= config->cores;
    cpu->die = index % config->dies;
    cpu->socket = index / config->dies;
}

/* Checks one of `count` ids; one that is not given is 0, where there is no other. */
static int check_id(const char *name, int64_t *id, unsigned count, lunik_error *err)
{
    if (*id < 0 && count == 1)
        *id = 0;
    if (*id < 0)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu: CPU %s is not set (want 0 to %u)", name,
                          count - 1);
    if (*id >= count)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu: Invalid CPU %s: %" PRId64 " must be in range 0:%u", name, *id,
                          count - 1);
    return 0;
}

int cpu_place_check(const lunik_machine_config *config, lunik_cpu_device *cpu, lunik_error *err)
{
    int rc = check_id("socket-id", &cpu->socket, config->sockets, err);

    if (!rc)
        rc = check_id("die-id", &cpu->die, config->dies, err);
    if (!rc)
        rc = check_id("core-id", &cpu->core, config->cores, err);
    if (!rc)
        rc = check_id("thread-id", &cpu->thread, config->threads, err);
    if (rc)
        return rc;
    cpu->index = (uint64_t)cpu->socket * config->dies + (uint64_t)cpu->die;
    cpu->index = cpu->index * config->cores + (uint64_t)cpu->core;
    cpu->index = cpu->index * config->threads + (uint64_t)cpu->thread;
    return 0;
}

int cpu_place_check_node(const lunik_machine *m, lunik_cpu_device *cpu, lunik_error *err)
{
    unsigned node = lunik_cpu_node(m, (unsigned)cpu->index);

    if (cpu->node >= 0 && cpu->node != node)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu: node-id=%" PRId64 " must match the numa node of CPU %" PRIu64
                          " in the machine's numa, %u",
                          cpu->node, cpu->index, node);
    cpu->node = node;
    return 0;
}
