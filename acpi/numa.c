/*
 * numa.c: the NUMA nodes of processors and memory, in the system resource affinity table (SRAT;
 * ACPI 5.0, section 5.2.16), and the distances between nodes (SLIT, 5.2.17).
 */
#include "acpi.h"

#define SRAT_REVISION 3
#define SLIT_REVISION 1

#define ENTRY_LAPIC  0
#define ENTRY_MEMORY 1

#define ENABLED       1
#define HOT_PLUGGABLE 2

#define DISTANCE_SELF  10
#define DISTANCE_OTHER 20

static void put_cpu(struct acpi_buffer *b, unsigned index, unsigned node)
{
    acpi_put(b, ENTRY_LAPIC, 1);
    acpi_put(b, 16, 1);
    acpi_put(b, node, 1); /* bits 7:0 */
    acpi_put(b, index, 1);
    acpi_put(b, ENABLED, 4);
    acpi_put(b, 0, 1);
    acpi_put(b, node >> 8, 3);
    acpi_put(b, 0, 4);
}

static void put_memory(struct acpi_buffer *b, const lunik_fwmap_entry *entry)
{
    acpi_put(b, ENTRY_MEMORY, 1);
    acpi_put(b, 40, 1);
    acpi_put(b, entry->node, 4);
    acpi_put(b, 0, 2);
    acpi_put(b, entry->base, 8);
    acpi_put(b, entry->size, 8);
    acpi_put(b, 0, 4);
    acpi_put(b, entry->type == LUNIK_FWMAP_HOTPLUG ? ENABLED | HOT_PLUGGABLE : ENABLED, 4);
    acpi_put(b, 0, 8);
}

/* The table is needed for nodes, or for a window for memory devices, which no other table shows. */
bool acpi_wants_srat(const struct acpi_facts *facts)
{
    if (lunik_machine_config_get(facts->machine)->node_count)
        return true;
    size_t count;
    const lunik_fwmap_entry *map = lunik_fwmap(facts->machine, &count);
    for (size_t i = 0; i < count; i++)
        if (map[i].type == LUNIK_FWMAP_HOTPLUG)
            return true;
    return false;
}

void acpi_build_srat(struct acpi_buffer *b, const struct acpi_facts *facts)
{
    size_t start = acpi_table_begin(b, "SRAT", SRAT_REVISION);

    acpi_put(b, 1, 4); /* reserved, must be 1 */
    acpi_put(b, 0, 8);
    for (unsigned i = 0; i < facts->cpus; i++)
        put_cpu(b, i, lunik_cpu_node(facts->machine, i)); /* plugged or not */

    size_t count;
    const lunik_fwmap_entry *map = lunik_fwmap(facts->machine, &count);
    for (size_t i = 0; i < count; i++)
        if (map[i].type == LUNIK_FWMAP_RAM || map[i].type == LUNIK_FWMAP_HOTPLUG)
            put_memory(b, &map[i]);
    acpi_table_end(b, start);
}

/* The table is needed for distances that are not the defaults, which guests assume without it. */
bool acpi_wants_slit(const struct acpi_facts *facts)
{
    const lunik_machine_config *config = lunik_machine_config_get(facts->machine);
    for (size_t node = 0; node < config->node_count; node++)
        if (config->nodes[node].distances)
            return true;
    return false;
}

/* Returns the distance that the first node gives, else the second one's to it, else the default. */
static uint8_t distance(const lunik_machine_config *config, size_t from, size_t to)
{
    if (config->nodes[from].distances)
        return config->nodes[from].distances[to];
    if (config->nodes[to].distances)
        return config->nodes[to].distances[from];
    return from == to ? DISTANCE_SELF : DISTANCE_OTHER;
}

void acpi_build_slit(struct acpi_buffer *b, const struct acpi_facts *facts)
{
    const lunik_machine_config *config = lunik_machine_config_get(facts->machine);
    size_t start = acpi_table_begin(b, "SLIT", SLIT_REVISION);

    acpi_put(b, config->node_count, 8);
    for (size_t from = 0; from < config->node_count; from++)
        for (size_t to = 0; to < config->node_count; to++)
            acpi_put(b, distance(config, from, to), 1);
    acpi_table_end(b, start);
}
