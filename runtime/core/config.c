/* config.c: checking and copying a machine's configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum { MAX_CPUS = 255, MAX_NODES = 128, DISTANCE_SELF = 10, DISTANCE_UNREACHABLE = 255 };
enum { DRAIN_TIMEOUT_MS = 10000 };

/* Nodes of a package would share its last-level cache, so every node gets a package, if the vCPUs
 * can be divided like that. */
static unsigned default_sockets(const lunik_machine_config *c)
{
    unsigned nodes = c->node_count > 1 ? (unsigned)c->node_count : 1;
    unsigned each = c->maxcpus / nodes / c->threads / c->dies;

    return nodes * each * c->threads * c->dies == c->maxcpus && !(each & (each - 1)) ? nodes : 1;
}

static int check_counts(lunik_machine_config *c, const char *name, lunik_error *err)
{
    if (c->cpus < 1 || c->cpus > MAX_CPUS)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "machine '%s': cpus: %u is out of range (want 1..%d)", name, c->cpus,
                          MAX_CPUS);
    if (!c->maxcpus)
        c->maxcpus = c->cpus;
    if (c->maxcpus < c->cpus || c->maxcpus > MAX_CPUS)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "machine '%s': maxcpus: %u is out of range (want %u..%d)", name,
                          c->maxcpus, c->cpus, MAX_CPUS);
    return 0;
}

static bool is_power_of_two(unsigned n)
{
    return !(n & (n - 1));
}

/* APIC ids are the vCPU indexes, so every level but the highest that there is must fill its bits of
 * the id. */
static int check_levels(const lunik_machine_config *c, const char *name, lunik_error *err)
{
    if (is_power_of_two(c->threads) &&
        (is_power_of_two(c->cores) || (c->sockets == 1 && c->dies == 1)) &&
        (is_power_of_two(c->dies) || c->sockets == 1))
        return 0;
    if (c->dies > 1)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "machine '%s': dies %u, cores %u, threads %u: want powers of two (any "
                          "number of dies in a single socket)",
                          name, c->dies, c->cores, c->threads);
    return lunik_fail(err, LUNIK_E_INVALID,
                      "machine '%s': cores %u, threads %u: want powers of two (any number of "
                      "cores in a single socket)",
                      name, c->cores, c->threads);
}

static int fail_product(const lunik_machine_config *c, const char *name, lunik_error *err)
{
    char dies[32] = "";

    if (c->dies > 1)
        snprintf(dies, sizeof(dies), " x dies %u", c->dies);
    return lunik_fail(err, LUNIK_E_INVALID,
                      "machine '%s': sockets %u%s x cores %u x threads %u is not %s %u", name,
                      c->sockets, dies, c->cores, c->threads,
                      c->maxcpus > c->cpus ? "maxcpus" : "cpus", c->maxcpus);
}

static int check_topology(lunik_machine_config *c, const char *name, lunik_error *err)
{
    int rc = check_counts(c, name, err);
    uint64_t inner;

    if (rc)
        return rc;
    c->threads = c->threads ? c->threads : 1;
    c->dies = c->dies ? c->dies : 1;
    inner = (uint64_t)c->dies * c->threads;
    if (!c->sockets && !c->cores)
        c->sockets = default_sockets(c);
    if (!c->cores)
        c->cores = (unsigned)(c->maxcpus / c->sockets / inner);
    if (!c->sockets)
        c->sockets = (unsigned)(c->maxcpus / c->cores / inner);
    /* None is zero, so what is more than maxcpus is so before it overflows. */
    if (c->threads > MAX_CPUS || c->dies > MAX_CPUS || c->cores > MAX_CPUS ||
        c->sockets * inner * c->cores != c->maxcpus)
        return fail_product(c, name, err);
    return check_levels(c, name, err);
}

static int check_node(const lunik_machine_config *c, size_t i, bool *seen, const char *name,
                      lunik_error *err)
{
    const lunik_numa_node *n = &c->nodes[i];

    for (size_t k = 0; k < n->cpu_count; k++) {
        if (n->cpus[k] >= c->maxcpus)
            return lunik_fail(err, LUNIK_E_INVALID,
                              "machine '%s': numa node %zu: cpu %u does not exist (want 0..%u)",
                              name, i, n->cpus[k], c->maxcpus - 1);
        if (seen[n->cpus[k]])
            return lunik_fail(err, LUNIK_E_INVALID,
                              "machine '%s': numa node %zu: cpu %u is in another node already",
                              name, i, n->cpus[k]);
        seen[n->cpus[k]] = true;
    }
    for (size_t k = 0; n->distances && k < c->node_count; k++) {
        uint8_t d = n->distances[k];

        if (d < DISTANCE_SELF || (k == i) != (d == DISTANCE_SELF))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "machine '%s': numa node %zu: distance %u to node %zu (want %d to "
                              "itself, %d..%d to others)",
                              name, i, d, k, DISTANCE_SELF, DISTANCE_SELF + 1,
                              DISTANCE_UNREACHABLE);
    }
    return 0;
}

static int check_nodes(const lunik_machine_config *c, const char *name, lunik_error *err)
{
    bool seen[MAX_CPUS] = {false};
    int rc = 0;

    for (size_t i = 0; i < c->node_count && !rc; i++)
        rc = check_node(c, i, seen, name, err);
    return rc;
}

static bool copy_features(lunik_machine_config *c, const char *const *features)
{
    size_t count = 0;
    char **copy;

    if (!features)
        return true;
    while (features[count])
        count++;
    copy = calloc(count + 1, sizeof(*copy));
    c->cpu_features = (const char *const *)copy;
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(features[i]);
        if (!copy[i])
            return false;
    }
    return copy;
}

static void *copy_items(const void *from, size_t count, size_t size)
{
    void *copy = calloc(count ? count : 1, size);

    if (copy && count)
        memcpy(copy, from, count * size);
    return copy;
}

static bool copy_nodes(lunik_machine_config *c, const lunik_machine_config *from)
{
    lunik_numa_node *nodes;

    if (!from->node_count)
        return true;
    nodes = calloc(from->node_count, sizeof(*nodes));
    if (!nodes)
        return false;
    c->nodes = nodes;
    for (size_t i = 0; i < from->node_count; i++) {
        const lunik_numa_node *n = &from->nodes[i];

        c->node_count++;
        nodes[i].cpu_count = n->cpu_count;
        nodes[i].cpus = copy_items(n->cpus, n->cpu_count, sizeof(*n->cpus));
        nodes[i].distances = n->distances ? copy_items(n->distances, from->node_count, 1) : NULL;
        if (!nodes[i].cpus || (n->distances && !nodes[i].distances))
            return false;
    }
    return true;
}

/* Checks what must hold before the nodes can be copied. */
static int check_arrays(const lunik_machine_config *c, const char *name, lunik_error *err)
{
    if (c->node_count > MAX_NODES)
        return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': %zu numa nodes (want at most %d)",
                          name, c->node_count, MAX_NODES);
    if (c->node_count && !c->nodes)
        return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': nodes is NULL", name);
    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].cpu_count && !c->nodes[i].cpus)
            return lunik_fail(err, LUNIK_E_INVALID, "machine '%s': numa node %zu: cpus is NULL",
                              name, i);
    return 0;
}

int config_copy(lunik_machine_config *to, const lunik_machine_config *from, lunik_error *err)
{
    const char *name = from->name ? from->name : "machine";
    int rc = check_arrays(from, name, err);

    if (rc)
        return rc;
    *to = *from;
    /* Until they are copied, these belong to the caller: config_free() must not see them. */
    to->cpu_features = NULL;
    to->nodes = NULL;
    to->node_count = 0;
    to->drain_timeout = from->drain_timeout ? from->drain_timeout : DRAIN_TIMEOUT_MS;
    to->name = strdup(name);
    if (!to->name || !copy_features(to, from->cpu_features) || !copy_nodes(to, from)) {
        config_free(to);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", name);
    }
    rc = name_check("machine", name, err);
    if (!rc)
        rc = check_topology(to, name, err);
    if (!rc)
        rc = check_nodes(to, name, err);
    if (rc)
        config_free(to);
    return rc;
}

void config_free(lunik_machine_config *c)
{
    for (size_t i = 0; c->cpu_features && c->cpu_features[i]; i++)
        free((void *)c->cpu_features[i]);
    for (size_t i = 0; i < c->node_count; i++) {
        free((void *)c->nodes[i].cpus);
        free((void *)c->nodes[i].distances);
    }
    free((void *)c->cpu_features);
    free((void *)c->nodes);
    free((void *)c->name);
}
