/* ram.h: struct lunik_ram and functions of RAM blocks, for the memory core. */
#ifndef RAM_RAM_H
#define RAM_RAM_H

#include <stdatomic.h>

#include "lunik_device.h"
#include "core/rcu.h"

/* The clients that log writes to a region, a block or a machine. */
struct log_users {
    _Atomic unsigned mask; /* LUNIK_DIRTY_*: the clients whose count is not 0 */
    unsigned counts[LUNIK_DIRTY_CLIENTS];
};

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
    bool borrowed;                    /* the mapping belongs to the creator of the block */
    struct sigbus_guard *guard;       /* of a file's mapping; NULL: none */
    _Atomic unsigned pins;            /* those who need its pages to stay */
    lunik_populate_manager *populate; /* NULL: all of it is populated; machine lock, with these: */
    LIST_HEAD(, lunik_populate_listener) populate_listeners;
    _Atomic bool damage_told;
    struct log_users log;
    struct log_users region_log;     /* counts regions of it that are logged by themselves */
    _Atomic uint64_t *_Atomic dirty; /* a bitmap for each client; NULL until a client logs it */
    _Atomic uint64_t dirty_count[LUNIK_DIRTY_CLIENTS]; /* of the bits that are set in each */
};

/* Takes a reference, unless the last one has been dropped already: for a block that was found in a
 * published view. In an RCU read section. */
bool ram_try_ref(lunik_ram *ram);

/* The clients that log the block, or a region of it. */
static inline unsigned ram_log_mask(const lunik_ram *ram)
{
    return atomic_load_explicit(&ram->log.mask, memory_order_acquire) |
           atomic_load_explicit(&ram->region_log.mask, memory_order_acquire);
}

/* Whether part of its content is lost: pages that the host could not provide read as zeros. */
bool ram_damaged(const lunik_ram *ram);

/* Waits, RCU_SHORTAGE_MS at most, for memory and descriptors that are being reclaimed. Releases the
 * lock of rt (may be NULL) meanwhile, unless a transaction is open. Returns true if some have been
 * reclaimed since rcu_reclaimed() returned `since`, so that a failed call is worth repeating. */
bool ram_wait_reclaimed(lunik_runtime *rt, uint64_t since);

/* ram_fit.c: fails if the host has no room for all of the block's pages. */
int ram_check_fit(const lunik_ram *ram, lunik_error *err);

/* dirty.c: the bitmaps. mask: LUNIK_DIRTY_*. Ranges include the pages that they touch. */
/* Makes the bitmaps, unless they exist; to be called before a client logs the block. */
int ram_dirty_init(lunik_ram *ram, lunik_error *err);
void ram_dirty_fini(lunik_ram *ram);
void ram_dirty_mark(lunik_ram *ram, uint64_t offset, uint64_t size, unsigned mask);
/* The same for those of the pages from offset on whose bit is set in `bits`. */
void ram_dirty_merge(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                     unsigned mask);
/* Clears the client's bits in the range; returns how many were set. bits: as in
 * lunik_dirty_test_and_clear(). */
uint64_t ram_dirty_clear(lunik_ram *ram, unsigned client, uint64_t offset, uint64_t size,
                         uint64_t *bits);

#endif
