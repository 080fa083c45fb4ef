/* bulk.h: reads large parts of guest memory, for hashes, strings and searches. */
#ifndef RUNTIME_MEMORY_BULK_H
#define RUNTIME_MEMORY_BULK_H

#include "memory.h"

struct reader {
    /* Takes the next bytes; returns false to end the walk. */
    bool (*take)(struct reader *r, uint64_t address, const uint8_t *data, uint64_t size);
    /* Called for each part that is not RAM, which is then not read; NULL: such parts are read. */
    void (*skip)(struct reader *r);
    unsigned most; /* bytes read at once where there is no RAM, 0: as many as the buffer holds */
};

/* Hands memory to r: RAM in place, section by section, the rest through a buffer. */
int bulk_read(struct reader *r, lunik_space *s, uint64_t address, uint64_t size);

#endif
