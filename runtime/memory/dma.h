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
    lunik_space *_Atomic space; /* NULL after the end of the space */
    lunik_runtime *rt;
    LIST_ENTRY(lunik_dma) link; /* in the space's list */
    _Atomic uint64_t gate;      /* GATE_* */
    pthread_mutex_t mutex;      /* nothing is posted once GATE_FREED is set */
    lunik_task task;
    lunik_dma_idle *idle; /* callbacks of lunik_dma_disable() that wait; machine lock */
    _Atomic uint64_t bounce_bytes;
    struct dma_cache cache;
    struct rcu_head rcu;
};

/* dma_gate.c: makes the caller a user of the gate, which keeps the struct until dma_leave(). Fails
 * with LUNIK_E_STATE if the gate is closed, and with LUNIK_E_GONE if the space is gone as well;
 * after that d may be freed. */
int dma_enter(lunik_dma *d);
void dma_leave(lunik_dma *d);

/* The range of a space in which an access begins. */
struct dma_target {
    struct flat_range range; /* region NULL: nothing is there */
    uint64_t offset;         /* in the region */
    uint64_t size;           /* to the end of the range, at most the requested size */
};
/* Call it in a read section. Returns false if the space is gone. */
bool dma_find(lunik_dma *d, uint64_t address, uint64_t size, struct dma_target *t);

struct dma_piece {
    uint64_t address, size;
    uint8_t *data;
    bool write;
};
/* Makes the access through the address space, under the machine lock. */
int dma_access_locked(lunik_dma *d, const struct dma_piece *p);

/* dma_map.c: marks what was written to a block as dirty. By block and offset, as the region may be
 * gone. */
void dma_ram_written(lunik_dma *d, lunik_ram *ram, uint64_t offset, uint64_t size);
/* dma_map.c: waits until a commit in progress has published its view. */
void dma_wait_for_commit(const lunik_dma *d);

/* True if a part of the block is lost and that has not been reported yet. */
bool dma_damage_is_news(lunik_ram *ram);
/* Reports the loss and drops the caller's reference to ram. Not in a read section: takes the
 * machine lock. */
void dma_report_damage(lunik_dma *d, lunik_ram *ram);

#endif
