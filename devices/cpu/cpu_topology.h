/* cpu_topology.h: places in a machine's topology, and the CPUs that have them. */
#ifndef CPU_CPU_TOPOLOGY_H
#define CPU_CPU_TOPOLOGY_H

#include "lunik_device.h"

/* Whether nothing of the place is given. */
bool cpu_place_is_open(const lunik_cpu_device *cpu);
/* Fills in the place of a CPU, and its index. */
void cpu_place_of(const lunik_machine_config *config, unsigned index, lunik_cpu_device *cpu);
/* Checks what is given of a place, completes it where there is no choice, and sets the index. */
int cpu_place_check(const lunik_machine_config *config, lunik_cpu_device *cpu, lunik_error *err);
/* Checks the NUMA node, if it is given, or fills it in. */
int cpu_place_check_node(const lunik_machine *m, lunik_cpu_device *cpu, lunik_error *err);

#endif
