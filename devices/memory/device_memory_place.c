/* device_memory_place.c: the choice of addresses in the window for memory devices. */
#include "device_memory_place.h"

#include <inttypes.h>

const char *device_memory_name(const lunik_object *device)
{
    return *lunik_object_id(device) ? lunik_object_id(device) : lunik_object_path(device);
}

/* No sum below overflows: the window ends below 2^64, and a device is not larger. */

static int check_size(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);

    if (md->size % md->align)
        return lunik_fail(
            err, LUNIK_E_INVALID,
            "%s: memdev: the size of '%s', 0x%" PRIx64 ", must be a multiple of 0x%" PRIx64,
            lunik_object_type_name(device), device_memory_name(md->memdev), md->size, md->align);
    if (md->size > d->limit || d->used > d->limit - md->size)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "%s: memdev: not enough space for 0x%" PRIx64 " bytes, 0x%" PRIx64
                          " of 0x%" PRIx64 " for memory devices are in use (see maxmem)",
                          lunik_object_type_name(device), md->size, d->used, d->limit);
    return 0;
}

/* Returns the lowest of the devices that overlap md. */
static lunik_object *rival(const struct device_memory *d, const lunik_memory_device *md)
{
    lunik_object *found = NULL;
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < DEVICES_MAX; i++) {
        const lunik_memory_device *other = d->slot[i] ? lunik_memory_device_get(d->slot[i]) : NULL;

        if (!other || other->address >= lowest || md->address >= other->address + other->size ||
            other->address >= md->address + md->size)
            continue;
        found = d->slot[i];
        lowest = other->address;
    }
    return found;
}

/* The property that has the address. */
static const char *address_property(const lunik_memory_device *md)
{
    return md->slot < 0 ? "memaddr" : "addr";
}

static int fail_rival(lunik_object *rival, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const lunik_memory_device *other = lunik_memory_device_get(rival);

    return lunik_fail(err, LUNIK_E_EXISTS,
                      "%s: %s: [0x%" PRIx64 ":0x%" PRIx64
                      "] conflicts with memory device '%s' [0x%" PRIx64 ":0x%" PRIx64 "]",
                      lunik_object_type_name(device), address_property(md), md->address, md->size,
                      device_memory_name(rival), other->address, other->size);
}

static int check_address(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const char *type = lunik_object_type_name(device), *property = address_property(md);

    if (md->address % md->align)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: 0x%" PRIx64 " must be aligned to 0x%" PRIx64 " bytes", type,
                          property, md->address, md->align);
    if (md->address < d->base || md->size > d->size || md->address - d->base > d->size - md->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: [0x%" PRIx64 ":0x%" PRIx64
                          "] is not in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                          type, property, md->address, md->size, d->base, d->size);
    return gaps_free(&d->gaps, md->address - d->base, md->size)
               ? 0
               : fail_rival(rival(d, md), device, err);
}

static int choose_address(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    lunik_memory_device *md = lunik_memory_device_get(device);

    for (size_t i = 0; i < d->gaps.count; i++) {
        const struct gap *g = &d->gaps.items[i];
        uint64_t address = d->base + g->start;
        uint64_t skip = (md->align - address % md->align) % md->align;

        if (skip <= g->size && md->size <= g->size - skip) {
            md->address = address + skip;
            return 0;
        }
    }
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "%s: %s: no gap for 0x%" PRIx64 " bytes aligned to 0x%" PRIx64
                      " in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                      lunik_object_type_name(device), address_property(md), md->size, md->align,
                      d->base, d->size);
}

int device_memory_place(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    int rc = check_size(d, device, err);

    if (rc)
        return rc;
    return lunik_memory_device_get(device)->address ? check_address(d, device, err)
                                                    : choose_address(d, device, err);
}
