/* memory_backend.h: the part that all memory backends share. */
#ifndef MEMORY_MEMORY_BACKEND_H
#define MEMORY_MEMORY_BACKEND_H

#include "lunik_device.h"

enum memory_policy { POLICY_DEFAULT, POLICY_PREFERRED, POLICY_BIND, POLICY_INTERLEAVE };

/* The state of every backend starts with this. */
struct memory_backend {
    uint64_t size;
    bool share, prealloc, merge, dump, reserve;
    uint64_t prealloc_threads;
    lunik_uint_list host_nodes;
    int policy; /* enum memory_policy */
    lunik_ram *ram;
};

/* Maps the memory as config says (its page_size, align, fd, fd_offset and readonly; the rest comes
 * from the properties), binds it to host nodes and preallocates it. The caller keeps config->fd. */
int memory_backend_map(lunik_object *o, lunik_ram_config *config, lunik_error *err);
void memory_backend_unmap(lunik_object *o);

/* Gets the size of the pages that a file is mapped with: more than the host's on hugetlbfs. */
int memory_backend_page_size(lunik_object *o, int fd, uint64_t *out, lunik_error *err);

#endif
