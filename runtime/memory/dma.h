/* dma.h: struct lunik_dma, for the files that make it up. */
#ifndef MEMORY_DMA_H
#define MEMORY_DMA_H

#include <pthread.h>

#include "memory.h"

enum { DMA_LOCKED_MAX = 4096 }; /* bytes in one access under the machine lock */

/* A range, valid in the view with this serial. seq is odd while it is being replaced. */
struct dma_cache {
    _Atomic uint64_t seq, serial, first, last, offset;
    lunik_region *_Atomic region;
    _Atomic unsigned flags;
};

struct lunik_dma {
    lunik_space *_Atomic space; /* NULL once it is gone */
    lunik_runtime *rt;
    LIST_ENTRY(lunik_dma) link; /* in the space's list */
    _Atomic uint64_t gate;      /* GATE_* */
    pthread_mutex_t mutex;      /* nothing is posted once GATE_FREED is set */
    lunik_task task;
    lunik_dma_idle *idle; /* those that wait; machine lock */
    _Atomic uint64_t bounce_bytes;
    struct dma_cache cache;
    struct rcu_head rcu;
};

/* dma_gate.c: a user keeps the struct. Returns 0, LUNIK_E_STATE or, if the gate is closed and the
 * space gone, LUNIK_E_GONE; then the struct may be gone, too. */
int dma_enter(lunik_dma *d);
void dma_leave(lunik_dma *d);

/* The part of a space that an access begins with. */
struct dma_target {
    struct flat_range range; /* region NULL: nothing is there */
    uint64_t offset;         /* in the region */
    uint64_t size;           /* what is left of the range, at most what was asked for */
};
/* In a read section. False if the space is gone. */
bool dma_find(lunik_dma *d, uint64_t address, uint64_t size, struct dma_target *t);

struct dma_piece {
    uint64_t address, size;
    uint8_t *data;
    bool write;
};
/* An access through the address space, under the machine lock. */
int dma_access_locked(lunik_dma *d, const struct dma_piece *p);

/* True if a part of the block is lost and that has not been reported yet. */
bool dma_damage_is_news(lunik_ram *ram);
/* Reports it. A reference to ram is handed over. Not in a read section. */
void dma_report_damage(lunik_dma *d, lunik_ram *ram);

#endif
