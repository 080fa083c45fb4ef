/* bulk.h: reading large parts of guest memory, for the files that look for something in it. */
#ifndef RUNTIME_MEMORY_BULK_H
#define RUNTIME_MEMORY_BULK_H

#include "memory.h"

struct reader {
    /* Takes the next bytes; false ends the walk. */
    bool (*take)(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size);
    /* What is not RAM is left out; NULL: it is read. */
    void (*skip)(struct reader *r);
    unsigned most; /* bytes of what is not RAM at once, 0: as many as is good */
};

/* Hands RAM to r where it is, section by section, the rest through a buffer. */
int bulk_read(struct reader *r, lunik_space *s, uint64_t address, uint64_t size);

#endif
