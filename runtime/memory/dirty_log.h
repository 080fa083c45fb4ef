/* dirty_log.h: declarations that the files of dirty logging share. */
#ifndef RUNTIME_MEMORY_DIRTY_LOG_H
#define RUNTIME_MEMORY_DIRTY_LOG_H

#include "memory.h"

/* ---- dirty_blocks.c ------------------------------------------------------------------------- */

struct log_block {
    lunik_ram *ram;   /* a reference */
    unsigned visible; /* sections of it */
};

struct log_tracker {
    lunik_listener listener;
    unsigned users; /* counts that are not 0 */
    struct log_block *blocks;
    size_t count, capacity;
    bool lost; /* no memory to remember a block */
};

/* Adds a user of the list of blocks, which is made for the first and freed with the last. */
int log_blocks_use(struct memory_core *core, lunik_error *err);
void log_blocks_unuse(struct memory_core *core);
void log_blocks_free(struct memory_core *core);
/* Drops the blocks that have left the map, except those with dirty pages. */
void log_blocks_trim(struct memory_core *core);

/* ---- dirty_log.c ---------------------------------------------------------------------------- */

/* A call of listeners about the sections in a scope. */
struct inquiry {
    struct memory_core *core;
    const lunik_dirty_scope *scope; /* NULL: all */
    unsigned client;
    bool on;
    struct span bytes; /* of scope->ram */
    size_t listener;   /* index, if only one listener is called */
};

typedef void log_section_fn(const struct inquiry *q, lunik_section *s);

/* Calls fn for every section in the scope. */
void log_each_section(const struct inquiry *q, log_section_fn *fn);

#endif
