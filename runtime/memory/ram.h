/* ram.h: struct lunik_ram, for the memory core. */
#ifndef RUNTIME_MEMORY_RAM_H
#define RUNTIME_MEMORY_RAM_H

#include <stdatomic.h>

#include "lunik_device.h"
#include "rcu.h"

struct lunik_ram {
    struct rcu_head rcu;
    _Atomic unsigned refs;
    char *name;
    char *host;
    uint64_t size;
    uint64_t page_size;
    uint64_t align;
    int fd; /* our duplicate, or -1 */
    uint64_t fd_offset;
    bool share, readonly;
    bool borrowed; /* the mapping is somebody else's */
};

#endif
