/* memory_rig.h: devices that remember their accesses, and regions in short, for the tests of memory
 * maps, accesses and commits. */
#ifndef SPEC_MEMORY_RIG_H
#define SPEC_MEMORY_RIG_H

#include "machine_rig.h"
#include "transcript.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct transcript calls; /* "rOFFSET.SIZE " and "wOFFSET.SIZE=VALUE " of callbacks */
static uint8_t device_bytes[64];

static inline lunik_access device_read(void *opaque, uint64_t offset, unsigned size,
                                       uint64_t *value)
{
    const lunik_io_ops *ops = opaque;

    note(&calls, "r%" PRIu64 ".%u ", offset, size);
    for (unsigned i = 0; i < size; i++) {
        unsigned shift = ops->endian == LUNIK_BIG_ENDIAN ? 8 * (size - 1 - i) : 8 * i;

        *value |= (uint64_t)device_bytes[(offset + i) % sizeof(device_bytes)] << shift;
    }
    return LUNIK_ACCESS_OK;
}

static inline lunik_access device_write(void *opaque, uint64_t offset, unsigned size,
                                        uint64_t value)
{
    const lunik_io_ops *ops = opaque;

    note(&calls, "w%" PRIu64 ".%u=%" PRIx64 " ", offset, size, value);
    for (unsigned i = 0; i < size; i++) {
        unsigned shift = ops->endian == LUNIK_BIG_ENDIAN ? 8 * (size - 1 - i) : 8 * i;

        device_bytes[(offset + i) % sizeof(device_bytes)] = (uint8_t)(value >> shift);
    }
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops plain_ops = {.read = device_read, .write = device_write};

static inline lunik_region *new_region(const char *name, lunik_region_kind kind, uint64_t size,
                                       const lunik_io_ops *ops)
{
    return region_of((lunik_region_config){
        .kind = kind, .name = name, .size = size, .ops = ops, .opaque = (void *)(uintptr_t)ops});
}

static inline lunik_region *new_ram_region(const char *name, lunik_region_kind kind, uint64_t size,
                                           const lunik_io_ops *ops)
{
    return ram_region_of((lunik_region_config){
        .kind = kind, .name = name, .size = size, .ops = ops, .opaque = (void *)(uintptr_t)ops});
}

static inline lunik_region *new_alias(const char *name, lunik_region *target, uint64_t offset,
                                      uint64_t size)
{
    return region_of((lunik_region_config){.kind = LUNIK_REGION_ALIAS,
                                           .name = name,
                                           .size = size,
                                           .target = target,
                                           .offset = offset});
}

/* "NAME FIRST-LAST" of every range, with @OFFSET and flags where there are any. */
static inline const char *shown(lunik_space *s)
{
    static char text[4096];
    struct view_cursor c = view_seek(view_root_current(s->vr), 0);
    char *p = text;

    *p = 0;
    for (const struct flat_range *r; (r = cursor_range(&c)); cursor_next(&c)) {
        p += sprintf(p, "%s%s %" PRIx64 "-%" PRIx64, p == text ? "" : ", ", r->region->name,
                     r->span.first, r->span.last);
        if (r->offset)
            p += sprintf(p, "@%" PRIx64, r->offset);
        if (r->flags & RANGE_READONLY)
            p += sprintf(p, " ro");
    }
    return text;
}

#endif
