/*
 * mapping.c: host pointers into an address space.
 *
 * A mapping of RAM keeps the region and its RAM until it is unmapped. Anything else is reached
 * through a buffer, which is filled when it is mapped and written back when it is unmapped.
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "memory.h"

enum { BOUNCE_MAX = 4096, BOUNCE_TOTAL_MAX = 1 << 20 };

struct mapping {
    struct mapping *next;
    void *host;
    lunik_region *region; /* NULL: a bounce buffer */
    lunik_ram *ram;       /* the region's */
    uint64_t address, size;
    bool write;
};

static struct mapping **bucket(struct memory_core *core, const void *host)
{
    return &core->mappings[((uintptr_t)host >> 4) * 0x9e3779b97f4a7c15u >> 56];
}

static void *map_ram(struct mapping *map, const struct flat_range *r, uint64_t offset)
{
    map->region = r->region;
    lunik_region_ref(map->region);
    map->ram = r->region->ram;
    lunik_ram_ref(map->ram);
    return r->region->host + offset;
}

static void *map_bounce(struct mapping *map, lunik_space *s)
{
    struct memory_core *core = s->core;
    void *buffer;

    if (map->size > BOUNCE_MAX)
        map->size = BOUNCE_MAX;
    if (core->bounce_bytes + map->size > BOUNCE_TOTAL_MAX)
        return NULL;
    buffer = malloc(map->size);
    if (!buffer)
        return NULL;
    core->bounce_bytes += map->size;
    if (!map->write)
        lunik_space_read(s, map->address, buffer, map->size);
    return buffer;
}

void *lunik_space_map(lunik_space *s, uint64_t address, uint64_t *size, bool write)
{
    NOT_NULL(s, NULL);
    NOT_NULL(size, NULL);

    const struct flat_range *r;
    struct mapping *map;
    struct mapping **list;

    lunik_coalesced_flush(s->core->machine); /* devices that handle these may write to RAM */
    r = view_find(view_root_current(s->vr), address);
    if (!r || !*size || (write && r->flags & RANGE_READONLY))
        return NULL;
    map = calloc(1, sizeof(*map));
    if (!map)
        return NULL;
    map->address = address;
    map->size = *size;
    map->write = write;
    if (map->size - 1 > r->span.last - address)
        map->size = r->span.last - address + 1;
    if (r->flags & RANGE_DIRECT && !(write && r->region->kind == LUNIK_REGION_ROM_DEVICE))
        map->host = map_ram(map, r, r->offset + (address - r->span.first));
    else
        map->host = map_bounce(map, s);
    if (!map->host) {
        free(map);
        return NULL;
    }
    list = bucket(s->core, map->host);
    map->next = *list;
    *list = map;
    *size = map->size;
    return map->host;
}

void lunik_space_unmap(lunik_space *s, void *host, uint64_t size, bool write, uint64_t accessed)
{
    NOT_NULL(s);
    NOT_NULL(host);

    struct memory_core *core = s->core;
    struct mapping **link = bucket(core, host), *map;

    // cppcheck-suppress uninitvar ; the bucket's head is the core's
    while ((map = *link) && (map->host != host || map->size != size || map->write != write))
        link = &map->next;
    if (!map)
        return;
    *link = map->next;
    if (map->region) {
        if (write)
            region_written(map->region, (uint64_t)((uint8_t *)host - map->region->host),
                           accessed < size ? accessed : size);
        region_check_damage(map->region);
        lunik_region_unref(map->region);
        lunik_ram_unref(map->ram);
    } else {
        if (write)
            lunik_space_write(s, map->address, host, accessed < size ? accessed : size);
        core->bounce_bytes -= size;
        free(host);
    }
    free(map);
}
