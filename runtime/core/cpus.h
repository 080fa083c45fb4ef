/* cpus.h: which of its possible CPUs a machine has, with vCPUs or without. */
#ifndef CORE_CPUS_H
#define CORE_CPUS_H

#include "lunik_device.h"

enum { CPUS_MOST = 256 }; /* bits; a machine can have one less */

/* Plugs those that the machine starts with. */
void cpus_init(lunik_machine *m);
/* Notes that a CPU is plugged, or is not. Machine lock held. */
void cpus_set(lunik_machine *m, unsigned index, bool present);

#endif
