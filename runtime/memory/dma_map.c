/*
 * dma_map.c: host pointers for devices' threads.
 *
 * A mapping is a user of the gate. It holds a reference to a RAM block, or has a bounce buffer for
 * memory that is not RAM. Neither keeps a region.
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "dma.h"

enum { BOUNCE_TOTAL_MAX = 1 << 20 };

static bool bounce_reserve(lunik_dma *d, uint64_t size)
{
    if (atomic_fetch_add(&d->bounce_bytes, size) + size <= BOUNCE_TOTAL_MAX)
        return true;
    atomic_fetch_sub(&d->bounce_bytes, size);
    return false;
}

static void bounce_free(lunik_dma_mapping *map)
{
    free(map->host);
    atomic_fetch_sub(&map->dma->bounce_bytes, map->size);
}

static int map_bounce(lunik_dma_mapping *map)
{
    struct dma_piece p = {.address = map->address};
    int rc = 0;

    map->size = map->size < DMA_LOCKED_MAX ? map->size : DMA_LOCKED_MAX;
    if (!bounce_reserve(map->dma, map->size))
        return LUNIK_E_NO_MEMORY;
    map->host = calloc(1, map->size);
    if (!map->host)
        rc = LUNIK_E_NO_MEMORY;
    p.data = map->host;
    p.size = map->size;
    if (!rc && !map->write)
        rc = dma_access_locked(map->dma, &p);
    if (rc)
        bounce_free(map);
    return rc;
}

/* The kind of memory at an address. Stale: the region has given up its block after it was found,
 * and a commit is about to replace it in the view. */
enum found { FOUND_RAM, FOUND_DEVICE, FOUND_NOTHING, FOUND_NO_SPACE, FOUND_STALE };

/* Maps RAM, or returns the kind of memory that is there instead. */
static enum found look(lunik_dma_mapping *map, uint64_t size)
{
    enum found found = FOUND_DEVICE;
    struct dma_target t;

    rcu_online();
    if (!dma_find(map->dma, map->address, size, &t)) {
        found = FOUND_NO_SPACE;
    } else if (!t.range.region || (map->write && t.range.flags & RANGE_READONLY)) {
        found = FOUND_NOTHING;
    } else if (range_is_ram(&t.range, map->write)) {
        map->ram = t.range.region->ram;
        map->host = t.range.region->host + t.offset;
        found = ram_try_ref(map->ram) ? FOUND_RAM : FOUND_STALE;
    }
    rcu_offline();
    if (found != FOUND_NO_SPACE)
        map->size = t.size;
    return found;
}

void dma_wait_for_commit(const lunik_dma *d)
{
    if (lunik_locked(d->rt))
        return;
    lunik_lock(d->rt);
    lunik_unlock(d->rt);
}

static int map_piece(lunik_dma_mapping *map)
{
    const uint64_t size = map->size;
    enum found found = look(map, size);

    if (found == FOUND_STALE) {
        dma_wait_for_commit(map->dma);
        found = look(map, size);
    }
    switch (found) {
    case FOUND_RAM:
        return 0;
    case FOUND_NO_SPACE:
        return LUNIK_E_GONE;
    case FOUND_DEVICE:
        map->ram = NULL;
        return map_bounce(map);
    default:
        return LUNIK_E_ACCESS;
    }
}

int lunik_dma_map(lunik_dma *d, uint64_t address, uint64_t size, bool write, lunik_dma_mapping *out)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    NOT_NULL(out, LUNIK_E_INVALID);

    int rc;

    *out = (lunik_dma_mapping){0};
    if (!size)
        return LUNIK_E_INVALID;
    *out = (lunik_dma_mapping){.dma = d, .address = address, .size = size, .write = write};
    rc = dma_enter(d);
    if (!rc) {
        rc = map_piece(out);
        if (rc)
            dma_leave(d);
    }
    if (rc)
        *out = (lunik_dma_mapping){0};
    return rc;
}

/* For the fence see region_written(). Without the space the machine's log mask is unknown, so it
 * marks for all clients: extra marks are harmless. */
void dma_ram_written(lunik_dma *d, lunik_ram *ram, uint64_t offset, uint64_t size)
{
    lunik_space *s;
    unsigned mask;

#ifndef RUNTIME_TSAN /* ThreadSanitizer does not support fences */
    atomic_thread_fence(memory_order_seq_cst);
#endif
    rcu_online();
    s = atomic_load_explicit(&d->space, memory_order_acquire);
    mask = s ? ram_log_mask(ram) | atomic_load_explicit(&s->core->log.mask, memory_order_acquire)
             : (1u << LUNIK_DIRTY_CLIENTS) - 1;
    rcu_offline();
    if (mask && atomic_load_explicit(&ram->dirty, memory_order_acquire))
        ram_dirty_mark(ram, offset, size, mask);
}

int lunik_dma_unmap(lunik_dma_mapping *map, uint64_t accessed)
{
    NOT_NULL(map, LUNIK_E_INVALID);
    REQUIRE(map->host, "nothing is mapped", LUNIK_E_INVALID);

    lunik_dma *d = map->dma;
    struct dma_piece p = {.address = map->address,
                          .data = map->host,
                          .size = accessed < map->size ? accessed : map->size,
                          .write = true};
    int rc = 0;

    if (map->ram) {
        if (map->write && p.size)
            dma_ram_written(d, map->ram, (uint64_t)((char *)map->host - map->ram->host), p.size);
        if (dma_damage_is_news(map->ram))
            dma_report_damage(d, map->ram);
        else
            lunik_ram_unref(map->ram);
    } else {
        if (map->write && p.size)
            rc = dma_access_locked(d, &p);
        bounce_free(map);
    }
    *map = (lunik_dma_mapping){0};
    dma_leave(d);
    return rc;
}
