/*
 * dma_map.c: host pointers for devices' threads.
 *
 * A mapping holds a RAM block, or has a buffer that stands for something else; it is a user of the
 * gate. Neither keeps a region.
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

/* Where the region has given up its block since it was found, something else shows by now. */
static int map_piece(lunik_dma_mapping *map)
{
    uint64_t size = map->size;
    bool here, is_ram = false, nothing;
    struct dma_target t;

    rcu_online();
    do {
        here = dma_find(map->dma, map->address, size, &t);
        if (!here)
            break;
        is_ram = t.range.region && range_is_ram(&t.range, map->write);
    } while (is_ram && !ram_try_ref(t.range.region->ram));
    if (here) {
        map->size = t.size;
        nothing = !t.range.region || (map->write && t.range.flags & RANGE_READONLY);
    }
    if (is_ram) {
        map->ram = t.range.region->ram;
        map->host = t.range.region->host + t.offset;
    }
    rcu_offline();
    if (!here)
        return LUNIK_E_GONE;
    if (is_ram)
        return 0;
    return nothing ? LUNIK_E_ACCESS : map_bounce(map);
}

int lunik_dma_map(lunik_dma *d, uint64_t address, uint64_t size, bool write, lunik_dma_mapping *out)
{
    NOT_NULL(d, LUNIK_E_INVALID);
    NOT_NULL(out, LUNIK_E_INVALID);

    int rc;

    *out = (lunik_dma_mapping){.dma = d, .address = address, .size = size, .write = write};
    if (!size)
        return LUNIK_E_INVALID;
    if (!dma_enter(d))
        return atomic_load(&d->space) ? LUNIK_E_STATE : LUNIK_E_GONE;
    rc = map_piece(out);
    if (rc) {
        *out = (lunik_dma_mapping){0};
        dma_leave(d);
    }
    return rc;
}

/* By block and offset: the region may be gone. The fence is that of region_written(). */
static void ram_written(lunik_dma *d, lunik_ram *ram, uint64_t offset, uint64_t size)
{
    lunik_space *s;
    unsigned mask;

#ifndef RUNTIME_TSAN /* which knows no fences */
    atomic_thread_fence(memory_order_seq_cst);
#endif
    mask = ram_log_mask(ram);
    rcu_online();
    s = atomic_load_explicit(&d->space, memory_order_acquire);
    if (s)
        mask |= atomic_load_explicit(&s->core->log.mask, memory_order_acquire);
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
            ram_written(d, map->ram, (uint64_t)((char *)map->host - map->ram->host), p.size);
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
