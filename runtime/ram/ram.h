/* ram.h: struct lunik_ram, for the memory core. */
#ifndef RAM_RAM_H
#define RAM_RAM_H

#include <stdatomic.h>

#include "lunik_device.h"
#include "core/rcu.h"

/* Who logs the writes to a region, a block or a whole machine. */
struct log_users {
    _Atomic unsigned mask; /* LUNIK_DIRTY_*: those with a count */
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
    bool borrowed;              /* the mapping is somebody else's */
    struct sigbus_guard *guard; /* of a file's mapping; NULL: none */
    _Atomic bool damage_told;
    struct log_users log;
    unsigned region_logs[LUNIK_DIRTY_CLIENTS]; /* regions of it that are logged as such */
    _Atomic uint64_t *_Atomic dirty; /* a bitmap for each client; NULL until somebody logs it */
    _Atomic uint64_t dirty_count[LUNIK_DIRTY_CLIENTS]; /* of the bits that are set in each */
};

/* Part of its content is lost: zeros are in the place of pages that can't be had. */
bool ram_damaged(const lunik_ram *ram);

/* What the host lacks may be under way back to it: waits for that, a second at most, with the lock
 * of rt (may be NULL) released unless a transaction is open. True if it is worth trying again. */
bool ram_wait_reclaimed(lunik_runtime *rt);

/* ram_fit.c: fails if the host can't have room for all of its pages. */
int ram_check_fit(const lunik_ram *ram, lunik_error *err);

/* dirty.c: the bitmaps. mask: LUNIK_DIRTY_*. Ranges include the pages that they touch. */
/* To be called before anybody logs the block; makes them once. */
int ram_dirty_init(lunik_ram *ram, lunik_error *err);
void ram_dirty_fini(lunik_ram *ram);
void ram_dirty_mark(lunik_ram *ram, uint64_t offset, uint64_t size, unsigned mask);
/* The same for the pages from offset on whose bits are set. */
void ram_dirty_merge(lunik_ram *ram, uint64_t offset, const uint64_t *bits, uint64_t pages,
                     unsigned mask);
/* Returns how many of client's bits were set in the range, and clears them; bits as in
 * lunik_dirty_test_and_clear(). */
uint64_t ram_dirty_clear(lunik_ram *ram, unsigned client, uint64_t offset, uint64_t size,
                         uint64_t *bits);

#endif
