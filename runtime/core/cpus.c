/* cpus.c: which of its possible CPUs a machine has. */
#include "machine.h"
#include "misuse.h"

void cpus_init(lunik_machine *m)
{
    for (unsigned i = 0; i < m->config.cpus; i++)
        cpus_set(m, i, true);
}

void cpus_set(lunik_machine *m, unsigned index, bool present)
{
    uint64_t bit = UINT64_C(1) << index % 64;

    if (present)
        atomic_fetch_or(&m->cpus[index / 64], bit);
    else
        atomic_fetch_and(&m->cpus[index / 64], ~bit);
}

bool lunik_cpu_present(const lunik_machine *m, unsigned index)
{
    NOT_NULL(m, false);

    return index < CPUS_MOST && atomic_load(&m->cpus[index / 64]) >> index % 64 & 1;
}

unsigned lunik_cpu_count(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    unsigned count = 0;

    for (unsigned i = 0; i < CPUS_MOST / 64; i++)
        count += (unsigned)__builtin_popcountll(atomic_load(&m->cpus[i]));
    return count;
}

unsigned lunik_cpu_node(const lunik_machine *m, unsigned index)
{
    NOT_NULL(m, 0);

    const lunik_machine_config *config = &m->config;

    for (size_t node = 0; node < config->node_count; node++)
        for (size_t i = 0; i < config->nodes[node].cpu_count; i++)
            if (config->nodes[node].cpus[i] == index)
                return (unsigned)node;
    return 0;
}
